"""The purchase processes that take several forms: as they are, in seasons, and by what is known of a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from headwater.models.model import Floats
from headwater.models.numeric_process import NumericProcess, Numerics
from headwater.numerics import bg_nbd, pareto_nbd
from headwater.numerics.bg_nbd import BgNbdParams
from headwater.numerics.maximize import Fit, Objective, Params
from headwater.numerics.pareto_nbd import ParetoNbdParams
from headwater.numerics.rfm import RfmRows
from headwater.numerics.static_effects import Loadings

__all__ = ["BG_NBD", "PARETO_NBD", "FormedNumerics", "FormedProcess"]

P = TypeVar("P", bound=Params)


class FormedNumerics(Numerics[P], Protocol[P]):
    """What a numerics module offers beside, so that its process can take other forms."""

    def fit(self, rows: RfmRows, *, start: P | None = None) -> Fit[P]:
        """Maximum likelihood on grouped rows, from parameters near by where there are any."""
        ...

    def slopes_by_time(self, params: P, *, rows: RfmRows) -> tuple[Floats, Floats]:
        """Derivatives of each row's log-likelihood by ``t_x`` and by ``T``."""
        ...

    def by_logs(self, rows: RfmRows) -> Objective:
        """The log-likelihood by the logarithms of the parameters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FormedProcess(NumericProcess[P]):
    """A process of one numerics module; ``leaving`` says in words what an effect on dropout multiplies."""

    forms: FormedNumerics[P]
    loadings: Loadings
    leaving: str

    def refit(self, rows: RfmRows, start: P | None) -> Fit[P]:
        """Its fit, from parameters near by where there are any."""
        return self.forms.fit(rows, start=start)

    def slopes_by_time(self, params: P, rows: RfmRows) -> tuple[Floats, Floats]:
        """Derivatives of each row's log-likelihood by ``t_x`` and by ``T``."""
        return self.forms.slopes_by_time(params, rows=rows)

    def by_logs(self, rows: RfmRows) -> Objective:
        """Its log-likelihood by the logarithms of its parameters."""
        return self.forms.by_logs(rows)


BG_NBD: Final = FormedProcess(
    numerics=bg_nbd,
    params=BgNbdParams,
    forms=bg_nbd,
    loadings=Loadings(purchase={"alpha": -1.0}, dropout={"a": 0.5, "b": -0.5}),
    leaving="odds of leaving after a purchase",
)
"""An effect on dropout moves the odds of leaving after a purchase, a/b, and leaves a times b as it is."""

PARETO_NBD: Final = FormedProcess(
    numerics=pareto_nbd,
    params=ParetoNbdParams,
    forms=pareto_nbd,
    loadings=Loadings(purchase={"alpha": -1.0}, dropout={"beta": -1.0}),
    leaving="rate of leaving",
)
