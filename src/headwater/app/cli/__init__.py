"""The command line. Exit codes: 0 ok, 1 unexpected, 2 usage, 3 settings or source, 4 the data failed."""

from headwater.app.cli import analyze as analyze
from headwater.app.cli import answers as answers
from headwater.app.cli import assign as assign
from headwater.app.cli import commands as commands
from headwater.app.cli import design as design
from headwater.app.cli import experiment as experiment
from headwater.app.cli import explain as explain
from headwater.app.cli import log as log
from headwater.app.cli import quality as quality
from headwater.app.cli import simulate as simulate
from headwater.app.cli import tune as tune
from headwater.app.cli import verify as verify
from headwater.app.cli import why as why
from headwater.app.cli.program import main

__all__ = ["main"]
