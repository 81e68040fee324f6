"""A plan file: what it says, and what is told where it is wrong."""

from pathlib import Path

import pytest

from headwater.app.experiment_settings import read_plan
from headwater.core.errors import ConfigError
from headwater.core.span import day_of
from headwater.effects.metric import Part

PLAN = """
[experiment]
name = "ltv_v2"
question = "Should the new score choose who gets the coupon?"
registered_on = 2026-11-01
arms = { champion = 0.5, challenger = 0.5 }
window = "2w"

[experiment.stop]
method = "group_sequential"
n_users = 20000
looks = [0.25, 0.5, 1.0]

[experiment.metrics]
gmv = { outcome = "gmv_14d", part = "primary", covariates = ["gmv_pre"], winsorize = 0.999, unit = "USD" }
crashes = { outcome = "crashes > 0", kind = "proportion", part = "guardrail", better = "lower", margin = 0.02 }
"""


def _read(folder: Path, text: str = PLAN):
    (folder / "plan.toml").write_text(text)
    return read_plan(folder / "plan.toml")


def test_a_plan_is_what_the_file_says(tmp_path: Path):
    plan = _read(tmp_path)
    assert [(a.name, a.share) for a in plan.arms] == [("champion", 0.5), ("challenger", 0.5)]
    assert plan.control.name == "champion"
    assert plan.stop.looks == (0.25, 0.5, 1.0)
    assert plan.window_days == 14
    assert plan.registered_on == day_of("2026-11-01")
    assert [m.name for m in plan.metrics_of(Part.GUARDRAIL)] == ["crashes"]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('part = "primary"', 'part = "secondary"', "no metric is primary"),
        ("[0.25, 0.5, 1.0]", "[0.5, 0.25, 1.0]", "rising order"),
        ("n_users = 20000\n", "", "give n_users"),
        ('kind = "proportion"', 'kind = "proportoin"', "Did you mean 'proportion'?"),
        ('part = "guardrail"', 'part = "secondary"', "only a guardrail has a margin"),
        ('"2w"', '"two weeks"', "not a duration"),
        ("window", "windwo", "windwo"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, before: str, after: str, says: str):
    with pytest.raises(ConfigError, match=r"plan\.toml") as refused:
        _read(tmp_path, PLAN.replace(before, after))
    assert says in str(refused.value)


def test_a_plan_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="experiment design"):
        read_plan(tmp_path / "none.toml")
