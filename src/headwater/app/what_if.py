"""The what-if sheet: what a campaign on the most valuable tenth must bring, with live formulas."""

from __future__ import annotations

from headwater.app.worth import Worth, value_form
from headwater.core.block import Form, Page, WhatIf, WhatIfInput, WhatIfOutput
from headwater.core.ledger import Ledger

__all__ = ["what_if_page"]

_MARGIN, _COST, _LIFT = 0.3, 1.0, 0.05


def what_if_page(worth: Worth, ledger: Ledger) -> Page:
    """Cost, gain and the lift that just pays, as functions of what the reader believes."""
    n, mean = float(worth.top.n_users), max(0.0, round(worth.top.mean, 2))
    block = WhatIf(
        name="what_if",
        title=f"Campaign, {worth.task.horizon_days} days: what it must bring",
        inputs=_inputs(n, mean, value_form(ledger, worth.task)),
        outputs=_outputs(n, mean),
        note="Change a yellow cell. The lift is a belief until a test has measured it.",
    )
    return Page(name="what_if", title="What if", blocks=(block,))


def _inputs(n: float, mean: float, form: Form) -> tuple[WhatIfInput, ...]:
    return (
        WhatIfInput(
            name="n_treated", label="Customers treated", value=n, form=Form.INTEGER, low=0, high=1e9,
            note="default: the top tenth",
        ),
        WhatIfInput(
            name="mean_value", label="Expected value of one", value=mean, form=form, low=0, high=1e12,
            note="default: the top tenth's mean forecast",
        ),
        WhatIfInput(name="margin_share", label="Margin on that value", value=_MARGIN, form=Form.SHARE, low=0, high=1),
        WhatIfInput(name="cost_each", label="Cost of treating one", value=_COST, form=Form.MONEY, low=0, high=1e9),
        WhatIfInput(
            name="lift_share", label="Lift you believe in", value=_LIFT, form=Form.SHARE, low=-1, high=10,
            note="not known before a test",
        ),
    )  # fmt: skip


def _outputs(n: float, mean: float) -> tuple[WhatIfOutput, ...]:
    spend, gain = n * _COST, n * mean * _MARGIN * _LIFT
    return (
        WhatIfOutput(
            name="spend", label="Cost of the campaign", value=spend, form=Form.MONEY, formula="n_treated*cost_each"
        ),
        WhatIfOutput(
            name="gain", label="Extra margin", value=gain, form=Form.MONEY,
            formula="n_treated*mean_value*margin_share*lift_share",
        ),
        WhatIfOutput(name="profit", label="Profit", value=gain - spend, form=Form.MONEY, formula="gain-spend"),
        WhatIfOutput(
            name="break_even_lift", label="Lift that just pays", form=Form.SHARE,
            value=_COST / (mean * _MARGIN) if mean > 0 else 0.0,
            formula="IF(mean_value*margin_share>0,cost_each/(mean_value*margin_share),0)",
            note="below it the campaign loses money, whatever the forecast",
        ),
    )  # fmt: skip
