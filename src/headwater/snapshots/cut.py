"""A cutoff and what can be seen from it: the windows that have matured, the days in holes, the days it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.core.audit import Hole
from headwater.core.ledger import Ledger
from headwater.snapshots.attributes import ToldAttributes, first_attributes
from headwater.snapshots.feature import DEFAULT_WINDOWS
from headwater.snapshots.features import FEATURES
from headwater.snapshots.holes import LostDays, lost_days

__all__ = ["Cut", "cut_of", "snapshot_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One cutoff and what can be seen from it.

    ``end_day`` is the end of what there is to see, ``as_of`` the day it is seen from (None: now), and a
    window has matured when it ends by ``settled``. ``lost`` are the days in holes; a target that lost more
    than the share ``most_lost`` of its window is empty. ``told`` are the attributes that sources of users tell.
    """

    cutoff: int
    horizons: tuple[int, ...]
    windows: tuple[int, ...] = DEFAULT_WINDOWS
    end_day: int
    settled: int
    as_of: int | None = None
    lost: tuple[LostDays, ...] = ()
    most_lost: float = 0.0
    told: ToldAttributes | None = None

    @property
    def matured(self) -> tuple[int, ...]:
        """The horizons whose window was observed to its end."""
        return tuple(h for h in self.horizons if self.cutoff + h <= self.settled)

    @property
    def reads_to(self) -> int:
        """The first day whose rows do not matter."""
        return self.cutoff + max(self.matured, default=0)

    @property
    def is_today(self) -> bool:
        """Whether this is the end of the log seen from now: then all that is known counts, late facts included."""
        return self.as_of is None and self.cutoff == self.end_day

    def seen_to(self, horizon: int) -> int:
        """The end of the observed part of a window."""
        return max(self.cutoff, min(self.cutoff + horizon, self.end_day))


def cut_of(
    ledger: Ledger,
    *,
    cutoff: int,
    horizons: Sequence[int],
    as_of: int | None = None,
    windows: Sequence[int] = DEFAULT_WINDOWS,
    holes: Sequence[Hole] = (),
    most_lost: float = 0.0,
    time_zone: str = "UTC",
    told: ToldAttributes | None = None,
) -> Cut:
    """One cutoff and what can be seen from it.

    With ``as_of`` nothing that became known later is there, and a window has matured only when its last
    day has settled. Without it the log is what is known now, late facts included.
    """
    end = ledger.end_day if as_of is None else min(ledger.end_day, as_of)
    return Cut(
        cutoff=cutoff,
        horizons=tuple(sorted(set(horizons))),
        windows=tuple(sorted(set(windows))),
        end_day=end,
        settled=end if as_of is None else end - ledger.settle_days,
        as_of=as_of,
        lost=lost_days(ledger, holes, time_zone=time_zone),
        most_lost=most_lost,
        told=told,
    )


def snapshot_key(ledger: Ledger, cut: Cut) -> dict[str, object]:
    """All that the rows of a cutoff depend on, and nothing else: equal keys, equal rows.

    The days it reads (before the cutoff, and ahead to the end of the longest window that has matured)
    count by their fingerprints. These cover all that became known of a day, so a late row about a day
    before the cutoff changes the key even where the cutoff did not know it yet. The end of the log and
    the day seen from count only as far as they change what was observed. Attributes are read off the events
    and the told rows of the days before the cutoff.
    """
    cutoff = cut.cutoff
    back, front = cutoff - max(cut.windows), cutoff + max(cut.horizons)
    firsts = first_attributes(ledger)
    return {
        "cutoff": cutoff,
        "days": _digest(ledger.day_fingerprints, cut.reads_to),
        "horizons": cut.horizons,
        "windows": cut.windows,
        "features": FEATURES.names(),
        "measures": ledger.measures,
        "edge": ledger.first_day + ledger.left_edge_days,
        "observed": tuple(cut.seen_to(h) - cutoff for h in cut.horizons),
        "matured": cut.matured,
        "is_today": cut.is_today,
        "as_of": cut.as_of if cut.matured else None,
        "lost": tuple((o.dimension, o.value, tuple(sorted(o.within(back, front)))) for o in cut.lost),
        "most_lost": cut.most_lost if cut.lost else None,
        "users": ledger.users.fingerprint if any(o.dimension for o in cut.lost) else None,
        "attributes": (firsts, _digest(ledger.built_from, cutoff)) if firsts else None,
        "told": (cut.told.names, _digest(cut.told.day_fingerprints, cutoff)) if cut.told else None,
    }


def _digest(prints: Sequence[tuple[int, str]], end: int) -> str:
    """The fingerprints of the days before ``end`` as one."""
    return hashlib.sha256(repr(sorted(p for p in prints if p[0] < end)).encode()).hexdigest()
