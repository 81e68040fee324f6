"""Secrets in addresses: refused before anything is opened, in no error; what is no secret passes."""

from __future__ import annotations

import socket
import traceback
from contextlib import closing
from pathlib import Path

import fsspec
import pytest

from headwater.core.errors import ConfigError, SourceError
from headwater.engine.places import land_source, require_no_secret, shown

SECRET = "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        "ftp://bob:hunter2@127.0.0.1:1/x.parquet",
        "memory://bob:hunter2@host/x.parquet",
        "s3://KEY:hunter2@bucket/x.parquet",
        "redis://:hunter2@host/0",
        "ftp://bob:p/hunter2@host/x.csv",
        "ftp://bob:p@hunter2@host/x.csv",
        "postgresql://bob:hunter2@h/db",
        "postgresql://bob@h/db?password=hunter2",
        "postgresql://bob@h/db?pass%77ord=hunter2",
        "postgresql://bob@h/db?sslmode=require&sslpassword=hunter2",
        "iceberg+postgresql://bob:hunter2@h/db",
        "delta+s3://KEY:hunter2@bucket/table",
        "simplecache::ftp://bob:hunter2@h/x.csv",
        "https://h/x.csv?token=hunter2",
        "https://h/x.csv?a=1&access_token=hunter2",
        "https://h/x.csv?X-Amz-Signature=hunter2",
        "https://h/x.csv?X-Amz-Security-Token=hunter2",
        "https://account.blob/x.csv?sv=2024&sig=hunter2",
        "az://c/x.csv?account_key=hunter2",
        "https://h/x.csv?apikey=hunter2",
        "https://h/x.csv?key=hunter2",
        "host=h password=hunter2",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        land_source(address, root=tmp_path, folder=tmp_path / "landing", table="t")
    assert refused.value.finding.code == "source.password_in_file"
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert SECRET not in shown(address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bob:${PGPASSWORD}@h/db",
        "postgresql://bob@h/db?password=${PGPASSWORD}",
        "postgresql://bob@h:5432/db?sslmode=verify-full&sslkey=/home/bob/client.key&passfile=/home/bob/.pgpass",
        "s3://bucket/events/day=2024-01-01/*.parquet",
        "s3://bucket/token=a/b:c/x?.csv",
        "https://host:8080/a@b/x.csv",
        "iceberg+sqlite:///catalog.db",
        "spark://catalog.db.table",
        "events/token=a/*.csv",
        "my file: a@b.csv",
    ],
)
def test_an_address_without_a_secret_passes(address: str) -> None:
    require_no_secret(address)


def test_a_variable_that_nothing_would_fill_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="FSSPEC_FTP_PASSWORD"):
        require_no_secret("ftp://bob:${FTP_PASSWORD}@h/x.csv")


def test_a_message_keeps_all_but_the_secrets() -> None:
    told = "403 at https://h/x.csv?day=1&sig=hunter2 and ftp:/bob:hunter2@h/y.csv"
    assert shown(told) == "403 at https://h/x.csv?day=1&sig=... and ftp:/bob:...@h/y.csv"


def test_a_store_that_refuses_the_connection_is_a_source_error(tmp_path: Path) -> None:
    with closing(socket.socket()) as bound:  # bound and not listening: whoever connects is refused
        bound.bind(("127.0.0.1", 0))
        address = f"ftp://bob@127.0.0.1:{bound.getsockname()[1]}/x.parquet"
        with pytest.raises(SourceError) as refused:
            land_source(address, root=tmp_path, folder=tmp_path / "landing")
    assert refused.value.finding.code == "source.unreachable"


@pytest.mark.parametrize("version", [{}, {"modify": "Nov {n} 10:00"}, {"Last-Modified": "{n}"}, {"Content-MD5": "{n}"}, {"modificationTime": "{n}"}])  # fmt: skip
def test_an_object_overwritten_by_as_many_bytes_is_fetched_again(
    version: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores differ in what they call a version; one that has none is asked every time."""
    store = fsspec.filesystem("memory")
    place = f"/versions/{tmp_path.name}"
    told: dict[str, object] = {}
    monkeypatch.setattr(
        type(store), "info", lambda _, path, **__: {"name": path, "size": 11, "type": "file", **told}
    )
    landed = []
    for n, rows in enumerate((b"user,n\na,1\n", b"user,n\nb,2\n", b"user,n\nb,2\n")):
        with store.open(f"{place}/x.csv", "wb") as out:
            out.write(rows)
        told.update({key: text.format(n=n) for key, text in version.items()})
        landed.append(
            land_source(f"memory:/{place}/x.csv", root=tmp_path, folder=tmp_path / f"landing {bool(version)}")
        )
        assert landed[-1].files[0].read_bytes() == rows
        assert landed[-1].files[0].name == "x.csv"
    assert landed[0].version != landed[1].version
    assert (landed[1].files == landed[2].files) == (not version)
