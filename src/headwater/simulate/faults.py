"""Faults planted into the log, and the truth of which row of which file has which."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.core.span import date_of
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, name, shim, sql, union_all
from headwater.simulate.activity import as_logged
from headwater.simulate.calendar import DAY_US
from headwater.simulate.draws import pick, uniform
from headwater.simulate.files import write_rows
from headwater.simulate.people import PEOPLE
from headwater.simulate.planted import ROW_KINDS, Faults, LoadFault, draw_load_faults, read_faults
from headwater.simulate.world import World, salt

__all__ = ["Faults", "merge_fault_truth", "read_faults", "write_fault_users", "write_faulty"]

_CHANGED, _MARKED = "sim_changed", "sim_marked"
_KEY, _EVENT = name("key"), name("fault_key")
_CARRIED = ("event_key", "key", "signup_us", "event_id", "user_id", "device_id", "event", "at_us", "known_us", "platform", "app_version", "country", "amount", "currency", "amount_usd", "order_id", "network", "content_id", "watched_ms", "note")  # fmt: skip
_ELIGIBLE = {
    "near_duplicate": "purchase",
    "duplicate_order": "purchase",
    "wrong_type": "amount",
    "out_of_range": "amount",
    "trailing_junk": "currency",
    "alias": "network",
    "very_late": "old",
}
_TRUTH = pa.schema(
    [
        ("kind", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("day", pa.string()),
        ("user_id", pa.string()),
        ("dimension", pa.string()),
        ("value", pa.string()),
        ("first_us", pa.int64()),
        ("end_us", pa.int64()),
    ]
)


def write_faulty(
    engine: Engine,
    world: World,
    faults: Faults,
    rows: Sql,
    path: Path,
    *,
    folder: Path,
    period_us: tuple[int, int],
) -> int:
    """Write rows with faults planted, in the order of receipt, and the truth of this file beside; returns rows.

    The rows of one file are held while it is written: memory grows with the users worked on at a time.
    """
    whole = _with_bots(world, faults, rows, period_us)
    engine.hold(_CHANGED, _changed(faults, _marked(faults, _stretched(world, faults, whole))))
    marked = _with_copies(sql("SELECT * FROM {c}", c=name(_CHANGED)))
    engine.hold(
        _MARKED,
        sql(
            "SELECT *, row_number() OVER (ORDER BY known_us, event_id, copy_no) AS row_no FROM ({m}) AS m",
            m=marked,
        ),
    )
    ordered = sql("SELECT * FROM {m} ORDER BY row_no", m=name(_MARKED))
    n_rows = write_rows(engine, as_logged(_as_text(faults, ordered)), path)
    truth = folder / "truth" / "fault_rows" / path.name
    write_rows(engine, _row_truth(str(path.relative_to(folder))), truth)
    for held in (_CHANGED, _MARKED):
        engine.run(sql("DROP TABLE {h}", h=name(held)))
    return n_rows


def merge_fault_truth(engine: Engine, world: World, faults: Faults, folder: Path) -> None:
    """Put the truth of rows, users, stretches and files into ``truth/faults.parquet``; change the last file."""
    whole = _whole_files(world, faults, folder)
    stretches = [_stretch_row(f) for f in draw_load_faults(world, faults)]
    users = folder / "truth" / "fault_users"
    parts = [*sorted((folder / "truth" / "fault_rows").glob("*.parquet")), *sorted(users.glob("*.parquet"))]
    few = folder / "truth" / "fault_stretches.parquet"
    few.parent.mkdir(parents=True, exist_ok=True)
    rows = [*stretches, *whole]
    pq.write_table(pa.table({c: [r.get(c) for r in rows] for c in _TRUTH.names}, schema=_TRUTH), few)
    columns = [name(c) for c in _TRUTH.names]
    scan = shim("scan", *(str(p) for p in [*parts, few]))
    write_rows(engine, sql("SELECT {c} FROM {s}", c=columns, s=scan), folder / "truth" / "faults.parquet")


def write_fault_users(engine: Engine, faults: Faults, folder: Path, chunk_no: int) -> None:
    """The truth of the users of ``sim_people`` who share a device or have many."""
    parts = [_fault_users(faults, kind) for kind in ("shared_device", "many_devices")]
    write_rows(
        engine,
        union_all(parts),
        folder / "truth" / "fault_users" / f"part-{chunk_no:05d}.parquet",
    )


def _fault_users(faults: Faults, kind: str) -> Sql:
    return sql(
        "SELECT {k} AS kind, CAST(NULL AS STRING) AS file, CAST(NULL AS BIGINT) AS {row}, CAST(NULL AS STRING) AS {day}, user_id,"
        " CAST(NULL AS STRING) AS dimension, CAST(NULL AS STRING) AS {value}, CAST(NULL AS BIGINT) AS first_us, CAST(NULL AS BIGINT) AS end_us"
        " FROM {p} WHERE {u} < {share}",
        k=kind,
        row=name("row"),
        day=name("day"),
        value=name("value"),
        p=name(PEOPLE),
        u=_user_draw(faults, kind),
        share=faults.share(kind),
    )


def _user_draw(faults: Faults, kind: str) -> Sql:
    return uniform(shim("mix", _KEY, salt("faults", faults.seed)), f"user {kind}")


def _with_bots(world: World, faults: Faults, rows: Sql, period_us: tuple[int, int]) -> Sql:
    """The rows, and those of bots: users taken over for a day, a view every few seconds, twenty hours long."""
    kept = sql(
        "SELECT {c}, CAST(NULL AS STRING) AS fault FROM ({r}) AS r", c=[name(c) for c in _CARRIED], r=rows
    )
    if not faults.share("bot"):
        return kept
    bot_key = shim("mix", _KEY, salt("faults", faults.seed))
    taken = sql(
        "SELECT *, {gap} AS gap_us, (signup_day + 1 + CAST(floor({day} * 20.0) AS BIGINT)) * {day_us} + 7200000000 AS begin_us"
        " FROM {p} WHERE {u} < {share}",
        gap=sql("2500000 + CAST(floor({g} * 5000000.0) AS BIGINT)", g=uniform(bot_key, "bot gap")),
        day=uniform(bot_key, "bot day"),
        day_us=DAY_US,
        p=name(PEOPLE),
        u=_user_draw(faults, "bot"),
        share=faults.share("bot"),
    )
    each = sql("SELECT *, {each} AS j FROM ({t}) AS t", each=shim("each", 0, sql("CAST(floor(72000000000.0 / gap_us) AS BIGINT)")), t=taken)  # fmt: skip
    views = sql(
        "SELECT *, {k} AS event_key, begin_us + j * gap_us AS at_us FROM ({e}) AS e",
        k=shim("mix", shim("mix", _KEY, salt("bot row")), name("j")),
        e=each,
    )
    return sql(
        "{kept} UNION ALL SELECT event_key, key, signup_us, CAST(event_key >> 1 AS BIGINT) AS event_id, user_id, device_id, 'video_view' AS event, at_us,"
        " at_us + 150000 AS known_us, platform, '3.0.0' AS app_version, country, CAST(NULL AS DOUBLE) AS amount, CAST(NULL AS STRING) AS currency, CAST(NULL AS DOUBLE) AS amount_usd,"
        " CAST(NULL AS STRING) AS order_id, CAST(NULL AS STRING) AS network, j AS content_id, 2000 AS watched_ms, CAST(NULL AS STRING) AS note, 'bot' AS fault"
        " FROM ({v}) AS v WHERE at_us + 150000 >= {a} AND at_us + 150000 < {b} AND at_us < {end}",
        kept=kept,
        v=views,
        a=period_us[0],
        b=period_us[1],
        end=world.end_day * DAY_US,
    )


def _stretched(world: World, faults: Faults, rows: Sql) -> Sql:
    """What stretches do: rows lost, moved to another value, or in another unit."""
    key = sql("SELECT *, {k} AS fault_key FROM ({r}) AS r", k=shim("mix", name("event_key"), salt("faults", faults.seed)), r=rows)  # fmt: skip
    for one in draw_load_faults(world, faults):
        key = _one_stretch(one, key)
    return _identities(faults, key)


def _one_stretch(one: LoadFault, rows: Sql) -> Sql:
    inside = sql("(at_us >= {a} AND at_us < {b})", a=one.first_us, b=one.end_us)
    if one.dimension is not None and one.kind != "mix_shift":
        inside = sql("({i} AND {d} = {v})", i=inside, d=name(one.dimension), v=one.value)
    hit = sql("({i} AND {u} < {s})", i=inside, u=uniform(_EVENT, one.kind), s=one.size)
    match one.kind:
        case "hole_all" | "hole_platform" | "volume_drop":
            return sql("SELECT * FROM ({r}) AS r WHERE NOT coalesce({h}, FALSE)", r=rows, h=hit)
        case "mix_shift":
            return _replaced(
                rows, {"platform": sql("CASE WHEN {h} THEN {v} ELSE platform END", h=hit, v=one.value)}
            )
        case "unit_jump":
            money = {
                c: sql("CASE WHEN {h} THEN {c} * 100.0 ELSE {c} END", h=hit, c=name(c))
                for c in ("amount", "amount_usd")
            }
            return _replaced(rows, money)
        case _:
            return _replaced(
                rows, {"amount_usd": sql("CASE WHEN {h} THEN amount ELSE amount_usd END", h=hit)}
            )


def _identities(faults: Faults, rows: Sql) -> Sql:
    """Devices that many users share, and users with many devices."""
    shared, many = faults.share("shared_device"), faults.share("many_devices")
    if not shared and not many:
        return rows
    device = sql(
        "CASE WHEN {s} < {shared} THEN concat('shared', CAST(floor({g} * 5.0) AS BIGINT)) WHEN {m} < {many} THEN concat(device_id, '-', CAST(floor({d} * 30.0) AS BIGINT)) ELSE device_id END",
        s=_user_draw(faults, "shared_device"),
        shared=shared,
        g=_user_draw(faults, "which shared device"),
        m=_user_draw(faults, "many_devices"),
        many=many,
        d=uniform(_EVENT, "which device"),
    )
    return _replaced(rows, {"device_id": device})


def _replaced(rows: Sql, new: dict[str, Sql]) -> Sql:
    columns = [
        sql("{v} AS {c}", v=new[c], c=name(c)) if c in new else name(c)
        for c in (*_CARRIED, "fault", "fault_key")
    ]
    return sql("SELECT {c} FROM ({r}) AS r", c=columns, r=rows)


def _marked(faults: Faults, rows: Sql) -> Sql:
    """Which single-row fault each row gets: at most one, never on a row of a bot."""
    conditions = {
        "purchase": sql("event = 'purchase'"),
        "amount": sql("event IN ('purchase', 'ad_impression')"),
        "currency": sql("currency IS NOT NULL"),
        "network": sql("network IS NOT NULL"),
        "old": sql("at_us - signup_us > {days}", days=90 * DAY_US),
        "any": sql("TRUE"),
    }
    chain = sql("CASE WHEN fault IS NOT NULL THEN fault")
    for kind in ROW_KINDS:
        if faults.share(kind):
            chain = sql(
                "{c} WHEN {e} AND {u} < {s} THEN {k}",
                c=chain,
                e=conditions[_ELIGIBLE.get(kind, "any")],
                u=uniform(_EVENT, kind),
                s=faults.share(kind),
                k=kind,
            )
    columns = [name(c) for c in (*_CARRIED, "fault_key")]
    return sql("SELECT {c}, {chain} END AS fault FROM ({r}) AS r", c=columns, chain=chain, r=rows)


def _changed(faults: Faults, rows: Sql) -> Sql:
    """The values of faulty rows."""
    size = uniform(_EVENT, "size")
    junk = ("; ", "|", "??", "\t")[faults.seed % 4]
    new = {
        "user_id": sql(
            "CASE fault WHEN 'missing_id' THEN {blank} WHEN 'dangling_reference' THEN concat('x', user_id) ELSE user_id END",
            blank=sql("CASE WHEN {s} < 0.5 THEN NULL WHEN {s} < 0.8 THEN '' ELSE '  ' END", s=size),
        ),
        "at_us": sql(
            "CASE fault WHEN 'future' THEN at_us + CAST(floor((500.0 + 4000.0 * {s}) * {d}) AS BIGINT)"
            " WHEN 'before_signup' THEN signup_us - CAST(floor((0.1 + 40.0 * {s}) * {d}) AS BIGINT)"
            " WHEN 'clock_skew' THEN known_us + CAST(floor((0.05 + 0.9 * {s}) * {d}) AS BIGINT)"
            " WHEN 'very_late' THEN at_us - CAST(floor((20.0 + 60.0 * {s}) * {d}) AS BIGINT) ELSE at_us END",
            s=size,
            d=float(DAY_US),
        ),
        "amount_usd": sql(
            "CASE WHEN fault = 'out_of_range' THEN CASE WHEN {s} < 0.5 THEN -120000.0 - floor(800000.0 * {s}) ELSE 60000.0 + floor(900000.0 * {s}) END ELSE amount_usd END", s=size
        ),
        "currency": sql("CASE WHEN fault = 'trailing_junk' THEN concat(currency, {j}) ELSE currency END", j=junk),
        "network": sql(
            "CASE WHEN fault = 'alias' THEN CASE WHEN {s} < 0.4 THEN lower(network) WHEN {s} < 0.8 THEN concat(upper(network), ' ') ELSE concat(network, ' Inc.') END ELSE network END", s=size
        ),
        "note": sql("CASE WHEN fault = 'personal_data' THEN {p} ELSE note END", p=_personal(size)),
    }  # fmt: skip
    columns = [
        sql("{v} AS {c}", v=new[c], c=name(c)) if c in new else name(c)
        for c in (*_CARRIED, "fault_key", "fault")
    ]
    return sql("SELECT {c} FROM ({r}) AS r", c=columns, r=rows)


def _personal(draw: Sql) -> Sql:
    number = sql("CAST(100 + {id} % 900 AS STRING)", id=name("event_id"))
    return sql(
        "CASE WHEN {s} < 0.4 THEN concat('write me: anna.k', {n}, '@example.com') WHEN {s} < 0.75 THEN concat('call +1 212 555 0', {n}) ELSE 'my card 4111 1111 1111 1111' END",
        s=draw,
        n=number,
    )


def _with_copies(rows: Sql) -> Sql:
    """Rows, and the second row of those that come twice; only the second is the fault."""
    doubled = {
        "exact_duplicate": sql("0"),
        "near_duplicate": sql("{g}", g=_gap(0.2, 3.0)),
        "duplicate_order": sql("{g}", g=_gap(60, 3000)),
    }
    kinds = [sql("{k}", k=k) for k in doubled]
    shift = sql("CASE fault WHEN 'near_duplicate' THEN {n} WHEN 'duplicate_order' THEN {o} ELSE 0 END", n=doubled["near_duplicate"], o=doubled["duplicate_order"])  # fmt: skip
    plain = [c for c in (*_CARRIED, "fault_key") if c not in {"event_id", "at_us", "known_us", "order_id"}]
    first = sql("SELECT event_id, at_us, known_us, order_id, {p}, 0 AS copy_no, CASE WHEN fault IN ({k}) THEN NULL ELSE fault END AS fault FROM ({r}) AS r", p=[name(c) for c in plain], k=kinds, r=rows)  # fmt: skip
    second = sql(
        "SELECT CASE WHEN fault = 'exact_duplicate' THEN event_id ELSE CAST({new} >> 1 AS BIGINT) END AS event_id, at_us + {shift} AS at_us, known_us + {shift} AS known_us,"
        " CASE WHEN fault = 'near_duplicate' THEN concat(order_id, 'r') ELSE order_id END AS order_id, {p}, 1 AS copy_no, fault FROM ({r}) AS r WHERE fault IN ({k})",
        new=shim("mix", name("fault_key"), 1),
        shift=shift,
        p=[name(c) for c in plain],
        r=rows,
        k=kinds,
    )
    return union_all([first, second])


def _gap(low_s: float, high_s: float) -> Sql:
    return sql(
        "CAST(floor(({a} + {b} * {u}) * 1000000.0) AS BIGINT)",
        a=float(low_s),
        b=float(high_s - low_s),
        u=uniform(_EVENT, "gap"),
    )


def _as_text(faults: Faults, marked: Sql) -> Sql:
    """The rows with ``amount_usd`` as text, where some shall not be numbers."""
    if not faults.share("wrong_type"):
        return marked
    words = pick(uniform(_EVENT, "word"), [("n/a", 0.3), ("free", 0.3), ("12,5x", 0.2), ("#REF!", 0.2)])
    text = sql(
        "CASE WHEN fault = 'wrong_type' THEN {w} ELSE CAST(CAST(amount_usd AS DECIMAL(18, 6)) AS STRING) END",
        w=words,
    )
    columns = [
        sql("{t} AS amount_usd", t=text) if c == "amount_usd" else name(c) for c in (*_CARRIED, "row_no")
    ]
    return sql("SELECT {c} FROM ({m}) AS m", c=columns, m=marked)


def _row_truth(file: str) -> Sql:
    return sql(
        "SELECT fault AS kind, {f} AS file, row_no AS {row}, {iso} AS {day}, user_id, CAST(NULL AS STRING) AS dimension, CAST(NULL AS STRING) AS {value},"
        " at_us AS first_us, at_us AS end_us FROM {m} WHERE fault IS NOT NULL ORDER BY row_no",
        f=file,
        row=name("row"),
        iso=shim("iso_of_day", sql("CAST(floor(at_us / {d}) AS BIGINT)", d=float(DAY_US))),
        day=name("day"),
        value=name("value"),
        m=name(_MARKED),
    )


def _stretch_row(one: LoadFault) -> dict[str, object]:
    return {
        "kind": one.kind,
        "day": date_of(one.first_us // DAY_US).isoformat(),
        "dimension": one.dimension,
        "value": one.value,
        "first_us": one.first_us,
        "end_us": one.end_us,
    }


def _whole_files(world: World, faults: Faults, folder: Path) -> list[dict[str, object]]:
    """Faults of whole files: the last with another schema, and one that cannot be read."""
    found: list[dict[str, object]] = []
    files = sorted(f for f in (folder / "events").glob("*.parquet") if "broken" not in f.name)
    last_month = date_of(world.end_day - 1).isoformat()[:7]
    if faults.share("schema_drift") and files and files[-1].name.startswith(last_month):
        rows = pq.read_table(files[-1])
        if "app_version" in rows.column_names:
            names = ["version" if c == "app_version" else c for c in rows.column_names]
            pq.write_table(rows.rename_columns(names), files[-1], compression="zstd")
        found.append({"kind": "schema_drift", "file": f"events/{files[-1].name}"})
    if faults.share("broken_file") and files:
        broken = files[0].with_name(files[0].stem + "-broken.parquet")
        whole = files[0].read_bytes()
        broken.write_bytes(whole[: len(whole) // 2])
        found.append({"kind": "broken_file", "file": f"events/{broken.name}"})
    return found
