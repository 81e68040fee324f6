"""Effects of what is known of a customer from the start (country, channel) on buying and on leaving.

A customer with the row z of indicators has the parameters of the process times a power of e that is linear in
z: he buys exp(g'z) times as fast, and leaves exp(d'z) times as fast (Pareto/NBD) or at exp(d'z) times the odds
after a purchase (BG/NBD). On logarithms this is a linear map of one vector of parameters, so the log-likelihood
of the customers with one z is the process's own at a mapped point, and derivatives follow by that map
(Fader & Hardie 2007, note 19, Incorporating Time-Invariant Covariates; CLVTools' static models).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np

from headwater.numerics.maximize import Box, Evaluation, Fit, Objective, Params, maximize
from headwater.numerics.rfm import Floats, Ints, RfmRows, compress, dot

__all__ = [
    "SPREADS",
    "Kind",
    "Loadings",
    "StaticParams",
    "fit_static",
    "kinds_of",
    "static_log_likelihood",
]

SPREADS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Prior standard deviations of an effect on a logarithm that are tried: 2% to e-fold. They have no unit."""

_LARGEST = 5.0
_FLAT = 1e-9

FitRows = Callable[[RfmRows], Fit[Any]]
ByLogs = Callable[[RfmRows], Objective]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """Customers of one kind: their indicators ``z`` ``(q,)`` and their rows."""

    z: Floats
    rows: RfmRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadings:
    """What one unit of an effect does to the logarithm of each parameter of a process, by its name."""

    purchase: Mapping[str, float]
    dropout: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StaticParams:
    """Parameters of the reference customer, and effects ``(q,)`` on the logarithms of buying and of leaving.

    ``spreads`` are those of the priors of the two kinds of effects.
    """

    process: Any
    loadings: Loadings
    purchase: Floats
    dropout: Floats
    spreads: tuple[float, float] = (np.inf, np.inf)

    def of(self, z: Floats) -> Any:
        """The process's parameters of customers with the indicators ``z``."""
        moves = (
            (self.loadings.purchase, dot(self.purchase, z)),
            (self.loadings.dropout, dot(self.dropout, z)),
        )
        changed = {
            name: getattr(self.process, name) * float(np.exp(share * effect))
            for loading, effect in moves
            for name, share in loading.items()
        }
        return replace(self.process, **changed)

    def rescale(self, factor: float) -> StaticParams:
        """The same model in another unit of time; effects have none."""
        return replace(self, process=self.process.rescale(factor))

    def as_array(self) -> Floats:
        """The reference customer's parameters, then the multipliers exp(effect) of buying and of leaving."""
        own = cast("Params", self.process).as_array()
        return np.concatenate([own, np.exp(self.purchase), np.exp(self.dropout)])


def static_log_likelihood(
    params: StaticParams, *, kinds: Sequence[Kind], log_likelihood: Callable[..., float]
) -> float:
    """Log-likelihood of all kinds under a process's own ``log_likelihood``."""
    return sum(log_likelihood(params.of(k.z), rows=k.rows) for k in kinds)


def fit_static(
    folds: Sequence[Sequence[Kind]],
    *,
    names: Sequence[str],
    fit: FitRows,
    by_logs: ByLogs,
    loadings: Loadings,
    spreads: tuple[float, float] | None = None,
) -> Fit[StaticParams]:
    """Penalized maximum likelihood: effects on buying and on leaving have normal priors, one spread for each.

    Without ``spreads`` those are taken under which held-out customers are likeliest: each fold is held out
    once, and the fit without it is one Newton step from the fit with all, its score and curvature taken away.

    Parameters
    ----------
    folds
        Customers of each fold by kind; how they are dealt out must not depend on what they did.
    names
        Of the q indicators.
    fit, by_logs
        The process: its fit without effects, and its log-likelihood by logarithms of its parameters.

    Returns
    -------
    Fit
        Its log-likelihood is without the penalty, its covariance (of effects and of the logarithms of the
        parameters) with it.
    """
    plain, scale, scaled = _start(folds, fit)
    objectives = [_joined(f, by_logs=by_logs, loadings=loadings, own_names=plain.names) for f in scaled]
    whole, own, q = _sum(objectives), len(plain.names), len(names)
    start = np.concatenate([np.log(plain.params.as_array()), np.zeros(2 * q)])
    box = _box(plain, names)
    if spreads is None:
        widest = (SPREADS[-1], SPREADS[-1])
        start = maximize(_penalized(whole, _precision(own, q, widest)), starts=[start], box=box).point
        spreads = _choose([o(start) for o in objectives], point=start, q=q)
    precision = _precision(own, q, spreads)
    top = maximize(_penalized(whole, precision), starts=[start], box=box)
    process = type(plain.params)(**dict(zip(plain.names, np.exp(top.point[:own]).tolist(), strict=True)))
    params = StaticParams(
        process=process,
        loadings=loadings,
        purchase=top.point[own : own + q],
        dropout=top.point[own + q :],
        spreads=spreads,
    )
    return Fit(
        params=params,
        names=box.names,
        log_likelihood=top.value + 0.5 * dot(precision, top.point**2),
        covariance=top.covariance,
        converged=top.converged,
        iterations=top.iterations,
        boundary=top.boundary,
        n_users=plain.n_users,
        dimension=plain.dimension,
    ).rescale(scale)


def _choose(at: Sequence[Evaluation], *, point: Floats, q: int) -> tuple[float, float]:
    """The spreads whose fits without each fold give that fold the highest log-likelihood, to second order."""
    own = point.size - 2 * q

    def held_out(spreads: tuple[float, float]) -> float:
        precision = _precision(own, q, spreads)
        steps = [_without(k, at=at, point=point, precision=precision) for k in range(len(at))]
        return sum(
            float(e.gradient @ step + 0.5 * step @ e.hessian @ step)
            for e, step in zip(at, steps, strict=True)
        )

    return max(((buys, leaves) for buys in SPREADS for leaves in SPREADS), key=held_out)


def _without(fold: int, *, at: Sequence[Evaluation], point: Floats, precision: Floats) -> Floats:
    """The step from the fit of all to the penalized maximum of all but one fold, by the quadratic through the former."""
    others = [e for k, e in enumerate(at) if k != fold]
    gradient = np.sum([e.gradient for e in others], axis=0) - precision * point
    values, vectors = np.linalg.eigh(np.diag(precision) - np.sum([e.hessian for e in others], axis=0))
    floor = np.maximum(values, _FLAT * max(1.0, float(np.abs(values).max())))
    step = vectors @ ((vectors.T @ gradient) / floor)
    return np.clip(step, -_LARGEST, _LARGEST)


def _start(folds: Sequence[Sequence[Kind]], fit: FitRows) -> tuple[Fit[Any], float, list[list[Kind]]]:
    """The fit without effects, in units of the mean age, which is ``scale``, and the kinds in that unit."""
    kinds = [k for fold in folds for k in fold]
    n_users = sum(k.rows.n_users for k in kinds)
    scale = sum(dot(k.rows.weights, k.rows.T) for k in kinds) / n_users
    scaled = [[Kind(z=k.z, rows=k.rows.in_units_of(scale)) for k in fold] for fold in folds]
    flat = [k.rows for fold in scaled for k in fold]
    together = {n: np.concatenate([getattr(r, n) for r in flat]) for n in ("x", "t_x", "T", "weights")}
    return fit(RfmRows(**together)), scale, scaled


def _joined(
    kinds: Sequence[Kind], *, by_logs: ByLogs, loadings: Loadings, own_names: Sequence[str]
) -> Objective:
    """The log-likelihood of all kinds by the logarithms of the parameters and the effects, one vector."""
    buys, leaves = (
        np.array([loading.get(n, 0.0) for n in own_names])
        for loading in (loadings.purchase, loadings.dropout)
    )
    eye = np.eye(len(own_names))
    parts = [(np.hstack([eye, np.outer(buys, k.z), np.outer(leaves, k.z)]), by_logs(k.rows)) for k in kinds]

    def objective(point: Floats) -> Evaluation:
        value, gradient, hessian = 0.0, np.zeros(point.size), np.zeros((point.size, point.size))
        for mapped, own in parts:
            there = own(mapped @ point)
            value += there.value
            gradient += mapped.T @ there.gradient
            hessian += mapped.T @ there.hessian @ mapped
        return Evaluation(value=value, gradient=gradient, hessian=hessian)

    return objective


def _sum(objectives: Sequence[Objective]) -> Objective:
    def objective(point: Floats) -> Evaluation:
        found = [o(point) for o in objectives]
        return Evaluation(
            value=sum(e.value for e in found),
            gradient=np.sum([e.gradient for e in found], axis=0),
            hessian=np.sum([e.hessian for e in found], axis=0),
        )

    return objective


def _penalized(objective: Objective, precision: Floats) -> Objective:
    def penalized(point: Floats) -> Evaluation:
        there = objective(point)
        return Evaluation(
            value=there.value - 0.5 * dot(precision, point**2),
            gradient=there.gradient - precision * point,
            hessian=there.hessian - np.diag(precision),
        )

    return penalized


def _precision(own: int, q: int, spreads: tuple[float, float]) -> Floats:
    return np.concatenate([np.zeros(own), np.full(q, spreads[0] ** -2.0), np.full(q, spreads[1] ** -2.0)])


def _box(plain: Fit[Any], names: Sequence[str]) -> Box:
    own, reach = len(plain.names), np.full(2 * len(names), _LARGEST)
    return Box(
        names=(*plain.names, *(f"purchases of {n}" for n in names), *(f"dropout of {n}" for n in names)),
        low=np.concatenate([np.full(own, np.log(1e-6)), -reach]),
        high=np.concatenate([np.full(own, np.log(1e6)), reach]),
    )


def kinds_of(rows: RfmRows, *, pattern: Ints, fold: Ints, z: Floats) -> list[list[Kind]]:
    """Customers by fold and kind, grouped to distinct histories; ``pattern`` is an index into the rows of ``z``."""
    found: list[list[Kind]] = []
    for f in np.unique(fold).tolist():
        kinds: list[Kind] = []
        for k in np.unique(pattern[fold == f]).tolist():
            own = (pattern == k) & (fold == f)
            grouped, _ = compress(rows.x[own], t_x=rows.t_x[own], T=rows.T[own], weights=rows.weights[own])
            kinds.append(Kind(z=z[k], rows=grouped))
        found.append(kinds)
    return found
