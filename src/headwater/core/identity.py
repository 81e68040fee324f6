"""Who a device belongs to: the rule as declared, and the table it makes."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.block import Block, Prose, callouts
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.core.table import Table

__all__ = ["Identity", "IdentityMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The columns of a source of events that name the device and the login; the login is empty before somebody logs in."""

    device: str
    login: str

    def rule(self) -> str:
        """The rule in words, as reports print it."""
        return (
            f"An event with a {self.login} belongs to it. An event without one belongs to the {self.login} that is the only one "
            f"ever seen on its {self.device}, and counts as known from the first moment that link was known: as seen from an earlier day it is not there. A {self.device} on "
            f"which several were seen keeps its own events, under 'device:' and its id; so does one on which none was seen."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityMap(Shown):
    """One row a device and login (the login is NULL for events before or without one).

    Columns: ``device_id``, ``login_id``, ``first_us``, ``linked_us`` (when the pair became known), ``n_events``,
    ``conflict`` (``several logins`` on one device, ``several devices`` of one login, or both).
    """

    identity: Identity
    rows: Table
    n_devices: int
    n_logins: int
    n_shared_devices: int
    n_events_left: int
    findings: tuple[Finding, ...]

    def blocks(self) -> tuple[Block, ...]:
        """The rule, the counts, the conflicts."""
        account = (
            f"{self.identity.rule()} {self.n_devices:,} devices and {self.n_logins:,} logins were seen; {self.n_shared_devices:,} devices "
            f"had several logins, and {self.n_events_left:,} events without a login stay with such a device."
        )
        return (Prose(text=account), *callouts(self.findings))
