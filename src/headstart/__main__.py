"""``python -m headstart``: the command line."""

from headstart.cli import run

run()
