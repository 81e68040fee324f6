"""A realistic report and the tools that open it."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.core.block import (
    Callout,
    Chart,
    ChartKind,
    Code,
    Document,
    Field,
    Form,
    Grid,
    Heading,
    Page,
    Prose,
    Role,
    WhatIf,
    WhatIfInput,
    WhatIfOutput,
)
from headwater.core.finding import Finding, Severity

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=15000",
]
CHANNELS = (
    ("Organic search", 18_402, 4.31, 3.98, 4.66),
    ("Apple Search Ads", 6_210, 6.87, 6.02, 7.75),
    ("TikTok", 21_934, 1.92, 1.71, 2.14),
    ("小红书 (Xiaohongshu)", 9_377, 2.64, 2.27, 3.05),
    ("Referral program", 2_118, 9.12, 7.43, 11.02),
)


def ltv_curve() -> Chart:
    rows: list[tuple[float | str, ...]] = []
    for channel, scale in (("Organic search", 4.31), ("Apple Search Ads", 6.87), ("TikTok", 1.92)):
        for day in (1, 3, 7, 14, 30, 60, 90):
            value = scale * math.log1p(day) / math.log1p(90)
            spread = 0.04 + 0.001 * day
            rows.append(
                (
                    day,
                    round(value, 3),
                    channel,
                    round(value * (1 - spread), 3),
                    round(value * (1 + spread), 3),
                )
            )
    return Chart(
        name="ltv_curve",
        title="Revenue per user by days since first seen",
        kind=ChartKind.LINE,
        fields=(
            Field(name="day", label="Days since first seen", form=Form.INTEGER),
            Field(name="revenue", label="Revenue per user", form=Form.MONEY, unit="USD"),
            Field(name="channel", label="Channel"),
            Field(name="low", label="Low (90%)", form=Form.MONEY, unit="USD"),
            Field(name="high", label="High (90%)", form=Form.MONEY, unit="USD"),
        ),
        rows=tuple(rows),
        roles=(
            (Role.X, "day"),
            (Role.Y, "revenue"),
            (Role.SERIES, "channel"),
            (Role.LOW, "low"),
            (Role.HIGH, "high"),
        ),
        finding="Apple Search Ads users pay back by day 30; TikTok users do not within 90 days.",
    )


def weekly_revenue() -> Chart:
    days = [f"2026-{month:02d}-{day:02d}" for month in (6, 7, 8) for day in (1, 8, 15, 22, 29)]
    rows = tuple((d, v := 40_000 + 900 * i + 2_500 * (i % 3), v * 0.93, v * 1.07) for i, d in enumerate(days))
    return Chart(
        name="weekly_revenue",
        title="Weekly revenue",
        kind=ChartKind.LINE,
        fields=(
            Field(name="week", label="Week", form=Form.DATE),
            Field(name="revenue", label="Revenue", form=Form.MONEY, unit="USD"),
            Field(name="low", label="Low", form=Form.MONEY, unit="USD"),
            Field(name="high", label="High", form=Form.MONEY, unit="USD"),
        ),
        rows=rows,
        roles=((Role.X, "week"), (Role.Y, "revenue"), (Role.LOW, "low"), (Role.HIGH, "high")),
        finding="Revenue grew in eleven of fourteen weeks.",
    )


def channel_bars() -> Chart:
    return Chart(
        name="channel_value",
        title="Predicted 90-day value by channel",
        kind=ChartKind.BAR,
        fields=(
            Field(name="channel", label="Channel"),
            Field(name="value", label="Value per user", form=Form.MONEY, unit="USD"),
            Field(name="low", label="Low", form=Form.MONEY, unit="USD"),
            Field(name="high", label="High", form=Form.MONEY, unit="USD"),
        ),
        rows=tuple((name, value, low, high) for name, _, value, low, high in CHANNELS),
        roles=((Role.X, "channel"), (Role.Y, "value"), (Role.LOW, "low"), (Role.HIGH, "high")),
        finding="Referred users are worth about twice an organic user; there are few of them.",
    )


def platform_bars() -> Chart:
    return Chart(
        name="platform_share",
        title="Share of users who pay within 30 days",
        kind=ChartKind.BAR,
        fields=(
            Field(name="month", label="Month of first visit"),
            Field(name="share", label="Paying share", form=Form.SHARE),
            Field(name="platform", label="Platform"),
        ),
        rows=tuple(
            (month, share + 0.011 * (platform == "iOS"), platform)
            for month, share in (("June", 0.042), ("July", 0.045), ("August", 0.051))
            for platform in ("Android", "iOS")
        ),
        roles=((Role.X, "month"), (Role.Y, "share"), (Role.SERIES, "platform")),
        finding="The paying share rose on both platforms; iOS stays one point ahead.",
    )


def model_errors() -> Chart:
    rows = (
        ("Rate so far", 0.412, 0.388, 0.437, "Organic"),
        ("BG/NBD with Gamma-Gamma", 0.331, 0.312, 0.352, "Organic"),
        ("LightGBM hurdle", 0.287, 0.266, 0.309, "Organic"),
        ("Rate so far", 0.501, 0.455, 0.549, "Paid"),
        ("BG/NBD with Gamma-Gamma", 0.442, 0.402, 0.480, "Paid"),
        ("LightGBM hurdle", 0.351, 0.318, 0.388, "Paid"),
    )
    return Chart(
        name="model_errors",
        title="Error of each model, three origins",
        kind=ChartKind.POINT_INTERVAL,
        fields=(
            Field(name="model", label="Model"),
            Field(name="error", label="Normalized mean absolute error", form=Form.NUMBER),
            Field(name="low", label="Low", form=Form.NUMBER),
            Field(name="high", label="High", form=Form.NUMBER),
            Field(name="kind", label="Kind of user"),
        ),
        rows=rows,
        roles=(
            (Role.X, "error"),
            (Role.Y, "model"),
            (Role.LOW, "low"),
            (Role.HIGH, "high"),
            (Role.SERIES, "kind"),
        ),
        finding="LightGBM hurdle has the smallest error for both kinds of user.",
    )


def calibration() -> Chart:
    rows = [
        (p, round(p * tilt, 2), round(p * tilt * 0.9, 2), round(p * tilt * 1.1, 2), model)
        for model, tilt in (("LightGBM hurdle", 1.02), ("Rate so far", 0.78))
        for p in (0.4, 0.9, 1.5, 2.4, 3.6, 5.2, 8.9)
    ]
    return Chart(
        name="calibration",
        title="Predicted against actual, by tenth of users",
        kind=ChartKind.CALIBRATION,
        fields=(
            Field(name="predicted", label="Predicted per user", form=Form.MONEY, unit="USD"),
            Field(name="actual", label="Actual per user", form=Form.MONEY, unit="USD"),
            Field(name="low", label="Low", form=Form.MONEY, unit="USD"),
            Field(name="high", label="High", form=Form.MONEY, unit="USD"),
            Field(name="model", label="Model"),
        ),
        rows=tuple(rows),
        roles=(
            (Role.X, "predicted"),
            (Role.Y, "actual"),
            (Role.LOW, "low"),
            (Role.HIGH, "high"),
            (Role.SERIES, "model"),
        ),
        finding="LightGBM hurdle lies on the line; rate so far promises too much for the best users.",
    )


def budget_model() -> WhatIf:
    cpi, ltv, spend = 2.40, 3.10, 50_000.0
    installs = spend / cpi
    return WhatIf(
        name="budget",
        title="What if we spend more?",
        inputs=(
            WhatIfInput(
                name="spend", label="Monthly spend", value=spend, form=Form.MONEY, low=0, high=500_000
            ),
            WhatIfInput(
                name="cpi",
                label="Cost per install",
                value=cpi,
                form=Form.MONEY,
                low=0.1,
                high=20,
                note="Rises with spend; the test of July gives 2.40 at 50,000.",
            ),
            WhatIfInput(
                name="ltv_90d", label="Value per user, 90 days", value=ltv, form=Form.MONEY, low=0, high=100
            ),
        ),
        outputs=(
            WhatIfOutput(
                name="installs", label="Installs", value=installs, form=Form.INTEGER, formula="spend/cpi"
            ),
            WhatIfOutput(
                name="revenue_90d",
                label="Revenue in 90 days",
                value=installs * ltv,
                form=Form.MONEY,
                formula="installs*ltv_90d",
            ),
            WhatIfOutput(
                name="return_share",
                label="Return on spend",
                value=installs * ltv / spend - 1,
                form=Form.SHARE,
                formula="revenue_90d/spend-1",
                note="Above zero the month pays back within 90 days.",
            ),
            WhatIfOutput(
                name="z_90",
                label="Normal quantile used",
                value=1.6448536269514722,
                form=Form.NUMBER,
                formula="=NORM.S.INV(0.95)",
            ),
        ),
        note="Change a yellow cell; the rest follows.",
    )


def user_grid(n_rows: int = 1_500) -> Grid:
    fields = (
        Field(name="user_id", label="User", form=Form.ID),
        Field(name="channel", label="Channel"),
        Field(name="first_on", label="First seen", form=Form.DATE),
        Field(name="orders", label="Orders", form=Form.INTEGER),
        Field(
            name="value",
            label="Predicted value",
            form=Form.MONEY,
            unit="USD",
            note="Mean of the forecast, 90 days.",
        ),
        Field(
            name="p_alive", label="Will return", form=Form.SHARE, note="Probability of one or more visits."
        ),
        Field(name="delta", label="Change since last run", form=Form.NUMBER),
        Field(name="payer", label="Paid before", form=Form.BOOLEAN),
    )
    rows = (
        (
            str(7_312_345_678_901_234_000 + i),
            CHANNELS[i % 5][0],
            f"2026-{1 + i % 8:02d}-{1 + i % 28:02d}",
            i % 17,
            round(90.0 * math.exp(-i / 300), 2),
            round(1 / (1 + i / 200), 4),
            round(math.sin(i) * 3, 3) if i % 11 else None,
            i % 3 == 0,
        )
        for i in range(n_rows)
    )
    return Grid.of(
        "users",
        "Users by predicted value",
        fields,
        rows,
        preview=25,
        note="Maturity: 90 days complete for all.",
    )


def channel_grid() -> Grid:
    fields = (
        Field(name="channel", label="Channel"),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="value", label="Value per user", form=Form.MONEY, unit="USD"),
        Field(name="low", label="Low (90%)", form=Form.MONEY, unit="USD"),
        Field(name="high", label="High (90%)", form=Form.MONEY, unit="USD"),
        Field(
            name="share",
            label="Share of value",
            form=Form.SHARE,
            note="Of all predicted value, before costs.",
        ),
    )
    total = sum(n * value for _, n, value, _, _ in CHANNELS)
    rows = ((name, n, value, low, high, n * value / total) for name, n, value, low, high in CHANNELS)
    return Grid.of("channels", "Value by channel", fields, rows)


def parameter_grid() -> Grid:
    fields = (
        Field(name="parameter", label="Parameter"),
        Field(name="estimate", label="Estimate", form=Form.NUMBER),
        Field(name="error", label="Standard error", form=Form.NUMBER),
    )
    rows = (("r", 0.243, 0.0126), ("alpha", 4.414, 0.378), ("a", 0.793, 0.186), ("b", 2.426, 0.706))
    return Grid.of("parameters", "BG/NBD parameters", fields, rows, note="CDNOW sample, 2,357 customers.")


WARNING = Finding(
    code="maturity.partial",
    severity=Severity.WARN,
    what="9,377 users from 小红书 have 41 of 90 days observed.",
    why="Their value rests on the model alone and may be off by a third.",
    do="Read this channel again after October 20, or use the 30-day horizon.",
)
BLOCKED = Finding(
    code="costs.missing",
    severity=Severity.BLOCK,
    what="No cost is known for 2 of 5 channels.",
    why="Return on spend cannot be computed for them.",
    do="Add a costs source for Referral and TikTok in headwater.toml.",
)
NOTED = Finding(
    code="left_edge",
    severity=Severity.NOTE,
    what="12% of users were first seen in the first week of the log.",
    why="They may be older than they look.",
    do="Nothing, if the log starts at launch.",
)


def build_report() -> Document:
    return Document(
        title="Gift Shop: long-term value, September 2026",
        lead="New users of August will bring $196,000 in 90 days, between $181,000 and $212,000; "
        "move spend from TikTok to Apple Search Ads.",
        pages=(
            Page(
                name="answer",
                title="The answer",
                blocks=(
                    Prose(
                        text="Apple Search Ads users return 2.9 times their cost within 90 days.", lead=True
                    ),
                    Prose(
                        text="The five channels differ by a factor of five in value. The intervals hold "
                        "the true mean in nine runs of ten, as checked on three earlier months."
                    ),
                    Callout(finding=BLOCKED),
                    Callout(finding=WARNING),
                    channel_bars(),
                    channel_grid(),
                ),
            ),
            Page(name="payback", title="Payback", blocks=(ltv_curve(), platform_bars(), weekly_revenue())),
            Page(name="what_if", title="Budget", blocks=(budget_model(),)),
            Page(name="users", title="Users to talk to", blocks=(Callout(finding=NOTED), user_grid())),
            Page(
                name="proof",
                title="Backtest",
                analyst=True,
                blocks=(
                    Prose(text="Three origins four weeks apart; each model saw nothing after its cutoff."),
                    model_errors(),
                    calibration(),
                    Heading(text="Parameters", level=2),
                    parameter_grid(),
                    Code(
                        title="Snapshot query",
                        text='SELECT "user_id", SUM("revenue") AS revenue\nFROM ledger\n'
                        'WHERE app_day < 20620\nGROUP BY "user_id"',
                    ),
                ),
            ),
        ),
        provenance=(
            ("Data", "invoices/*.parquet, 541,909 rows, sha256 8f14e45fceea167a"),
            ("Data window", "2025-12-01 to 2026-08-31"),
            ("Seed", "7"),
            ("Code version", "headwater 0.1.0"),
        ),
    )


@pytest.fixture(scope="session")
def report() -> Document:
    return build_report()


@pytest.fixture(scope="session")
def dumped_dom(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Open a page in a real browser and return its document after the scripts have run."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: the page cannot be opened in a real browser")

    def dump(page: Path) -> str:
        profile = tmp_path_factory.mktemp("profile")
        command = [chromium, *CHROMIUM_FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return dump


RECALCULATE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    '<item oor:path="/org.openoffice.Office.Calc/Formula/Load">'
    '<prop oor:name="OOXMLRecalcMode" oor:op="fuse">'
    "<value>0</value></prop></item></oor:items>"
)


@pytest.fixture(scope="session")
def recalculated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Let LibreOffice compute every formula anew and save the workbook; returns the new file."""
    soffice = shutil.which("soffice")
    if soffice is None:
        pytest.skip("soffice is not installed: formulas cannot be recalculated by another program")
    profile = tmp_path_factory.mktemp("office")
    (profile / "user").mkdir()
    (profile / "user" / "registrymodifications.xcu").write_text(RECALCULATE, encoding="utf-8")

    def recalculate(book: Path) -> Path:
        out = tmp_path_factory.mktemp("recalculated")
        target = [
            "--headless",
            "--convert-to",
            "xlsx:Calc MS Excel 2007 XML",
            "--outdir",
            str(out),
            str(book),
        ]
        command = [soffice, f"-env:UserInstallation={profile.as_uri()}", *target]
        subprocess.run(command, capture_output=True, timeout=180, check=True)
        return out / book.name

    return recalculate
