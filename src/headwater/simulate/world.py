"""The world that is simulated: its size, its people, its calendar, and every true parameter in one place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.core.errors import UsageError
from headwater.core.span import date_of, day_of

__all__ = [
    "APP_ZONE",
    "CAMPAIGNS",
    "CHURN_MULTIPLIERS",
    "CLUSTER_SIZE",
    "CURRENCIES",
    "FIRST_DAY",
    "PLACES",
    "RETURN_DAILY",
    "SEGMENTS",
    "SUBSCRIPTION",
    "Campaign",
    "Place",
    "Season",
    "Segment",
    "Subscription",
    "World",
    "expected_signup_weights",
    "fx_rate",
    "salt",
]

APP_ZONE = "America/New_York"
CLUSTER_SIZE = 20
_FIRST_USERS = 0.12
_EARLIEST, _LATEST = "1970-01-10", "2100-01-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A country and zone: how many of 100 users live there, what they pay in, how dear things are."""

    country: str
    zone: str
    currency: str
    users_of_100: int
    price_level: float


PLACES = (
    Place(country="US", zone="America/New_York", currency="USD", users_of_100=18, price_level=1.3),
    Place(country="US", zone="America/Los_Angeles", currency="USD", users_of_100=12, price_level=1.4),
    Place(country="GB", zone="Europe/London", currency="GBP", users_of_100=12, price_level=1.2),
    Place(country="DE", zone="Europe/Berlin", currency="EUR", users_of_100=10, price_level=1.1),
    Place(country="FR", zone="Europe/Paris", currency="EUR", users_of_100=8, price_level=1.0),
    Place(country="BR", zone="America/Sao_Paulo", currency="USD", users_of_100=12, price_level=0.5),
    Place(country="IN", zone="Asia/Kolkata", currency="USD", users_of_100=16, price_level=0.3),
    Place(country="JP", zone="Asia/Tokyo", currency="USD", users_of_100=7, price_level=1.2),
    Place(country="AU", zone="Australia/Sydney", currency="USD", users_of_100=5, price_level=1.3),
)
CURRENCIES = ("USD", "EUR", "GBP")
_USD_RATES = {"USD": 1.0, "EUR": 0.92, "GBP": 0.79}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A kind of user.

    ``leave_daily`` is the mean chance to stop on a day, times one of ``CHURN_MULTIPLIERS``; ``returns`` the
    chance to come back once; ``active_low`` and ``active_high`` bound the chance to open the app on a day of
    the best weekday and season; ``views`` and ``ads`` are means of an active day; ``buys`` is the chance to
    buy on an active day, ``spend_usd`` the mean amount; ``checkout_effect`` the true relative effect of the
    experiment ``checkout`` on buying; ``trials`` and ``converts`` lead to a subscription.
    """

    name: str
    leave_daily: float
    returns: float
    active_low: float
    active_high: float
    views: float
    ads: float
    buys: float
    spend_usd: float
    checkout_effect: float
    trials: float
    converts: float
    score: float


SEGMENTS = (
    Segment(
        name="casual", leave_daily=0.08, returns=0.25, active_low=0.10, active_high=0.45, views=5.0, ads=2.0,
        buys=0.002, spend_usd=3.0, checkout_effect=0.0, trials=0.04, converts=0.15, score=0.25,
    ),
    Segment(
        name="regular", leave_daily=0.02, returns=0.30, active_low=0.25, active_high=0.75, views=9.0, ads=3.5,
        buys=0.012, spend_usd=5.0, checkout_effect=0.20, trials=0.10, converts=0.35, score=0.45,
    ),
    Segment(
        name="fan", leave_daily=0.007, returns=0.35, active_low=0.50, active_high=0.95, views=16.0, ads=4.5,
        buys=0.035, spend_usd=8.0, checkout_effect=0.40, trials=0.25, converts=0.55, score=0.70,
    ),
    Segment(
        name="whale", leave_daily=0.005, returns=0.35, active_low=0.40, active_high=0.95, views=12.0, ads=2.5,
        buys=0.120, spend_usd=30.0, checkout_effect=-0.05, trials=0.30, converts=0.60, score=0.75,
    ),
)  # fmt: skip
CHURN_MULTIPLIERS = (0.15, 0.35, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2)
RETURN_DAILY = 1 / 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Where users come from: how many of 100, the mix of segments they bring (of 100), the cost of an install."""

    channel: str
    name: str
    users_of_100: int
    segments_of_100: tuple[int, int, int, int]
    cost_usd: float


CAMPAIGNS = (
    Campaign(channel="organic", name="none", users_of_100=34, segments_of_100=(48, 34, 15, 3), cost_usd=0.0),
    Campaign(
        channel="referral", name="invite", users_of_100=8, segments_of_100=(38, 38, 20, 4), cost_usd=0.6
    ),
    Campaign(
        channel="google", name="google_brand", users_of_100=12, segments_of_100=(50, 34, 13, 3), cost_usd=1.1
    ),
    Campaign(
        channel="google",
        name="google_generic",
        users_of_100=14,
        segments_of_100=(66, 25, 8, 1),
        cost_usd=1.6,
    ),
    Campaign(
        channel="tiktok", name="tiktok_video", users_of_100=20, segments_of_100=(75, 19, 5, 1), cost_usd=0.7
    ),
    Campaign(
        channel="meta", name="meta_lookalike", users_of_100=12, segments_of_100=(55, 27, 13, 5), cost_usd=2.4
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A free trial, then a price every so many days until the user cancels, a day before the next charge."""

    trial_days: int = 7
    period_days: int = 30
    price_usd: float = 4.99
    renews: float = 0.85


SUBSCRIPTION = Subscription()


FIRST_DAY = day_of("2025-01-01")
"""When the simulated app opens, unless another day is asked for."""


class Season(StrEnum):
    """What the calendar does to activity: nothing; a mild year; a strong year with two weeks of promotion."""

    STEADY = "steady"
    MILD = "mild"
    STRONG = "strong"


_WEEKDAYS = (0.86, 0.84, 0.85, 0.88, 0.95, 1.0, 0.98)
_PROMOTIONS = {"june_sale": (160, 170), "november_sale": (325, 335)}
"""Days of the year of the two sales, ends exclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is simulated: the same world gives the same rows, however it is cut into files.

    ``first_day`` and ``end_day`` (exclusive) are days since 1970. ``rows_of_users`` is how many users are
    worked on at a time: it bounds memory and changes no row.
    """

    seed: int
    n_users: int
    n_days: int
    first_day: int = FIRST_DAY
    users_at_a_time: int = 200_000
    seasons: Season = Season.MILD

    def __post_init__(self) -> None:
        if self.n_users < 1 or self.n_days < 60 or self.users_at_a_time % CLUSTER_SIZE:
            raise UsageError(
                "simulate.size",
                what=f"A world of {self.n_users} users and {self.n_days} days, {self.users_at_a_time} users at a time.",
                why="Its experiments and its truth need at least one user and 60 days; friends are kept together.",
                do=f"Give --users 1 or more, --days 60 or more, and a chunk that is a multiple of {CLUSTER_SIZE}.",
            )

        if not day_of(_EARLIEST) <= self.first_day <= self.end_day <= day_of(_LATEST):
            raise UsageError(
                "simulate.days",
                what=f"{self.n_days:,} days from {date_of(self.first_day)} are not all between {_EARLIEST} and {_LATEST}.",
                why="A calendar of its weekdays, seasons and clock changes is made for these years only.",
                do=f"Give --from and --days so that the app opens after {_EARLIEST} and ends before {_LATEST}.",
            )

    @property
    def end_day(self) -> int:
        """The first day after the simulated days."""
        return self.first_day + self.n_days

    def day_at(self, share: float) -> int:
        """The day at a share (0 to 1) of the simulated time."""
        return self.first_day + math.floor(self.n_days * share)

    def season(self, day: int) -> float:
        """The weekday and season of a local day, above 0 and at most 1; activity is proportional to it."""
        when = date_of(day)
        of_year = when.timetuple().tm_yday
        if self.seasons is Season.STEADY:
            return 0.9
        if self.seasons is Season.MILD:
            return _WEEKDAYS[when.weekday()] * (0.93 + 0.07 * math.cos(2 * math.pi * (of_year - 15) / 365.25))
        year = 0.5 + 0.2 * math.cos(2 * math.pi * (of_year - 345) / 365.25)
        promoted = any(a <= of_year < b for a, b in _PROMOTIONS.values())
        return _WEEKDAYS[when.weekday()] * year * (1.4 if promoted else 1.0)

    def promotions(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """The sales of a strong year by name, as first and last days; the next ones after the end are planned already."""
        if self.seasons is not Season.STRONG:
            return {}
        years = range(date_of(self.first_day).year, date_of(self.end_day).year + 2)
        return {
            name: [(begins := day_of(f"{year}-01-01") - 1 + a, begins + b - a - 1) for year in years]
            for name, (a, b) in _PROMOTIONS.items()
        }

    @property
    def truth_days(self) -> tuple[int, ...]:
        """The dates from which expected values are stated: half and three quarters of the way, and the end."""
        return (self.day_at(0.5), self.day_at(0.75), self.end_day)

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """The users worked on at a time, as half-open ranges of their numbers."""
        step = self.users_at_a_time
        return tuple((a, min(a + step, self.n_users)) for a in range(0, self.n_users, step))


def salt(*words: object) -> int:
    """A fixed 62-bit number for a name: what sets one stream of draws apart from another."""
    return int(hashlib.sha256("|".join(str(w) for w in words).encode()).hexdigest()[:15], 16)


def expected_signup_weights(world: World) -> Sequence[float]:
    """The share of all users who sign up on each simulated day; adds to 1. Growth, weekday, season."""
    growth = [1.0 + 1.2 * d / world.n_days for d in range(world.n_days)]
    raw = [g * world.season(world.first_day + d) for d, g in enumerate(growth)]
    raw[0] += _FIRST_USERS * sum(raw)
    total = sum(raw)
    return [r / total for r in raw]


def fx_rate(currency: str, day: int) -> float:
    """Units of a currency for one US dollar on a UTC day, to four decimals."""
    swing = 0.03 * math.sin(day / 47.0) + 0.01 * math.sin(day / 9.0 + 1.0)
    return round(_USD_RATES[currency] * (1.0 + (0.0 if currency == "USD" else swing)), 4)
