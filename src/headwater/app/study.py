"""One run over one workspace: every step once, in order, each reused where nothing it depends on changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from headwater.app.bound_settings import require_in_ledger, require_in_snapshot
from headwater.app.config import Settings, calendar_of, contract_of, read_memory, read_threads
from headwater.app.dataset import Dataset
from headwater.app.engines import engine_label, open_engine
from headwater.app.forecast_columns import forecast_columns
from headwater.app.model_settings import model_settings_of
from headwater.app.plan import Job, jobs_of, learning_cutoffs, origins_of, rungs_of
from headwater.app.steps import Steps, ledger_key
from headwater.app.store import Store, fingerprint_of, write_whole
from headwater.app.watch import Silent, Watcher
from headwater.core.audit import Audit
from headwater.core.contract import Events
from headwater.core.errors import DataError, HeadwaterError
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger, Snapshot, Task
from headwater.core.sources import Sourced
from headwater.core.table import Table
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine
from headwater.evaluation.backtest import Backtest, run_backtest
from headwater.evaluation.grouping import Grouping, groups_of
from headwater.evaluation.stability import followed
from headwater.evaluation.totals import SharedError
from headwater.models.declared import with_members
from headwater.models.extras import require_extras
from headwater.models.forecasting import FittedModel, fit_model, restore_model
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import ModelSettings, Training
from headwater.numerics.forecast import Forecast
from headwater.snapshots.attributes import ToldAttributes
from headwater.snapshots.rows import hole_share, rows_at

__all__ = ["FittedStep", "ForecastStep", "Study", "ledger_key", "seeded"]

T = TypeVar("T")
_SHOWN = frozenset(
    ["check", "source", "ledger", "audit", "backtest", "fit", "forecast", "agree", "why", "curves", "added_up", "newcomers", "value"]
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedStep:
    """A saved model: its file (JSON with the model's own text inside), the file's SHA-256, what it says of itself."""

    name: str
    task: Task
    files: tuple[str, ...]
    fingerprint: str
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastStep:
    """Forecasts for every user at a cutoff, and the errors that totals of them share."""

    model: str
    task: Task
    cutoff: int
    rows: Table
    method: str
    shared_error: SharedError


class Study:
    """A workspace, its settings, and the steps of the road.

    Parameters
    ----------
    root
        The folder of ``headwater.toml``; source paths are relative to it.
    today
        The date that ``"today"`` in a rule stands for.
    rehearsal
        Read what is there; raise ``WouldRun`` at the first step that is not.
    engine
        One that is open already, in place of the one that ``[run]`` names.
    workspace
        The folder that holds ``.headwater``, where that is not ``root``.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        today: date,
        seed: int | None = None,
        threads: int | None = None,
        memory: str | None = None,
        watcher: Watcher | None = None,
        rehearsal: bool = False,
        engine: Engine | None = None,
        workspace: Path | None = None,
    ) -> None:
        self.root = root
        self.rehearsal = rehearsal
        self.today = today
        self.settings = settings
        self.contract = contract_of(settings, today=today)
        self.seed = settings.run.seed if seed is None else seed
        self.calendar = calendar_of(settings.app)
        self.threads = settings.run.threads if threads is None else read_threads(threads)
        self.model_settings = model_settings_of(settings.settings)
        self.store = Store(
            workspace or root, engine=engine_label(engine.name if engine else settings.run.engine)
        )
        self.engine: Engine = engine or open_engine(
            settings.run,
            spill=self.store.spill,
            threads=self.threads,
            memory=read_memory(memory) if memory is not None else None,
        )
        self._work = Steps(
            store=self.store, engine=self.engine, watcher=watcher or Silent(), rehearsal=rehearsal
        )
        self.steps = self._work.made
        self.step = self._work.step
        self.keep = self._work.keep
        self._trainings: dict[tuple[object, ...], Training] = {}
        self._data = Dataset(root, settings, self.contract, self._work, today=today)

    def events(self, *, gate: bool = True) -> Events:
        """The quality gate. Raises ``GateError`` where the load fails it, unless ``gate`` is false."""
        return self._data.events(gate=gate)

    def sources(self) -> tuple[Sourced, ...]:
        """The declared sources beside the events, each through its gate."""
        return self._data.sources()

    def told(self) -> ToldAttributes | None:
        """What dated sources of users tell of them."""
        return self._data.told()

    def untold(self) -> tuple[Finding, ...]:
        """What sources of users hold that no snapshot does."""
        return self._data.untold()

    def ledger(self) -> Ledger:
        """The ledger of the kept events."""
        return self._data.ledger()

    def audit(self) -> Audit:
        """What the alarms say of the load as a whole."""
        return self._data.audit()

    def snapshot(
        self, *, cutoffs: tuple[int, ...], horizons: tuple[int, ...], as_of: int | None = None
    ) -> Snapshot:
        """A snapshot; ``as_of`` cuts the ledger itself."""
        return self._data.snapshot(cutoffs=cutoffs, horizons=horizons, as_of=as_of)

    def at_age(self, hours: int, *, horizon_days: int, cohort_days: int) -> Snapshot:
        """Users as known so many hours after their first event."""
        return self._data.at_age(hours, horizon_days=horizon_days, cohort_days=cohort_days)

    def view(self) -> object:
        """What makes a snapshot what it is, beside the ledger and its cutoffs."""
        return self._data.view()

    def require_models(self, *models: str) -> None:
        """Raise ``UsageError`` (``shelf.unknown``, ``extra.missing``) where these models, or one in ``[[predict]]`` or ``[value]``, cannot be fitted here."""
        valued = [self.settings.value.model] if self.settings.value else []
        require_extras([*models, *valued, *(m for p in self.settings.predict for m in p.models)])

    def jobs(self) -> tuple[Job, ...]:
        """What ``[[predict]]`` asks for. Raises ``ConfigError`` where settings of models name what the ledger cannot give."""
        self.require_models()
        require_in_ledger(self.settings, self.model_settings, self.ledger())
        return jobs_of(self.settings.predict, self.ledger(), _default_models())

    def backtest(self, job: Job, *, seed: int | None = None) -> Backtest:
        """Every model at every origin. Raises ``DataError`` where none can be tested."""
        drawn = self.seed if seed is None else seed
        ledger, task = self.ledger(), job.task
        origins = origins_of(
            ledger, horizon_days=task.horizon_days, every_days=job.every_days, n_origins=job.n_origins
        )
        ranks = {m: LTV_MODELS.load(m).simplicity for m in job.models}
        inputs = {
            "ledger": ledger_key(ledger),
            "view": self._data.view(),
            "task": task,
            "models": ranks,
            "origins": origins,
            "every": job.every_days,
            "calendar": self.calendar,
            "settings": self.settings_for(job.models),
            "seed": drawn,
        }
        return self.step(
            "backtest",
            inputs,
            Backtest,
            lambda _: run_backtest(
                task,
                models=ranks,
                origins=origins,
                actual=lambda origin: self._actual(task, origin),
                forecast=lambda model, origin: self.forecast_at(model, job, origin, seed=drawn),
                rng=seeded(drawn, "backtest", job.name),
                groups=lambda origin: self.groups(self.tested(task, origin), origin),
                users=lambda origin: followed(
                    rows_at(self.tested(task, origin), origin, ("user_id", "bucket"))
                ),
                hole_share=lambda origin: hole_share(
                    self.tested(task, origin), origin, horizon_days=task.horizon_days
                ),
            ),
            title=f"testing {len(ranks)} models on the past ({job.name})",
        )

    def fit(self, model: str, job: Job) -> FittedStep:
        """A model fitted on everything known today, saved."""
        ledger = self.ledger()
        snapshot = self.learned_from(job, ledger.end_day)
        inputs = {
            "snapshot": snapshot.rows.fingerprint,
            "model": model,
            "task": job.task,
            "calendar": self.calendar,
            "settings": self.settings_for((model,)),
            "seed": self.seed,
        }
        return self.step(
            "fit",
            inputs,
            FittedStep,
            lambda folder: self._fit(model, job, folder),
            title=f"fitting {model} ({job.name})",
        )

    def forecast(self, model: str, job: Job, *, proof: Backtest) -> ForecastStep:
        """Forecasts for every user, from today on. Raises ``DataError`` (``predict.untested``)."""
        if model not in proof.shared_errors:
            raise _untested(model, proof)
        fitted = self.fit(model, job)
        ledger = self.ledger()
        snapshot = self.learned_from(job, ledger.end_day)
        shared = proof.shared_errors[model]
        inputs = {
            "snapshot": snapshot.rows.fingerprint,
            "model": fitted.fingerprint,
            "shared": asdict(shared),
            "seed": self.seed,
        }
        return self.step(
            "forecast",
            inputs,
            ForecastStep,
            lambda folder: ForecastStep(
                model=model,
                task=job.task,
                cutoff=ledger.end_day,
                rows=self._forecast_table(fitted, snapshot, ledger.end_day, folder),
                method=f"intervals at {job.task.level:.0%}",
                shared_error=shared,
            ),
            title=f"forecasting {job.name}",
        )

    def open_model(self, fitted: FittedStep) -> FittedModel:
        """Read a saved model back. Raises ``HeadwaterError`` (``model.damaged``) where its checksum does not match."""
        saved = Path(fitted.files[0]).read_bytes()
        if hashlib.sha256(saved).hexdigest() != fitted.fingerprint:
            raise HeadwaterError(
                "model.damaged",
                what=f"The saved model '{fitted.name}' does not match its checksum.",
                why="A damaged or changed model file is not opened.",
                do=f"Delete '{fitted.files[0]}' and run again.",
            )
        return restore_model(json.loads(saved), threads=self.threads)

    def fingerprints(self) -> dict[str, str]:
        """The content fingerprint of every step whose result is shown, by step and key."""
        return {label: r.fingerprint for label, r in sorted(self.steps.items()) if r.name in _SHOWN}

    def learned_from(self, job: Job, origin: int, *, as_of: int | None = None) -> Snapshot:
        """The snapshot that models of a job learn from at an origin."""
        days = job.task.horizon_days
        cutoffs = learning_cutoffs(self.ledger(), origin=origin, horizon_days=days, every_days=job.every_days)
        return self.snapshot(cutoffs=cutoffs, horizons=rungs_of(days), as_of=as_of)

    def _training(self, job: Job, origin: int, *, as_of: int | None, seed: int) -> Training:
        """What models learn from at an origin; the latest is kept, so that a blend's members are fitted once."""
        key = (job.task, job.every_days, origin, as_of, seed)
        if key not in self._trainings:
            snapshot = self.learned_from(job, origin, as_of=as_of)
            rng = seeded(seed, "fit", job.name, str(origin))
            self._trainings = {key: self.training(snapshot, job.task, rng=rng)}
        return self._trainings[key]

    def training(self, snapshot: Snapshot, task: Task, *, rng: np.random.Generator) -> Training:
        """What models learn from, with the calendar and the models' settings. Raises ``ConfigError`` where a setting names a column that is not there."""
        require_in_snapshot(self.settings, self.model_settings, snapshot)
        return Training(
            snapshot=snapshot,
            task=task,
            engine=self.engine,
            rng=rng,
            threads=self.threads,
            calendar=self.calendar,
            by_model=self.model_settings,
        )

    def settings_for(self, models: Sequence[str]) -> dict[str, ModelSettings]:
        """The settings that fits of these models depend on, a blend's members' among them."""
        return {k: v for m in models for k, v in with_members(m, self.model_settings).items()}

    def tested(self, task: Task, origin: int) -> Snapshot:
        """Users as known at an origin, with what then came."""
        return self.snapshot(cutoffs=(origin,), horizons=(task.horizon_days,))

    def groups(self, snapshot: Snapshot, cutoff: int) -> dict[str, Grouping]:
        """The groups that forecasts are judged in and added up by, in the order of the snapshot's rows."""
        attributes = [c.name for c in snapshot.attributes]
        rows = rows_at(snapshot, cutoff, ("tenure_days", *attributes))
        return groups_of(rows, cutoff=cutoff, attributes=attributes)

    def _actual(self, task: Task, origin: int) -> np.ndarray:
        return column_floats(rows_at(self.tested(task, origin), origin, (task.target,)), task.target)

    def forecast_at(self, model: str, job: Job, origin: int, *, seed: int) -> Forecast:
        """What a model would have said at a past day, knowing no more than that day did."""
        training = self._training(job, origin, as_of=origin, seed=seed)
        rng = seeded(seed, "forecast", model, job.name, str(origin))
        return fit_model(model, training).forecast(training.snapshot, cutoff=origin, rng=rng)

    def _fit(self, model: str, job: Job, folder: Path) -> FittedStep:
        fitted = fit_model(model, self._training(job, self.ledger().end_day, as_of=None, seed=self.seed))
        text = json.dumps(fitted.state())
        write_whole(folder / "model.json", text)
        return FittedStep(
            name=model,
            task=job.task,
            files=(str(folder / "model.json"),),
            fingerprint=hashlib.sha256(text.encode()).hexdigest(),
            findings=fitted.findings,
            facts=fitted.facts,
        )

    def _forecast_table(self, fitted: FittedStep, snapshot: Snapshot, cutoff: int, folder: Path) -> Table:
        made = self.open_model(fitted).forecast(
            snapshot, cutoff=cutoff, rng=seeded(self.seed, "forecast", fitted.name, fitted.task.target)
        )
        rows = rows_at(snapshot, cutoff, ("user_id", "at_left_edge"))
        arrays = {"forecast": made.mean, "low": made.low, "high": made.high, "variance": made.variance}
        for column, values in arrays.items():
            rows = rows.append_column(column, pa.array(values))
        return self.write_forecast(rows, fitted.task, folder)

    def write_forecast(self, rows: pa.Table, task: Task, folder: Path) -> Table:
        """Keep a table of forecasts: ``user_id, forecast, low, high, variance, at_left_edge``; ``horizon_days`` is added, so that a copy says what it is of."""
        days = pa.repeat(pa.scalar(task.horizon_days, pa.int32()), rows.num_rows)
        rows = rows.append_column("horizon_days", days)
        return self.keep(rows, forecast_columns(task), folder, table=f"forecast_{task.horizon_days}d")


def _untested(model: str, proof: Backtest) -> DataError:
    why = proof.refused[model].what if model in proof.refused else "It was not among the models tested."
    return DataError(
        "predict.untested",
        what=f"{model} was not tested at every past origin. {why}",
        why="Nothing says how far its totals may be off; a forecast without an interval looks surer than it is.",
        do=f"Take a tested model ({', '.join(proof.models)}), a shorter horizon, or a longer log.",
    )


def seeded(seed: int, *what: str) -> np.random.Generator:
    """A generator of its own for each thing drawn, whatever is drawn before it."""
    return np.random.default_rng([seed, int(fingerprint_of(list(what))[:12], 16)])


def _default_models() -> tuple[str, ...]:
    return tuple(n for n in LTV_MODELS.names() if LTV_MODELS.load(n).by_default)
