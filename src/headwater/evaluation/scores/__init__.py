"""The shelf of scores: one file, one public class, one page under ``docs/scores``."""

from __future__ import annotations

from headwater.core.shelf import Shelf
from headwater.evaluation.scored import Score

__all__ = ["SCORES"]

SCORES = Shelf[Score](package="headwater.evaluation.scores", kind="score")
