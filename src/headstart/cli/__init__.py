"""The command line: arguments → library calls, no logic.

Whatever is slow to import is imported inside the commands, so that ``--help`` is quick. Importing a
module of commands adds them, in the order in which ``--help`` lists them.
"""

from headstart.cli import studies as studies  # isort: skip
from headstart.cli import pictures as pictures  # isort: skip
from headstart.cli import delivery as delivery  # isort: skip
from headstart.cli.application import app as app
from headstart.cli.application import main as main
from headstart.cli.application import run as run
