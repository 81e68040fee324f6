"""Propose a contract for a file or folder nobody has described: each choice with its reason and how sure it is.

Columns are recognized on the first rows (``looks``); what the rules need (missing users, broken times,
refunds, the span of the log) is counted over all rows. Nothing is read row by row in Python.
"""

from __future__ import annotations

import json
import keyword
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from headwater.contracts.facts import Facts, Repeats, Roles, choose_roles, facts_of, repeats_of
from headwater.contracts.looks import MAX_COLUMNS, Look, look_at, sample_rows, value_counts
from headwater.contracts.roles import currency_hint, money_divisor
from headwater.core.contract import Aggregate, Measure, RuleSpec, Source
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.core.table import Kind
from headwater.engine.duckdb import DuckDB
from headwater.engine.sources import Relation, open_relation

__all__ = ["Choice", "Proposal", "Sure", "propose"]
