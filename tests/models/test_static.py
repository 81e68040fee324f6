"""Models by attributes on a log whose channels are known to differ: forecasts by channel, facts, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import DataError
from headwater.core.table import Purpose
from headwater.engine.arrays import column_floats, column_objects
from headwater.models import attributes
from headwater.models.attributes import Coding, code
from headwater.models.forecasting import fit_model, restore_model
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import World

Event = tuple[str, int, float]
MODELS = ["bg_nbd_static", "pareto_nbd_static"]
N_DAYS, HORIZON, ORIGIN = 160, 60, 100
CHANNELS = ("organic", "ads", "partner")
SPEED = {"organic": 1.0, "ads": 2.5, "partner": 0.5}  # times as fast as the reference
OFF = 0.15  # of a channel's total of 60 days, several hundred purchases: three standard errors


def shop(n_users: int, *, seed: int) -> tuple[list[Event], list[str]]:
    """Customers of BG/NBD; those who came by an ad buy 2.5 times as often as others."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    channels: list[str] = []
    for user in range(n_users):
        channel = CHANNELS[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
        day = int(rng.integers(0, 90))
        rate, leave = SPEED[channel] * rng.gamma(1.5, 1 / 60), rng.beta(0.8, 4.0)
        while day < N_DAYS:
            events.append((f"u{user:05d}", day, 5.0 + user % 9))
            channels.append(channel)
            if rng.random() < leave:
                break
            day += max(1, round(rng.exponential(1 / rate)))
    return [*events, ("last", N_DAYS - 1, 1.0)], [*channels, "organic"]


@pytest.fixture(scope="module")
def channels(world_of: Callable[..., World]) -> World:
    events, by = shop(2_500, seed=41)
    return world_of(events, channel=by)


def by_channel(world: World, model: str) -> dict[str, float]:
    """Forecast over what then came, by channel."""
    training = world.training(ORIGIN, measure="purchases", horizon=HORIZON, as_of=ORIGIN)
    made = world.forecast(fit_model(model, training), training).mean
    came = world.training(ORIGIN, measure="purchases", horizon=HORIZON)
    rows = rows_at(came.snapshot, came.now, (came.task.target, "channel"))
    actual, channel = column_floats(rows, came.task.target), column_objects(rows, "channel")
    return {c: float(made[channel == c].sum() / actual[channel == c].sum() - 1) for c in CHANNELS}


@pytest.mark.parametrize("model", MODELS)
def test_channels_that_differ_are_forecast_each_at_its_own_level(channels: World, model: str) -> None:
    """The plain model draws everybody to the mean of all; here each channel's total is about right."""
    own, plain = by_channel(channels, model), by_channel(channels, model.removesuffix("_static"))
    assert np.mean(np.abs(list(own.values()))) < np.mean(np.abs(list(plain.values())))
    assert max(np.abs(list(own.values()))) < OFF


@pytest.mark.parametrize("model", MODELS)
def test_effects_are_told_in_words_and_saved(channels: World, model: str) -> None:
    training = channels.training(ORIGIN)
    fitted = fit_model(model, training)
    facts = dict(fitted.facts)
    assert facts["purchases: channel ads against organic"].startswith("+")
    assert "held-out users" in facts["spread of effects"]
    again = restore_model(fitted.state())
    one, two = (channels.forecast(m, training) for m in (fitted, again))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.high, two.high)


def test_a_log_without_attributes_is_refused(channels: World, world_of: Callable[..., World]) -> None:
    events, _ = shop(300, seed=42)
    bare = world_of(events)
    with pytest.raises(DataError, match=r"fit\.no_attributes: The snapshot has no attributes"):
        fit_model("bg_nbd_static", bare.training(bare.end))
    training = channels.training(ORIGIN)
    columns = tuple(
        replace(c, purpose=Purpose.FACT) if c.name == "channel" else c for c in training.snapshot.rows.columns
    )
    hidden = replace(training.snapshot, rows=replace(training.snapshot.rows, columns=columns))
    with pytest.raises(DataError, match=r"fit\.no_attributes"):
        fit_model("bg_nbd_static", replace(training, snapshot=hidden, shared={}))


def test_an_attribute_of_one_value_is_left_out_and_named(world_of: Callable[..., World]) -> None:
    events, by = shop(800, seed=43)
    world = world_of(events, channel=by, store=["main"] * len(by))
    fitted = fit_model("bg_nbd_static", world.training(world.end))
    (finding,) = [f for f in fitted.findings if f.code == "static.left_out"]
    assert "store" in finding.what


def text(**columns: Sequence[str | None]) -> Any:
    return pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()})


def test_rare_values_share_an_indicator_and_unknown_is_a_value() -> None:
    rows = text(country=["gb"] * 500 + ["fr"] * 300 + [None] * 100 + ["li", "sm", "va"] * 5)
    coding, left_out = code(rows, ("country",))
    (country,) = coding.attributes
    assert left_out == ()
    assert (country.reference, country.values, country.pooled) == ("gb", ("fr", "unknown"), True)
    assert coding.names == ("country fr", "country unknown", "country other")
    z, which = coding.patterns(text(country=["gb", "fr", None, "li", "never seen"]))
    assert z[which].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert Coding.restored(coding.state()) == coding


def test_a_value_never_seen_is_taken_as_common_where_none_was_rare() -> None:
    coding, _ = code(text(plan=["free"] * 100 + ["paid"] * 60), ("plan",))
    z, which = coding.patterns(text(plan=["free", "paid", "gold"]))
    assert z[which].tolist() == [[0.0], [1.0], [0.0]]


def test_attributes_that_make_too_many_kinds_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "MOST_KINDS", 5)
    rng = np.random.default_rng(1)
    rows = text(
        one=rng.choice(["a", "b"], 900),
        two=rng.choice(["c", "d", "e"], 900),
        three=rng.choice(["f", "g"], 900),
    )
    coding, left_out = code(rows, ("one", "two", "three"))
    assert coding.columns == ("one", "three")
    assert left_out == ("two",)
