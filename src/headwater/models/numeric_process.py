"""A purchase process made of one numerics module and the class of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headwater.models.model import Floats
from headwater.numerics.maximize import Fit, Params
from headwater.numerics.rfm import RfmRows

__all__ = ["NumericProcess", "Numerics"]

P = TypeVar("P", bound=Params)


class Numerics(Protocol[P]):
    """What a numerics module of purchases offers; a module itself meets this."""

    def fit(self, rows: RfmRows) -> Fit[P]:
        """Maximum likelihood on grouped rows."""
        ...

    def expected_purchases(
        self, params: P, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon: float
    ) -> Floats:
        """Expected purchases of each user over the horizon."""
        ...

    def p_alive(self, params: P, *, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
        """Probability that each user is still a customer."""
        ...

    def draw_future_purchases(
        self,
        params: P,
        *,
        x: ArrayLike,
        t_x: ArrayLike,
        T: ArrayLike,
        horizon: float,
        rng: np.random.Generator,
        n_draws: int,
    ) -> NDArray[np.int64]:
        """Drawn purchases, shape (n_draws, n_users)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericProcess(Generic[P]):
    """Meets ``buy_till_you_die.Process``."""

    numerics: Numerics[P]
    params: type[P]

    def fit(self, rows: RfmRows) -> Fit[P]:
        """Maximum likelihood on grouped rows."""
        return self.numerics.fit(rows)

    def restore(self, params: Mapping[str, float]) -> P:
        """Parameters from plain numbers."""
        return self.params(**params)

    def expected(self, params: P, users: RfmRows, horizon: float) -> Floats:
        """Expected purchase days of each user over the horizon."""
        return self.numerics.expected_purchases(params, x=users.x, t_x=users.t_x, T=users.T, horizon=horizon)

    def alive(self, params: P, users: RfmRows) -> Floats:
        """Probability that each user is still a customer."""
        return self.numerics.p_alive(params, x=users.x, t_x=users.t_x, T=users.T)

    def draw(
        self, params: P, users: RfmRows, horizon: float, *, rng: np.random.Generator, n_draws: int
    ) -> NDArray[np.int64]:
        """Drawn purchase days, shape (n_draws, n_users)."""
        return self.numerics.draw_future_purchases(
            params, x=users.x, t_x=users.t_x, T=users.T, horizon=horizon, rng=rng, n_draws=n_draws
        )
