"""The application that commands belong to, and how it ends."""

import atexit
import gc
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headstart.errors import HeadstartError


class _Commands(TyperGroup):
    """The commands; Ctrl-C in any of them ends with 130, as shells expect."""

    def invoke(self, ctx: Any) -> Any:
        """Do a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="headstart",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import headstart

        print(f"headstart {headstart.__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Does a head start help, which one, how much is it worth, and is that real?"""


def main() -> None:
    """Run the command line; mistakes that a user can mend are told without a traceback."""
    try:
        app()
    except HeadstartError as error:
        for number, problem in enumerate(error.problems):
            print(f"{'error: ' if number == 0 else '       '}{problem}", file=sys.stderr)
        sys.exit(2)


def run() -> None:
    """Be the command `headstart`, a process of its own.

    Python takes all that was loaded apart before a process ends, close to a second with PyTorch.
    The system does that anyway, so the process ends as soon as whatever asked to be called at its
    end has been.
    """
    gc.set_threshold(50_000)  # modules are no garbage; looking for some takes a tenth of loading
    code: int | None = None

    def end() -> None:
        if code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # closed by whoever started this
                    stream.flush()
        except (OSError, ValueError):
            os._exit(120)  # as Python does where output was lost
        os._exit(code)

    atexit.register(end)  # the first to be registered is the last to be called
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else None
        raise
    code = 0
