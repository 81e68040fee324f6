"""The page of settings: every key is documented with its default, and every documented key exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from headwater.app import config
from headwater.app.config import settings_of
from headwater.app.experiment_settings import ExperimentSettings, MetricSettings, StopSettings
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Setting

SECTIONS = {
    "app": config.AppSettings,
    "sources": config.SourceSettings,
    "sources.others": config.OtherSourceSettings,
    "identity": config.IdentitySettings,
    "measures": config.MeasureSettings,
    "repairs": config.RepairSettings,
    "rules": config.RuleSettings,
    "gate": config.GateSettings,
    "alarms": config.AlarmSettings,
    "card": config.CardSettings,
    "features": config.FeatureSettings,
    "predict": config.PredictSettings,
    "predict.cutoffs": config.CutoffSettings,
    "curves": config.CurveSettings,
    "newcomers": config.NewcomerSettings,
    "value": config.ValueSettings,
    "experiments": ExperimentSettings,
    "experiments.metrics": MetricSettings,
    "experiments.stop": StopSettings,
    "deliver": config.DeliverSettings,
    "run": config.RunSettings,
}


def test_every_section_of_the_settings_is_listed_here() -> None:
    assert set(config.Settings.model_fields) == {s for s in SECTIONS if "." not in s} | {"settings"}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_with_its_default_and_no_other(root: Path, section: str) -> None:
    documented = _documented(root)[section]
    model = SECTIONS[section]
    assert sorted(documented) == sorted(model.model_fields)
    assert {k: documented[k] for k in model.model_fields} == {
        k: _default(model, k) for k in model.model_fields
    }


@pytest.mark.parametrize("model", [m for m in LTV_MODELS.names() if getattr(LTV_MODELS.load(m), "takes", ())])
def test_every_setting_of_a_model_is_documented_with_its_default(root: Path, model: str) -> None:
    documented = _documented(root)["settings"]
    takes: tuple[Setting, ...] = getattr(LTV_MODELS.load(model), "takes", ())
    assert {s.name: documented[s.name] for s in takes} == {
        s.name: f"`{json.dumps(s.default)}`" for s in takes
    }


def test_no_setting_of_a_model_is_documented_that_none_takes(root: Path) -> None:
    taken = {s.name for m in LTV_MODELS.names() for s in getattr(LTV_MODELS.load(m), "takes", ())}
    assert set(_documented(root)["settings"]) == taken


def test_the_example_of_the_page_is_a_valid_settings_file(root: Path) -> None:
    import tomllib

    (example,) = re.findall(r"```toml\n# A complete file\n(.*?)```", _page(root), flags=re.DOTALL)
    settings = settings_of(tomllib.loads(example))
    assert settings.app.name == "gift-shop"


def _page(root: Path) -> str:
    return (root / "docs/configuration.md").read_text(encoding="utf-8")


def _documented(root: Path) -> dict[str, dict[str, str]]:
    """Section: key and default, from the tables ``| `key` | default | meaning | example |``."""
    pieces = re.split(r"^## `\[+([\w.]+)\]+`.*$", _page(root), flags=re.MULTILINE)
    row = re.compile(r"^\| `(\w+)` \| (.+?) \|", flags=re.MULTILINE)
    return {s: dict(row.findall(text)) for s, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _default(model: type[BaseModel], key: str) -> str:
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    if field.default is None:
        return "none"
    return "see below" if isinstance(field.default, BaseModel) else f"`{json.dumps(field.default)}`"
