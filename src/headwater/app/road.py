"""The road in a dozen functions: values chain, each step is kept in the workspace and reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.app.config import CONFIG_NAME, read_memory, read_settings, read_threads, settings_of
from headwater.app.deliver import exporter_for, writing
from headwater.app.plan import Job, is_net, task_of, with_baselines
from headwater.app.store import STORE_NAME
from headwater.app.study import Study
from headwater.contracts.check import require_gate, require_past
from headwater.contracts.profile import profile as profile_of
from headwater.core.answer import Stance, Verdict
from headwater.core.block import Block, Cell, Document, Field, Form, Grid, Page, Prose
from headwater.core.contract import Events
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger, Snapshot, Task
from headwater.core.profile import Profile
from headwater.core.show import Shown
from headwater.core.span import as_days, date_of, day_of
from headwater.core.table import Table
from headwater.engine.arrays import column_objects
from headwater.engine.duckdb import DuckDB
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.standing import Choice
from headwater.models.declared import checked_settings
from headwater.models.forecasting import FittedModel, fit_model
from headwater.models.ltv import LTV_MODELS
from headwater.models.settings import require_columns
from headwater.numerics.consistent import agreed
from headwater.numerics.forecast import Forecast
from headwater.snapshots.rows import rows_at

__all__ = [
    "UserForecast",
    "agree",
    "backtest",
    "check",
    "day_given",
    "decide",
    "fit",
    "forecast",
    "ledger",
    "profile",
    "read",
    "snapshot",
    "study_of",
    "write",
]

_DAY = str | date | int
_studies: dict[str, Study] = {}


def read(
    settings: str | Path | dict[str, Any],
    *,
    root: str | Path = ".",
    threads: int | None = None,
    memory: str | None = None,
) -> Events:
    """Read a source through its contract: what is kept, what is in quarantine, and why.

    Parameters
    ----------
    settings
        A ``headwater.toml``, its folder, or the same as a dict (then ``root`` is the folder of the data).
    threads, memory
        Limits of the engine, such as ``memory="4GB"``.

    Raises
    ------
    ConfigError, SourceError
        The settings do not fit the source.
    DataError
        The source holds no rows. A failed gate does not raise here: ``check`` does.
    """
    if isinstance(settings, dict):
        folder, parsed = Path(root).resolve(), settings_of(settings)
    else:
        path = Path(settings)
        path = path / CONFIG_NAME if path.is_dir() else path
        folder, parsed = path.resolve().parent, read_settings(path)
    study = Study(folder, parsed, today=date.today(), threads=threads, memory=memory)
    events = study.events(gate=False)
    _studies[events.events.files[0]] = study
    return events


def check(events: Events) -> Events:
    """The same events, refused where the load fails its gate. Raises ``GateError`` or ``DataError``."""
    require_gate(events)
    require_past(events, day_of(date.today()))
    return events


def ledger(events: Events) -> Ledger:
    """The ledger of the kept events: one row per user x app day, all measures additive."""
    study = study_of(events.events)
    made = study.ledger()
    _studies[made.days.files[0]] = study
    return made


def profile(path: str | Path, *, threads: int = 2, memory: str = "1500MB") -> Profile:
    """What is in a file, folder or glob: every column, suspicious things first. Raises ``SourceError``, ``DataError`` where there is no row."""
    with TemporaryDirectory() as spill:
        engine = DuckDB(
            threads=read_threads(threads), memory=read_memory(memory), spill=Path(spill) / "spill"
        )
        try:
            return profile_of(engine, Path(path))
        finally:
            engine.close()


def snapshot(
    ledger: Ledger,
    *,
    cutoff: _DAY | Sequence[_DAY],
    horizons: Sequence[str | timedelta],
    as_of: _DAY | None = None,
) -> Snapshot:
    """Users as known at one cutoff or several, with targets over each horizon. Raises ``UsageError``."""
    cutoffs = [cutoff] if isinstance(cutoff, str | date | int) else list(cutoff)
    study = study_of(ledger.days)
    made = study.snapshot(
        cutoffs=tuple(sorted({day_given(c) for c in cutoffs})),
        horizons=tuple(as_days(h) for h in horizons),
        as_of=None if as_of is None else day_given(as_of),
    )
    _studies[made.rows.files[0]] = study
    return made


def fit(
    model: str | Choice,
    snapshot: Snapshot,
    *,
    target: str,
    horizon: str | timedelta,
    occasions: str | None = None,
    level: float = 0.9,
    settings: Mapping[str, object] | None = None,
    seed: int = 7,
) -> FittedModel:
    """Fit a model on a snapshot, by the ``settings`` given or else those of ``headwater.toml``.

    Raises ``UsageError`` for an unknown name or setting, ``DataError`` where data cannot carry it.
    """
    study = study_of(snapshot.rows)
    task = _task(study, target, as_days(horizon), occasions=occasions, level=level)
    name = model.name if isinstance(model, Choice) else model
    training = study.training(snapshot, task, rng=np.random.default_rng(seed))
    if settings is not None:
        own = checked_settings(name, settings)
        require_columns({name: own}, snapshot)
        training = replace(training, by_model={**training.by_model, name: own})
    return fit_model(name, training)


def forecast(
    model: FittedModel, snapshot: Snapshot, *, cutoff: _DAY | None = None, seed: int = 7
) -> UserForecast:
    """Forecast every user of a snapshot's cutoff (the latest, unless named)."""
    day = max(snapshot.cutoffs) if cutoff is None else day_given(cutoff)
    made = model.forecast(snapshot, cutoff=day, rng=np.random.default_rng(seed))
    users = column_objects(rows_at(snapshot, day, ("user_id",)), "user_id")
    study = _studies.get(snapshot.rows.files[0])
    return UserForecast(
        model=model.name,
        task=model.task,
        cutoff=day,
        user_ids=tuple(users),
        forecast=made,
        may_fall=study is not None and is_net(study.ledger(), model.task),
    )


def agree(values: Sequence[UserForecast]) -> tuple[UserForecast, ...]:
    """Forecasts of one measure over several horizons, made to agree: for no user does a longer one say less.

    They come back in the order of their horizons: where one falls, the nearest that do not take its place, bounds
    with them. A measure of which something was given back may fall and comes back as it is.

    Raises ``UsageError`` (``horizons.different``) where they are not of the same measure, level, cutoff and users.
    """
    ordered = sorted(values, key=lambda v: v.task.horizon_days)
    alike = {(v.task.measure, v.task.occasions, v.task.level, v.cutoff, v.user_ids) for v in ordered}
    days = [v.task.horizon_days for v in ordered]
    if len(alike) != 1 or len(set(days)) < len(days):
        raise UsageError(
            "horizons.different",
            what=f"{len(ordered)} forecasts over {', '.join(f'{d}d' for d in days) or 'no horizon'} are not of one measure, level, cutoff and list of users, each of another horizon.",
            why="Only forecasts of the same users from the same day can agree with each other.",
            do="Forecast one snapshot at one cutoff, once for each horizon.",
        )
    if ordered[0].may_fall:
        return tuple(ordered)
    made = agreed([v.forecast for v in ordered])
    return tuple(replace(v, forecast=f) for v, f in zip(ordered, made, strict=True))


def backtest(
    models: Sequence[str],
    ledger: Ledger,
    *,
    target: str,
    horizon: str | timedelta,
    origins: int = 3,
    every: str | timedelta = "4w",
    occasions: str | None = None,
    level: float = 0.9,
    seed: int = 7,
) -> Backtest:
    """How each model would have done at past origins. Raises ``DataError`` where the log is too short."""
    study = study_of(ledger.days)
    for name in models:
        LTV_MODELS.load(name)
    task = _task(study, target, as_days(horizon), occasions=occasions, level=level)
    job = Job(task=task, models=with_baselines(models), every_days=as_days(every), n_origins=origins)
    return study.backtest(job, seed=seed)


def decide(question: str, evidence: Sequence[Backtest | UserForecast]) -> Verdict:
    """What the evidence at hand says to a question about acting.

    Forecasts and backtests rank value; they hold no comparison of treated with untreated users. So the
    stance is "cannot say", with the test that would answer.
    """
    because: list[str] = ["A forecast ranks value, not response: what acting changes was not observed."]
    for one in evidence:
        if isinstance(one, Backtest):
            because.append(one.choice.reason)
        else:
            because.append(one.summary())
    return Verdict(
        question=question,
        stance=Stance.CANNOT_SAY,
        because=tuple(because),
        would_change=("An A/B test: treat a random half of those you would treat, compare both halves.",),
    )


def write(result: Shown | Verdict | Document, *paths: str | Path) -> tuple[Path, ...]:
    """Write a result to files; the suffix chooses the format (.html, .xlsx). Raises ``UsageError`` (``write.unknown_suffix``, ``write.unwritable``)."""
    targets = [Path(p) for p in paths]
    writers = [exporter_for(p) for p in targets]
    document = result if isinstance(result, Document) else _document(result)
    for writer, path in zip(writers, targets, strict=True):
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            writer.write(document, path)
    return tuple(targets)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserForecast(Shown):
    """Forecasts by user: what each is expected to be worth, with an interval. ``may_fall``: something of it was given back."""

    model: str
    task: Task
    cutoff: int
    user_ids: tuple[str, ...]
    forecast: Forecast
    may_fall: bool = False

    def summary(self) -> str:
        """One sentence."""
        total = float(self.forecast.mean.sum())
        return (
            f"{self.model} expects {total:,.0f} {self.task.unit} from {len(self.user_ids):,} users in the "
            f"{self.task.horizon_days} days from {date_of(self.cutoff)}."
        )

    def blocks(self) -> tuple[Block, ...]:
        """One sentence and the table."""
        unit = self.task.unit
        fields = (
            Field(name="user_id", label="User", form=Form.ID),
            Field(name="forecast", label="Forecast", form=Form.NUMBER, unit=unit),
            Field(
                name="low",
                label="Low",
                form=Form.NUMBER,
                unit=unit,
                note=f"{self.forecast.level:.0%} interval",
            ),
            Field(name="high", label="High", form=Form.NUMBER, unit=unit),
        )
        f = self.forecast
        rows = zip(self.user_ids, f.mean.tolist(), f.low.tolist(), f.high.tolist(), strict=True)
        return (
            Prose(text=self.summary()),
            Grid.of(
                f"forecast_{self.task.target}",
                f"Forecast over {self.task.horizon_days} days by user",
                fields,
                rows,
            ),
        )

    def to_dict(self) -> dict[str, list[Cell]]:
        """The forecasts as columns, the variance that totals need among them."""
        return self.to_arrow().to_pydict()

    def to_pandas(self) -> Any:
        """The forecasts as a ``pandas.DataFrame`` (needs pandas)."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """The forecasts as a ``polars.DataFrame`` (needs polars)."""
        return import_module("polars").from_arrow(self.to_arrow())

    def to_arrow(self) -> pa.Table:
        """The forecasts as a ``pyarrow.Table``."""
        f = self.forecast
        return pa.table(
            {
                "user_id": list(self.user_ids),
                "forecast": f.mean,
                "low": f.low,
                "high": f.high,
                "variance": f.variance,
                "horizon_days": np.full(f.mean.size, self.task.horizon_days, dtype=np.int32),
            }
        )


def _document(result: Shown | Verdict) -> Document:
    if isinstance(result, Verdict):
        fields = (Field(name="point", label="Point"), Field(name="text", label="Text"))
        rows = [("because", b) for b in result.because] + [
            ("what would change our mind", w) for w in result.would_change
        ]
        page = Page(name="verdict", title="Verdict", blocks=(Grid.of("verdict", "Why", fields, rows),))
        return Document(title=result.question, lead=f"{result.stance.value.capitalize()}.", pages=(page,))
    name = str(getattr(result, "title", type(result).__name__))
    lead = next((b.text for b in result.blocks() if isinstance(b, Prose)), name)
    return Document(title=name, lead=lead, pages=(Page(name="result", title=name, blocks=result.blocks()),))


def study_of(table: Table) -> Study:
    """The study that made a table: its settings and its source, as they were read."""
    if table.files[0] not in _studies:
        root = table.files[0].split(f"/{STORE_NAME}/")[0]
        raise UsageError(
            "road.unknown_workspace",
            what=f"The result of '{root}' was not made in this session.",
            why="Its engine and settings are not open.",
            do=f"Call headwater.read('{root}') first; steps already made are reused.",
        )
    return _studies[table.files[0]]


def _task(study: Study, target: str, horizon_days: int, *, occasions: str | None, level: float) -> Task:
    return task_of(study.ledger(), target, horizon_days, occasions=occasions, level=level)


def day_given(value: _DAY) -> int:
    """A day as it was written, as an app day."""
    return value if isinstance(value, int) else day_of(value)
