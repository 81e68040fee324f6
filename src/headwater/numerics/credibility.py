"""Credibility: a user's own mean, shrunk towards the mean of his peers by how little of him has been seen.

Buehlmann & Straub (1970); Buehlmann & Gisler (2005), A Course in Credibility Theory and its Applications, chapter 4.
Values may be negative, and of any distribution with a finite variance: only means and variances are used, and the
forecast is the best that is linear in what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwater.numerics.rfm import Floats, Ints, dot, totals

__all__ = ["Credibility", "of_users", "straub"]

_SEEN_LEAST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Credibility:
    """Peers and how far users differ from them, in money or money squared.

    Attributes
    ----------
    mean, slope, center
        The mean of a user with weight w before he is looked at: ``mean + slope (log(1 + w) - center)``; slope is 0
        unless peers were told apart by how often they come.
    lowest, highest
        Between which that mean is kept: a line tells nothing beyond what was seen.
    between, within
        Variance of users' true means about that, and of one purchase about its user's mean.
    positive
        Whether no user had a negative mean: draws then stay above zero.
    """

    mean: float
    slope: float
    center: float
    between: float
    within: float
    positive: bool
    lowest: float = -np.inf
    highest: float = np.inf

    def factor(self, weight: Floats) -> Floats:
        """What counts of a user's own mean, 0 to 1: w / (w + within / between)."""
        if self.between <= 0:
            return np.zeros(weight.shape)
        return np.where(weight > 0, weight / (np.maximum(weight, 1e-300) + self.within / self.between), 0.0)

    def peers(self, weight: Floats) -> Floats:
        """The mean of users of that weight."""
        line = self.mean + self.slope * (np.log1p(weight) - self.center)
        return np.clip(line, self.lowest, self.highest)

    def expected(self, weight: Floats, *, value: Floats) -> Floats:
        """Expected value of a future purchase of users whose ``weight`` purchases had the mean ``value``."""
        own = self.factor(weight)
        return own * value + (1 - own) * self.peers(weight)

    def draw_total(
        self, weight: Floats, *, value: Floats, n_purchases: Ints, rng: np.random.Generator
    ) -> Floats:
        """Draws of the total of ``n_purchases`` ``(n_draws, n)``: a distribution of the right mean and variance.

        Gamma where no user had a negative mean and the expected value is positive, else normal: an assumption that
        the forecast itself does not need.
        """
        each = self.expected(weight, value=value)
        unsure = self.between * (1 - self.factor(weight))
        mean = n_purchases * each
        variance = n_purchases * self.within + n_purchases.astype(np.float64) ** 2 * unsure
        some = (n_purchases > 0) & (variance > 0)
        safe = np.where(some, variance, 1.0)
        rises = some & (mean > 0) & self.positive
        above = np.where(rises, mean, 1.0)
        skewed = rng.gamma(above**2 / safe, safe / above)
        even = rng.normal(mean, np.sqrt(safe))
        return np.where(rises, skewed, np.where(some, even, mean))


def straub(value: Floats, *, weight: Floats, which: Ints) -> Credibility:
    """The Buehlmann-Straub estimators from means ``value`` of ``weight`` observations each, of groups ``which``.

    Groups may have any number of periods; within variance comes from those with two or more. All arrays ``(n,)``.
    """
    groups = int(which.max()) + 1
    size = totals(which, weight, size=groups)
    own = totals(which, weight * value, size=groups) / size
    periods = np.bincount(which, minlength=groups)
    within = dot(weight, (value - own[which]) ** 2) / max(int((periods - 1).sum()), 1)
    return _with_peers(own, weight=size, within=within, by_frequency=False)


def of_users(x: Floats, *, repeat: Floats, first: Floats, by_frequency: bool = False) -> Credibility:
    """Credibility of users with ``x`` repeat purchases of mean ``repeat`` after a first one worth ``first``.

    The first purchase and the repeats are a user's two periods, with weights 1 and x: how far they lie apart gives
    the within variance, after the difference that first purchases have for all is taken off. Peers and the between
    variance are those of the repeats. ``by_frequency`` tells peers apart by log(1 + x).
    """
    share = x / (1 + x)
    apart = first - repeat
    usual = dot(share, apart) / float(share.sum())
    within = dot(share, (apart - usual) ** 2) / max(x.size - 1, 1)
    return _with_peers(repeat, weight=x, within=within, by_frequency=by_frequency)


def _with_peers(own: Floats, *, weight: Floats, within: float, by_frequency: bool) -> Credibility:
    """Between variance (unbiased, not below 0) and the peers' mean, each user weighed by his credibility."""
    place = np.log1p(weight)
    center = dot(weight, place) / float(weight.sum())
    slope = 0.0
    if by_frequency:
        between = _between(own, weight=weight, within=within)
        slope = _slope(own, place=place, factor=_weights(weight, within=within, between=between))
    level = own - slope * (place - center)
    between = _between(level, weight=weight, within=within)
    factor = _weights(weight, within=within, between=between)
    lowest, highest = _seen(own, weight=weight, factor=factor, slope=slope)
    return Credibility(
        mean=dot(factor, level) / float(factor.sum()),
        slope=slope,
        center=center,
        between=between,
        within=within,
        positive=bool((own >= 0).all()),
        lowest=lowest,
        highest=highest,
    )


def _seen(own: Floats, *, weight: Floats, factor: Floats, slope: float) -> tuple[float, float]:
    """Lowest and highest mean of peers: a line starts at the mean of the tenth seen least, and ends at an own mean."""
    lowest, highest = float(own.min()), float(own.max())
    if slope == 0:
        return lowest, highest
    least = weight <= np.quantile(weight, _SEEN_LEAST)
    start = dot(factor[least], own[least]) / float(factor[least].sum())
    return (start, highest) if slope > 0 else (lowest, start)


def _between(own: Floats, *, weight: Floats, within: float) -> float:
    all_of_it = float(weight.sum())
    mean = dot(weight, own) / all_of_it
    free = all_of_it - dot(weight, weight) / all_of_it
    spread = dot(weight, (own - mean) ** 2) - (own.size - 1) * within
    return max(spread / free, 0.0) if free > 0 else 0.0


def _weights(weight: Floats, *, within: float, between: float) -> Floats:
    """Credibility of each user, or his plain weight where users do not differ."""
    if between <= 0:
        return weight
    return weight / (weight + within / between)


def _slope(own: Floats, *, place: Floats, factor: Floats) -> float:
    middle = dot(factor, place) / float(factor.sum())
    spread = dot(factor, (place - middle) ** 2)
    return dot(factor * (place - middle), own) / spread if spread > 0 else 0.0
