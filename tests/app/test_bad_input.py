"""Bad data through ``init`` and ``run``: a finding or an error with its code, never a trace, never a silent loss."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Shop

Run = Callable[..., "Ran"]
Lines = Callable[..., list[str]]
HEADER = "user_id,ordered_at,order_id,amount,country"
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "</script><script>window.__xss=1</script>",
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "\u202eabc",
]
BIG = 1_234_567_890_123_456_000


def walk(run: Run, folder: Path, data: bytes, *, name: str = "orders.csv", small: bool = True) -> list[Ran]:
    """``init`` and ``run`` on a file; two quick models are enough to walk the whole road."""
    (folder / name).write_bytes(data)
    ran = [run("init", name, "--json", at=folder)]
    config = folder / "headwater.toml"
    if config.is_file():
        if small:
            text = config.read_text(encoding="utf-8")
            quick = 'target = "revenue"\nmodels = ["rate_so_far", "bg_nbd"]'
            config.write_text(
                text.replace('target = "revenue"', quick).replace('["30d", "90d"]', '["30d"]'),
                encoding="utf-8",
            )
        ran.append(run("run", "--json", at=folder))
    for one in ran:
        assert one.code in {0, 3, 4}, one
        assert "Traceback" not in one.out + one.err
        assert not (folder / ".headwater" / "last-error.txt").exists()
        said = one.json
        assert said["ok"] == (one.code == 0)
        if one.code:
            assert re.fullmatch(r"[a-z_]+\.[a-z_]+", said["error"]["code"])
            assert all(said["error"][part] for part in ("what", "why", "do"))
        if "events" in said:
            account = said["events"]
            assert account["n_rows_in"] == account["n_kept"] + account["n_quarantined"]
    return ran


def as_csv(lines: list[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def codes(said: dict[str, Any]) -> set[str]:
    """The codes of everything a run found, refused or said."""
    found = {f["code"] for f in said["findings"]} | {f["code"] for f in said["refused"].values()}
    return found | {r["code"] for r in said["events"]["rules"] if r["n_rows"]}


def shown(folder: Path) -> tuple[str, str]:
    """The text of the HTML report, and of all sheets of the workbook."""
    book = zipfile.ZipFile(folder / "reports" / "report.xlsx")
    sheets = "".join(book.read(n).decode() for n in book.namelist() if n.endswith(".xml"))
    return (folder / "reports" / "report.html").read_text(encoding="utf-8"), sheets


def test_a_column_that_is_not_there(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    first = walk(headwater, tmp_path, as_csv(order_lines(n_users=120)))
    assert [r.code for r in first] == [0, 0]
    columns = HEADER.split(",")
    for gone in ("amount", "user_id", "ordered_at", "order_id", "country"):
        keep = [i for i, c in enumerate(columns) if c != gone]
        lines = [",".join(line.split(",")[i] for i in keep) for line in order_lines(n_users=120)]
        (tmp_path / "orders.csv").write_bytes(as_csv(lines, ",".join(columns[i] for i in keep)))
        ran = headwater("run", "--json", at=tmp_path)
        assert (ran.code, "Traceback" in ran.err) == (3, False)
        assert f"'{gone}'" in ran.json["error"]["what"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "source.empty"),
        (b"\n\n\n", None),
        (HEADER.encode(), None),
        (HEADER.encode() + b"\n", None),
        (b"user_id,ordered_at\n,\n,\n", None),
        (b"\x00\x01\x02\x03" * 100, None),
        (b"one column only\nx\ny\n", None),
    ],
    ids=["empty", "blank lines", "header", "header and line end", "no value", "binary", "one column"],
)
def test_a_file_without_anything_to_learn_from(
    tmp_path: Path, headwater: Run, data: bytes, code: str | None
) -> None:
    ran = walk(headwater, tmp_path, data)
    assert ran[-1].code in {3, 4}
    if code:
        assert ran[0].json["error"]["code"] == code


def test_a_source_that_became_empty(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    walk(headwater, tmp_path, as_csv(order_lines(n_users=60)))
    for data, code in ((b"", "source.empty"), (as_csv([]), "source.no_rows")):
        (tmp_path / "orders.csv").write_bytes(data)
        ran = headwater("run", "--json", at=tmp_path)
        assert (ran.code in {3, 4}, ran.json["error"]["code"]) == (True, code)


def test_one_user(tmp_path: Path, headwater: Run) -> None:
    lines = [
        f"only,2024-{1 + d // 28:02d}-{1 + d % 28:02d} 10:00:00,o{d},{5 + d % 3}.50,de"
        for d in range(0, 330, 3)
    ]
    ran = walk(headwater, tmp_path, as_csv(lines), small=False)[-1]
    assert ran.json["events"]["n_kept"] == len(lines)
    assert {(t["order"], t["plan"]) for t in ran.json["totals"]} == {("cannot say", "cannot say")}
    html, _ = shown(tmp_path)
    assert "ledger.one_user" in html


def test_money_that_is_all_zero(
    tmp_path: Path, headwater: Run, order_lines: Lines, shops: Callable[..., Shop], all_models: str
) -> None:
    lines = [re.sub(r",-?\d+\.\d\d,", ",0.00,", line) for line in order_lines(n_users=200)]
    shop = shops(tmp_path / "told", settings=all_models, lines=lines)
    ran = headwater("run", "--json", at=shop.folder)
    assert ran.code == 0
    assert ran.json["events"]["n_kept"] == len(lines)
    (total,) = ran.json["totals"]
    assert (total["value"], total["order"], total["plan"]) == (0.0, "cannot say", "cannot say")
    html, _ = shown(shop.folder)
    assert "measure.all_zero" in html
    assert "measure.all_zero" in codes(ran.json)
    proposed = walk(headwater, tmp_path, as_csv(lines))[-1]
    assert (proposed.code, proposed.json["events"]["n_kept"]) == (0, len(lines))


def test_ids_of_19_digits_keep_their_last_digits(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    lines = [f"{BIG + int(line[1:5])}{line[5:]}" for line in order_lines(n_users=200)]
    ran = walk(headwater, tmp_path, as_csv(lines))[-1]
    assert ran.code == 0
    assert ran.json["totals"][0]["n_users"] == 200
    html, sheets = shown(tmp_path)
    in_book = set(re.findall(rf"\b{str(BIG)[:16]}\d{{3}}\b", sheets))
    assert in_book == {str(BIG + k) for k in range(200)}
    in_page = set(re.findall(rf"\b{str(BIG)[:16]}\d{{3}}\b", html))
    assert len(in_page) >= 20
    assert in_page <= in_book
    (ledger,) = (tmp_path / ".headwater" / "steps" / "ledger").glob("*/users.parquet")
    assert ledger.is_file()


def test_chinese_names_columns_and_values(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    lines = [line.replace("u0", "用户0").replace(",de", ",德国") for line in order_lines(n_users=200)]
    ran = walk(
        headwater, tmp_path, as_csv(lines, "用户,下单时间,订单号,金额,国家"), name="订单.csv", small=False
    )
    assert ran[0].code == 0, ran[0].json
    assert ran[-1].code == 0
    assert ran[-1].json["events"]["n_kept"] == len(lines)
    html, sheets = shown(tmp_path)
    assert "用户0001" in html or "用户0" in html
    assert "用户0001" in sheets


def test_a_broken_byte_is_told_by_init_and_is_one_row_in_quarantine(
    tmp_path: Path, headwater: Run, order_lines: Lines
) -> None:
    lines = order_lines(n_users=200)
    data = as_csv(lines).replace(b",de\n", b",d\xff\n", 1)
    first, ran = walk(headwater, tmp_path, data)
    assert 'encoding = "latin-1"' in first.json["settings"]
    assert "The file is not UTF-8" in first.json["settings"]
    assert ran.json["events"]["n_kept"] == len(lines)
    config = tmp_path / "headwater.toml"
    config.write_text(re.sub(r"(?m)^encoding.*$", "", config.read_text(encoding="utf-8")), encoding="utf-8")
    ran = headwater("run", "--json", at=tmp_path)
    account = ran.json["events"]
    assert (ran.code, account["n_rows_in"], account["n_quarantined"]) == (0, len(lines), 1)
    assert "unreadable(invalid encoding)" in codes(ran.json)


def test_a_broken_byte_among_chinese_names_is_not_read_as_other_letters(
    tmp_path: Path, headwater: Run, order_lines: Lines
) -> None:
    lines = [line.replace(",de", ",德国") for line in order_lines(n_users=60)]
    (ran,) = walk(headwater, tmp_path, as_csv(lines).replace("德国".encode(), "德国".encode()[:-1], 1))
    assert (ran.code, ran.json["error"]["code"]) == (3, "source.encoding")


def test_two_time_zones_are_told(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    def zoned(number: int, line: str) -> str:
        user, at, rest = line.split(",", 2)
        return f"{user},{at}{'+08:00' if number % 2 else '-05:00'},{rest}"

    lines = [zoned(i, line) for i, line in enumerate(order_lines(n_users=200))]
    ran = walk(headwater, tmp_path, as_csv(lines))[-1]
    assert ran.code == 0
    assert ran.json["events"]["n_kept"] == len(lines)
    assert "time.several_offsets" in codes(ran.json)
    mixed = [line.replace("+08:00", "") for line in lines]
    (tmp_path / "orders.csv").write_bytes(as_csv(mixed))
    ran = headwater("run", "--json", at=tmp_path)
    assert (ran.code, "time.mixed_offsets" in codes(ran.json)) == (0, True)
    assert ran.json["events"]["n_kept"] == len(lines)


def test_hostile_user_ids_are_shown_and_never_run(tmp_path: Path, headwater: Run, order_lines: Lines) -> None:
    names = {f"u{i:04d}": f'"{name}"' for i, name in enumerate(HOSTILE)}
    lines = [names.get(line[:5], line[:5]) + line[5:] for line in order_lines(n_users=200)]
    ran = walk(headwater, tmp_path, as_csv(lines))[-1]
    assert ran.code == 0
    assert ran.json["totals"][0]["n_users"] == 200
    html, sheets = shown(tmp_path)
    assert "<script>window.__xss" not in html
    assert not re.search(r"<f>[^<]*(cmd|SUM\(A1\))", sheets)
    assert "=cmd|" in sheets
    assert json.loads(ran.out)["ok"]
