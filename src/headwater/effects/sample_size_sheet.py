"""The live sheet of sample sizes: formulas that give in Excel what Python gives."""

from __future__ import annotations

from math import ceil, sqrt

from scipy import special

from headwater.core.block import Form, WhatIf, WhatIfInput, WhatIfOutput
from headwater.effects.history import MetricHistory

__all__ = ["sample_size_sheet"]

_SMALL = 1e-6


def sample_size_sheet(
    history: MetricHistory,
    *,
    rel_effect: float,
    alpha: float,
    power: float,
    shares: tuple[float, float],
    users_a_day: float,
    inflation: float = 1.0,
) -> WhatIf:
    """Users and days of a two-sided test of one metric, by the normal approximation, live in a workbook.

    ``shares`` are those of the two arms of all users; ``inflation`` is what the stop rule costs.
    """
    most = 1e15
    inputs = tuple(
        WhatIfInput(name=name, label=label, value=value, form=form, low=low, high=high)
        for name, label, value, form, low, high in (
            ("base_value", "Level in history", history.value, Form.NUMBER, -most, most),
            ("user_sd", "Standard deviation of users", sqrt(history.variance), Form.NUMBER, 0, most),
            ("rel_effect", "Relative effect to find", abs(rel_effect), Form.SHARE, _SMALL, 100),
            ("error_rate", "Error rate of this comparison", alpha, Form.NUMBER, 1e-12, 0.5),
            ("power_share", "Power", power, Form.SHARE, 0.5, 0.9999),
            ("control_share", "Share of users in the control", shares[0], Form.SHARE, _SMALL, 1),
            ("arm_share", "Share of users in the arm", shares[1], Form.SHARE, _SMALL, 1),
            ("removed_share", "Variance that covariates remove", 1 - history.left, Form.SHARE, 0, 0.9999),
            ("cluster_factor", "Design effect of clusters", history.inflation, Form.NUMBER, _SMALL, 1e6),
            ("rule_factor", "What the stop rule costs", inflation, Form.NUMBER, 1, 100),
            ("users_a_day", "New users a day", max(users_a_day, _SMALL), Form.NUMBER, _SMALL, 1e12),
        )
    )
    return WhatIf(
        name="sample_size",
        title=f"Sample size of {history.metric.name}",
        inputs=inputs,
        outputs=_outputs({i.name: i.value for i in inputs}),
        note="Change a yellow cell. Users are of the whole experiment; days go by the mean arrivals of the first four weeks.",
    )


def _outputs(x: dict[str, float]) -> tuple[WhatIfOutput, ...]:
    difference = abs(x["base_value"]) * x["rel_effect"]
    variance = x["user_sd"] ** 2 * (1 - x["removed_share"]) * x["cluster_factor"]
    per_user = variance * (1 / x["control_share"] + 1 / x["arm_share"])
    reach = float(special.ndtri(x["power_share"])) - float(special.ndtri(x["error_rate"] / 2))
    users = ceil(reach**2 * per_user / difference**2 * x["rule_factor"])
    days = ceil(users / x["users_a_day"])
    week = reach * sqrt(per_user * x["rule_factor"] / (7 * x["users_a_day"])) / abs(x["base_value"])
    return (
        _output("difference", "Effect in the metric's unit", difference, Form.NUMBER, "ABS(base_value)*rel_effect"),
        _output(
            "spread_per_user", "Variance of the difference, times users", per_user, Form.NUMBER,
            "user_sd^2*(1-removed_share)*cluster_factor*(1/control_share+1/arm_share)",
        ),
        _output(
            "reach", "Standard errors to be bridged", reach, Form.NUMBER,
            "NORM.S.INV(1-error_rate/2)+NORM.S.INV(power_share)",
        ),
        _output(
            "users_needed", "Users needed", users, Form.INTEGER,
            "ROUNDUP(reach^2*spread_per_user/difference^2*rule_factor,0)",
        ),
        _output("days_needed", "Days needed", days, Form.INTEGER, "ROUNDUP(users_needed/users_a_day,0)"),
        _output(
            "found_in_a_week", "Relative effect found in one week", week, Form.SHARE,
            "reach*SQRT(spread_per_user*rule_factor/(7*users_a_day))/ABS(base_value)",
        ),
    )  # fmt: skip


def _output(name: str, label: str, value: float, form: Form, formula: str) -> WhatIfOutput:
    return WhatIfOutput(name=name, label=label, value=float(value), form=form, formula=formula)
