"""A bar is drawn on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.data.catalog.conftest import TinySet, Web

GET = "import sys; from headstart.data.catalog import Catalog; Catalog(sys.argv[1]).get('tiny')"


def test_without_a_terminal_nothing_is_printed(
    web: "Web", tiny: "TinySet", data_folder: "Path"
) -> None:
    web.hold(tiny)
    command = [sys.executable, "-c", GET, tiny.text(web.mirror())]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout + done.stderr == b""


def test_on_a_terminal_the_mirror_is_named_on_standard_error(
    web: "Web", tiny: "TinySet", data_folder: "Path"
) -> None:
    web.hold(tiny)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", GET, tiny.text(web.mirror())]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:  # Linux says so when the other side is closed.
        pass
    finally:
        os.close(ours)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, b"")
    assert f"Tiny: {web.address}/".encode() in shown
