"""``headwater tune``: the log of every trial, lines to paste, the file written whole, the same again for a seed."""

from __future__ import annotations

import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.app.cli.tune import tune_reply
from headwater.app.config import read_settings
from headwater.app.tuned import Tuned, write_tuned
from headwater.core.errors import ConfigError
from headwater.learners.tuning import Search, Trial
from headwater.models.tuning import Tuning
from headwater.numerics.calibration import Gain

if TYPE_CHECKING:
    from conftest import Shop

MODELS = 'models = ["rate_so_far", "bg_nbd"]'
QUICK = "rounds = 2\nlearning_rate = 0.02  # far too few of them"
TRIALS = ["tune", "--model", "lightgbm_hurdle", "--trials", "14", "--json"]


def noisy(order_lines: Callable[..., list[str]], shops: Callable[..., Shop], folder: Any) -> Shop:
    """The shop with a text of each user that says nothing, and settings that are far from good."""
    lines = order_lines(n_users=400, n_days=240)
    shop = shops(folder, lines=[f"{line},{int(line[1:5]) * 7919 % 50}" for line in lines])
    orders = shop.folder / "orders.csv"
    orders.write_text(
        orders.read_text(encoding="utf-8").replace("country", "country,noise", 1), encoding="utf-8"
    )
    shop.set('keep = ["country"]', 'keep = ["noise"]')
    return shop.set(MODELS, f"{MODELS}\n[settings.lightgbm_hurdle]\n{QUICK}")


def test_settings_that_are_far_off_are_found_out_and_noise_is_no_gain(
    order_lines: Callable[..., list[str]],
    shops: Callable[..., Shop],
    tmp_path: Any,
    headwater: Callable[..., Any],
) -> None:
    shop = noisy(order_lines, shops, tmp_path / "shop")
    before = shop.config.read_text(encoding="utf-8")
    ran = headwater(*TRIALS, at=shop.folder)
    assert ran.code == 0, ran.err
    said = ran.json
    trials = said["trials"]
    assert (trials[0]["settings"], trials[0]["gain"], len(trials)) == ({}, 0, 15)
    assert said["ended"] == "14 trials were made"
    assert said["changed"]
    assert said["gain"] > 2 * said["std_error"] > 0
    assert said["settings"]["learning_rate"] > 0.02
    (without,) = [t for t in trials if t["settings"] == {"without": ["attributes"]}]
    assert without["gain"] >= -2 * without["std_error"]  # a text of noise is no loss to leave out
    assert shop.config.read_text(encoding="utf-8") == before
    assert tomllib.loads(said["toml"])["settings"]["lightgbm_hurdle"]["rounds"] == 2

    written = headwater(
        *TRIALS, "--write", at=shop.folder
    ).json  # the same search is read back, not made again
    assert [t["seconds"] for t in written["trials"]] == [t["seconds"] for t in trials]
    assert written["written"]
    text = shop.config.read_text(encoding="utf-8")
    assert "# far too few of them" in text
    assert (
        read_settings(shop.config).settings["lightgbm_hurdle"]
        == tomllib.loads(said["toml"])["settings"]["lightgbm_hurdle"]
    )
    assert text.split("[settings", 1)[0] == before.split("[settings", 1)[0]

    shop.config.write_text(before, encoding="utf-8")
    (shop.store / "steps" / "tune").rename(tmp_path / "elsewhere")
    again = headwater(*TRIALS, at=shop.folder).json
    assert [{**t, "seconds": 0} for t in again["trials"]] == [{**t, "seconds": 0} for t in trials]
    assert (again["settings"], again["gain"]) == (said["settings"], said["gain"])


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("lightgbm_hurdl", "shelf.unknown", "Did you mean 'lightgbm_hurdle'?"),
        ("bg_nbd", "tune.no_settings", "lightgbm_hurdle"),
        ("average", "tune.no_settings", "Tune lightgbm_hurdle."),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_read(
    shop: Shop, headwater: Callable[..., Any], model: str, code: str, said: str
) -> None:
    (shop.folder / "orders.csv").unlink()
    error = headwater("tune", "--model", model, "--json", at=shop.folder).json["error"]
    assert (error["code"], said in error["do"]) == (code, True)


def test_a_missing_extra_is_told_before_anything_is_read(
    shop: Shop, headwater: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.folder / "orders.csv").unlink()
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    tuned = headwater("tune", "--model", "lightgbm_hurdle", "--json", at=shop.folder)
    assert (tuned.code, tuned.json["error"]["code"]) == (2, "extra.missing")
    assert "headwater[tune]" in tuned.json["error"]["do"]
    for command in ("fit", "predict"):
        ran = headwater(command, "--model", "ziln_network", "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (2, "extra.missing")
    shop.set(MODELS, 'models = ["bg_nbd", "ziln_network"]')
    for command in ("run", "backtest", "fit", "predict"):
        ran = headwater(command, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (2, "extra.missing")
        assert "headwater[deep]" in ran.json["error"]["do"]


def test_lines_are_written_whole_or_not_at_all(shop: Shop) -> None:
    before = shop.config.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"fit\.wrong_setting"):
        write_tuned(shop.config, "lightgbm_hurdle", {"leaves": 1})
    assert shop.config.read_text(encoding="utf-8") == before
    write_tuned(shop.config, "lightgbm_hurdle", {"leaves": 9, "without": ("calendar",)})
    write_tuned(shop.config, "lightgbm_tweedie", {"penalty": 0.0123456})
    assert shop.config.read_text(encoding="utf-8").startswith(before)
    assert read_settings(shop.config).settings == {
        "lightgbm_hurdle": {"leaves": 9, "without": ["calendar"]},
        "lightgbm_tweedie": {"penalty": 0.0123456},
    }


def test_a_settings_file_keeps_its_mode_its_link_its_line_ends_and_what_is_its_own(
    shop: Shop, tmp_path: Path
) -> None:
    """Sections apart, a private mode, Windows line ends, a link, a number of the user's own: all as they were."""
    own = "[settings.lightgbm_hurdle]\nlearning_rate = 0.123456\n"
    text = f"{own}{shop.config.read_text(encoding='utf-8')}\n[settings.lightgbm_tweedie]\nleaves = 5\n"
    real = tmp_path / "elsewhere.toml"
    real.write_bytes(text.replace("\n", "\r\n").encode())
    real.chmod(0o600)
    shop.config.unlink()
    shop.config.symlink_to(real)
    write_tuned(shop.config, "lightgbm_hurdle", {"leaves": 9}, remark="found on windows")
    write_tuned(shop.config, "lightgbm_increments", {"leaves": 7})
    assert shop.config.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    written = real.read_bytes().decode()
    assert written.count("\n") == written.count("\r\n")
    assert "[settings.lightgbm_hurdle]\r\n# found on windows\r\nlearning_rate = 0.123456\r\n" in written
    assert read_settings(shop.config).settings == {
        "lightgbm_hurdle": {"learning_rate": 0.123456, "leaves": 9},
        "lightgbm_increments": {"leaves": 7},
        "lightgbm_tweedie": {"leaves": 5},
    }


def test_a_search_that_saw_the_windows_of_the_backtest_leaves_a_trace() -> None:
    trial = Trial(
        number=1, settings={"leaves": 7}, loss=-0.1, gain=Gain(share=0.1, std_error=0.01), seconds=1
    )
    found = Search(settings={"leaves": 7}, best=trial, confirmed=trial.gain, trials=(trial,), ended="it was")
    tuning = Tuning(model="lightgbm_hurdle", origins=(20_000,), n_users=9, standing={}, found=found)
    fair, seen = (Tuned(tuning=tuning, standing_at=20_454, seen_by_backtest=s) for s in (False, True))
    assert not fair.findings
    assert fair.lines == "[settings.lightgbm_hurdle]\nleaves = 7\n"
    assert [f.code for f in seen.findings] == ["tune.seen_by_backtest"]
    assert seen.lines.splitlines()[1] == "# found on the windows of the backtest, 2026-01-01"
    said = tune_reply(seen, written=None)
    assert said.text.count("warn tune.seen_by_backtest") == 1
    assert said.data["findings"][0]["severity"] == "warn"
