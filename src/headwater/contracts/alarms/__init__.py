"""The shelf of alarms: one file, one alarm."""

from headwater.contracts.alarm import Alarm
from headwater.core.shelf import Shelf

__all__ = ["ALARMS"]

ALARMS = Shelf[Alarm](package="headwater.contracts.alarms", kind="alarm")
