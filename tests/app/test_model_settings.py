"""``[settings.MODEL]``: refused where the model does not take them; where it does, all its fits take them and no other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.app.config import read_settings
from headwater.core.errors import ConfigError

if TYPE_CHECKING:
    from conftest import Shop

MODELS = 'models = ["rate_so_far", "bg_nbd"]'
QUICK = "rounds = 3\nlearning_rate = 0.3"


def declared(shop: Shop, text: str, *, models: str = MODELS) -> Shop:
    return shop.set(MODELS, f"{models}\n{text}")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[settings.lightgbm_hurdl]\nleaves = 7", "shelf.unknown", "Did you mean 'lightgbm_hurdle'?"),
        ("[settings.bg_nbd]\nleaves = 7", "fit.no_settings", "lightgbm_hurdle"),
        ("[settings.average]\nleaves = 7", "fit.no_settings", "Set those of lightgbm_hurdle."),
        ("[settings.lightgbm_hurdle]\nleafs = 7", "fit.unknown_setting", "Did you mean 'leaves'?"),
        ("[settings.lightgbm_ziln]\nrising = ['x']", "fit.unknown_setting", "leaves"),
        ("[settings.lightgbm_hurdle]\nleaves = 7.5", "fit.wrong_setting", "a whole number from 2 to 4,096"),
        ("[settings.lightgbm_hurdle]\nleaves = true", "fit.wrong_setting", "The default is 15."),
        ("[settings.lightgbm_hurdle]\nlearning_rate = nan", "fit.wrong_setting", "a number from 0.0001 to 1"),
        ("[settings.lightgbm_hurdle]\nlearning_rate = '1'", "fit.wrong_setting", "0.04"),
        ("[settings.lightgbm_hurdle]\nrising = 'a'", "fit.wrong_setting", "a list of names"),
        ("[settings.lightgbm_hurdle]\nrising = ['a', 'a']", "fit.wrong_setting", "each once"),
        ("[settings]\nlightgbm_hurdle = 7", "config.value", "settings.lightgbm_hurdle"),
    ],
)
def test_what_a_model_does_not_take_is_refused_with_its_line(
    shop: Shop, text: str, code: str, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_settings(declared(shop, text).config)
    found = error.value.finding
    assert (found.code, error.value.exit_code) == (code, 3)
    assert said in f"{found.what} {found.do}"
    assert "headwater.toml, line " in found.what


def test_a_name_that_the_snapshot_lacks_is_refused_with_its_line_before_any_snapshot(shop: Shop) -> None:
    wrong = "rising = ['tenure_day']"
    declared(shop, f"[settings.lightgbm_hurdle]\n{wrong}")
    for text, code, said in (
        (wrong, "fit.unknown_column", "Did you mean 'tenure_days'?"),
        ("falling = ['country']", "fit.unknown_column", "a column of text"),
        ("without = ['tenure']\nrising = ['tenure_days']", "fit.unknown_column", "no column that the model"),
        ("without = ['calender']", "fit.unknown_setting", "Did you mean 'calendar'?"),
    ):
        study = shop.set(wrong, text).study()
        wrong = text
        with pytest.raises(ConfigError) as error:
            study.jobs()
        assert error.value.finding.code == code
        key = text.splitlines()[-1].split(" = ")[0]
        lines = shop.config.read_text("utf-8").splitlines()
        at = next(i for i, line in enumerate(lines, 1) if line.startswith(f"{key} = "))
        assert f"headwater.toml, line {at}, [settings]: " in error.value.finding.what
        assert said in f"{error.value.finding.what} {error.value.finding.do}"


def test_a_changed_setting_fits_the_model_and_its_blends_again_and_nothing_else(shop: Shop) -> None:
    models = 'models = ["bg_nbd", "average", "lightgbm_hurdle"]'
    declared(shop, f"[settings.lightgbm_hurdle]\n{QUICK}", models=models)
    before = fits(shop)
    assert before["lightgbm_hurdle"][1]["rounds of boosting"] in {"1, 1", "3, 3", "1, 3", "3, 1"}
    shop.set("rounds = 3", "rounds = 2")
    after = fits(shop)
    assert after["bg_nbd"] == (before["bg_nbd"][0], before["bg_nbd"][1], True)
    assert not after["lightgbm_hurdle"][2]
    assert not after["average"][2]
    assert after["average"][0] != before["average"][0]


def fits(shop: Shop) -> dict[str, tuple[str, dict[str, str], bool]]:
    """Of each model: the fingerprint of its file, its facts, and whether it was there already."""
    study = shop.study()
    (job,) = study.jobs()
    made: dict[str, tuple[str, dict[str, str], bool]] = {}
    for model in ("bg_nbd", "average", "lightgbm_hurdle"):
        known = set(study.steps)
        fitted = study.fit(model, job)
        (label,) = [k for k in set(study.steps) - known if k.startswith("fit ")]
        made[model] = fitted.fingerprint, dict(fitted.facts), study.steps[label].reused
    return made


def test_settings_of_a_model_that_a_backtest_does_not_try_do_not_make_it_run_again(shop: Shop) -> None:
    first = shop.study()
    proof = first.backtest(first.jobs()[0])
    declared(shop, f"[settings.lightgbm_hurdle]\n{QUICK}")
    study = shop.study()
    (job,) = study.jobs()
    assert study.backtest(job).choice.name == proof.choice.name
    assert all(s.reused for s in study.steps.values())
    assert study.settings_for(["average"]) == {"lightgbm_hurdle": {"rounds": 3, "learning_rate": 0.3}}
    assert study.settings_for(job.models) == {}
