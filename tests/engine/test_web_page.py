"""Web pages and error pages saved as data, and what a look at a thousand files costs: each head is read once.

The error page is that of the S3 interface, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headwater.core.errors import SourceError
from headwater.engine.sift import sift_files
from headwater.engine.web_page import begins_web_page

S3 = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""
PAGES = {
    "saved": "<!-- saved from url=(0020)https://example.com/ -->\n<html><body>Sign in</body></html>",
    "xhtml": '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">\n<html></html>',
    "two comments": "<!-- a > b --><!--[if IE]>\n<![endif]-->\n<!DOCTYPE html>",
    "long comment": f"<!-- {'by a tool ' * 100}-->\n<html>",
    "marked": "\ufeff<?xml version='1.0'?><!-- x --><html lang='en'>",
    "head": "<head><title>Sign in</title></head>",
    "body": "<BODY class='a'>502 Bad Gateway</BODY>",
    "s3": S3,
    "bare error": "<Error><Code>NoSuchKey</Code></Error>",
}
DATA = [
    "<headline>,at",
    "<errors>",
    "<body-part>",
    "<?xml version='1.0'?><rows>",
    "<!-- note -->\nuser_id,at",
    "<!-- no end",
]
HEADS_OF_TWO_THREADS = 8 << 20
"""Bytes: two heads of 1 MiB at once, each twice (its lines are cut from it), and as much again for the rest."""


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def many(folder: Path, n: int, *, header: str = "user_id,amount") -> list[Path]:
    return [write(folder / f"f{i}.csv", f"{header}\nu{i},{i}.5\n") for i in range(n)]


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_page_or_an_error_of_the_store_is_no_data(engine, tmp_path: Path, page: str, suffix: str) -> None:
    file = write(tmp_path / f"orders.{suffix}", page)
    with pytest.raises(SourceError) as caught:
        sift_files(engine, [file])
    assert caught.value.finding.code == "source.web_page"
    assert f"'orders.{suffix}'" in caught.value.finding.what


@pytest.mark.parametrize("head", DATA)
def test_what_only_begins_alike_is_no_page(head: str) -> None:
    assert not begins_web_page(head.encode())


def test_a_head_of_nothing_but_comments_is_read_in_one_go() -> None:
    """A matcher that tried every way to part 40,000 comments would not end."""
    assert not begins_web_page(b"<!---->" * 40_000 + b"x")
    assert begins_web_page(b"<!---->" * 40_000 + b"<html>")


def test_the_head_of_each_text_file_is_read_once(engine, tmp_path: Path, monkeypatch) -> None:
    files = many(tmp_path, 20)
    page = write(tmp_path / "page.csv", PAGES["saved"])
    opened: Counter[str] = Counter()
    real = pa.input_stream

    def counted(source: Any, **more: Any) -> Any:
        opened[str(source)] += 1
        return real(source, **more)

    monkeypatch.setattr(pa, "input_stream", counted)
    sifted = sift_files(engine, [*files, page], max_broken_files=0.1)
    assert [(b.path, b.code) for b in sifted.broken] == [(page, "source.web_page")]
    assert opened == dict.fromkeys(map(str, [*files, page]), 1)


def test_heads_are_not_held(engine, tmp_path: Path) -> None:
    """Forty files whose first line is 1 MB long: held together they would be 40 MB."""
    header = ",".join(["user_id", "x" * 1_000_000])
    files = many(tmp_path, 40, header=header)
    tracemalloc.start()
    try:
        sift_files(engine, files)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < HEADS_OF_TWO_THREADS
