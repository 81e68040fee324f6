"""Text from data that a terminal would obey: no control character reaches stdout or stderr, and JSON keeps it as data.

The payloads set a title, clear the screen, paint a fake answer (ECMA-48), use an 8-bit introducer, turn the direction
of writing (CVE-2021-42574), or begin a new line.
"""

from __future__ import annotations

import json

import pytest

from headwater.app.cli.speak import Reply, Speaker
from headwater.app.cli.tables import grid_text
from headwater.app.cli.why import _text
from headwater.core.block import Block, Field, Grid, Prose
from headwater.core.errors import UsageError
from headwater.core.show import Shown

PAYLOADS = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[1;1Hall is well",
    "\x9b31mred",
    "\u202egnp.exe",
    "de\r\nerror ok: nothing",
    "\x7f\x08\x00",
)


def obeyed(text: str) -> list[str]:
    """What of a text a terminal does not print, line ends apart."""
    return [c for c in text.replace("\n", "") if not c.isprintable()]


class Said(Shown):
    """A result that shows a text of the data in every place."""

    def __init__(self, text: str) -> None:
        self.text = text

    def blocks(self) -> tuple[Block, ...]:
        grid = Grid.of(self.text, self.text, [Field(name=self.text, label=self.text)], [(self.text,)])
        return Prose(text=self.text), grid


@pytest.mark.parametrize("country", PAYLOADS)
def test_a_terminal_is_told_nothing_by_data(country: str, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid.of(country, country, [Field(name=country, label=country)], [(country,)], note=country)
    told = _text((Prose(text=f"The forecast of {country} fell."), grid))
    assert not obeyed(told)
    assert len(told.splitlines()) == len(grid_text(grid).splitlines()) + 1 == 4
    assert not obeyed(str(Said(country)))

    people, machines = (Speaker(as_json=as_json, quiet=True) for as_json in (False, True))
    people.say("drivers", Reply(text=f"country = {country}: times 2"))
    error = UsageError("drivers.no_column", what=country, why=country, do=country)
    people.refuse("drivers", error)
    said = capsys.readouterr()
    assert not obeyed(said.out + said.err)

    machines.say("drivers", Reply(text="", data={"country": country}))
    line = capsys.readouterr().out
    assert not obeyed(line)
    assert json.loads(line)["country"] == country
