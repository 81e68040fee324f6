"""The ``headwater.toml`` that goes with a simulated log, so that ``headwater run`` works on it at once."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.core.span import date_of
from headwater.simulate.world import APP_ZONE, PLACES, World

__all__ = ["LARGEST_AMOUNT_USD", "project_text"]

LARGEST_AMOUNT_USD = 100_000
"""No true amount is larger: what the range rule of the project allows."""

_HEAD = """\
# A simulated short-video app: {n_users} users, {n_days} days, seed {seed}.
# The truth of every user and experiment is in truth/; docs/simulate.md says what each column is.
[app]
name = "Simulated app"
time_zone = "{zone}"
currency = "USD"
launched_on = {launched}
left_edge = "0d"
{calendar}
[[sources]]
kind = "events"
path = "events"
user = "user_id"
at = "at"
known_at = "known_at"
event = "event"
time_zone = "UTC"
keep = ["platform", "country", "app_version", "network", "device_id"]
types = {{ amount_usd = "money" }}

[[sources]]
kind = "users"
path = "users"
user = "user_id"
changed_at = "signed_up_at"
time_zone = "UTC"
keep = ["channel", "campaign"]

[measures]
revenue = {{ sum = "amount_usd", unit = "USD", where = "event in ['purchase', 'ad_impression', 'subscribe', 'renew']" }}
refunds = {{ sum = "amount_usd", unit = "USD", where = "event == 'refund'" }}
ad_revenue = {{ sum = "amount_usd", unit = "USD", where = "event == 'ad_impression'" }}
purchases = {{ count = true, where = "event == 'purchase'" }}
engagements = {{ count = true, where = "event in ['video_view', 'like', 'share']" }}
opens = {{ count = true, where = "event == 'app_open'" }}

[[rules]]
rule = "required"
columns = ["event_id", "device_id"]

[[rules]]
rule = "unique"
columns = ["event_id"]

[[rules]]
rule = "unique"
columns = ["order_id"]
events = ["purchase"]

[[rules]]
rule = "one_of"
columns = ["event"]
values = ["app_open", "video_view", "like", "share", "ad_impression", "purchase", "refund", "trial_start", "subscribe", "renew", "cancel"]

[[rules]]
rule = "one_of"
columns = ["platform"]
values = ["ios", "android"]

[[rules]]
rule = "one_of"
columns = ["network"]
values = ["AppLovin", "Google", "Meta"]

[[rules]]
rule = "one_of"
columns = ["country"]
values = [{countries}]

[[rules]]
rule = "one_of"
columns = ["currency"]
values = ["USD", "EUR", "GBP"]

[[rules]]
rule = "range"
columns = ["amount_usd"]
at_least = -{largest}
at_most = {largest}

[[rules]]
rule = "not_future"
after = {last}
"""

_TAIL = """
[[predict]]
target = "revenue"
horizons = ["30d"]
cutoffs = { every = "4w", origins = 3 }
occasions = "purchases"

[deliver]
formats = ["html", "excel"]
"""


_MORE = {
    "after_user_created": """
[[rules]]
rule = "after_user_created"
path = "users/*.parquet"
user = "user_id"
at = "signed_up_at"
tolerance = "1h"
""",
    "clock_skew": """
[[rules]]
rule = "clock_skew"
within = "10d"
known_before = "5min"
""",
    "near_duplicate": """
[[rules]]
rule = "near_duplicate"
columns = ["amount_usd", "content_id", "watched_ms"]
within = "4s"
""",
    "personal_data": """
[[rules]]
rule = "personal_data"
columns = ["note"]
""",
    "references": """
[[rules]]
rule = "references"
columns = ["user_id"]
path = "users/*.parquet"
column = "user_id"
""",
}


def project_text(world: World, *, until_day: int, rules: Sequence[str] = ()) -> str:
    """The settings file as text; ``rules`` are the names of data rules that there are."""
    countries = ", ".join(f'"{c}"' for c in sorted({p.country for p in PLACES}))
    head = _HEAD.format(
        n_users=world.n_users,
        n_days=world.n_days,
        seed=world.seed,
        zone=APP_ZONE,
        launched=date_of(world.first_day - 1).isoformat(),
        countries=countries,
        calendar=_calendar(world),
        largest=LARGEST_AMOUNT_USD,
        last=date_of(until_day - 1).isoformat(),
    )
    return head + "".join(_MORE[r] for r in sorted(_MORE) if r in rules) + _TAIL


def _calendar(world: World) -> str:
    """The sales of a strong year, as a business would have planned them."""
    named = {
        name: ", ".join(f'"{date_of(a)}..{date_of(b)}"' for a, b in spans)
        for name, spans in world.promotions().items()
    }
    if not named:
        return ""
    return "calendar = { " + ", ".join(f"{name} = [{spans}]" for name, spans in named.items()) + " }\n"
