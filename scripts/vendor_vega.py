"""Write the one script that reports embed: Vega, Vega-Lite and Vega-Embed, bundled by vl-convert.

Run it when the pinned vl-convert changes: ``python scripts/vendor_vega.py``. The bundle carries Vega's
own expression interpreter, so that a page with ``ast: true`` never needs ``unsafe-eval``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vl_convert

TARGET = Path(__file__).parent.parent / "src" / "headwater" / "export" / "_html" / "bundle.js"
SNIPPET = "window.vegaEmbed = vegaEmbed;"
FORBIDDEN = ("</script", "<!--", "\r", "\0")


def bundle() -> str:
    """The script, closed in a function so that it leaves one global name only."""
    source = vl_convert.javascript_bundle(SNIPPET)
    for text in FORBIDDEN:
        if text in source:
            raise SystemExit(f"the bundle contains {text!r} and cannot stand inside a script element")
    return f'(function () {{\n"use strict";\n{source}\n}})();\n'


def main() -> int:
    """Write the bundle and say how large it is."""
    TARGET.write_text(bundle(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
