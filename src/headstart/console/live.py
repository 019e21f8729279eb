"""How a study goes on: a live view on a terminal, plain lines elsewhere; on standard error."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headstart.study.progress import Listener, Progress

_WIDEST_BAR = 40


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener that shows what it is told; warnings that arise meanwhile are a line each."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    view = _LiveView(console) if console.is_terminal else _PlainLines(console)
    with warnings.catch_warnings():
        warnings.showwarning = _shown_by(view.warn)
        try:
            yield view.tell
        finally:
            view.close()


def _shown_by(warn: Callable[[str], None]) -> Callable[..., None]:
    told: set[str] = set()  # what several processes find out is said once

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in told:
            told.add(text)
            warn(text)

    return show


class _PlainLines:
    """A line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = "training"  # needs no line of its own: every trial has one

    def tell(self, progress: Progress) -> None:
        if progress.doing not in (self._doing, "training"):
            self._print(progress.doing)
        self._doing = progress.doing
        if progress.said and not progress.total:
            self._print(progress.said)
        elif progress.said:
            done = progress.complete + progress.failed
            left = _left_words(progress.seconds_left)
            self._print(f"[{done}/{progress.total}{', ' if left else ''}{left}] {_event(progress)}")

    def warn(self, text: str) -> None:
        self._print(f"warning: {text}")

    def close(self) -> None:
        """Nothing to put away."""

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


class _LiveView:
    """Two lines that change in place; failures and warnings stay above them.

    Until the trials begin it is one line that nothing refreshes, so that the bar of a download may
    stand in its place.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress("")
        self._ends = 0.0
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._failures: set[str] = set()

    def tell(self, progress: Progress) -> None:
        if progress.said and not progress.total:
            self._say(progress.said, "yellow" if progress.said.startswith("warning: ") else "")
        elif progress.total or self._live is not None:
            self._follow(progress)
        else:
            self._erase_line()
            doing = f"{progress.doing}: {progress.detail}" if progress.detail else progress.doing
            self._console.print(Text(f"{doing} …", style="dim"), end="\r", no_wrap=True)

    def _follow(self, progress: Progress) -> None:
        if progress.seconds_left is not None:
            self._ends = time.monotonic() + progress.seconds_left
        self._progress = progress
        if self._live is None:
            self._erase_line()
            self._live = Live(
                console=self._console,
                get_renderable=self._view,
                transient=True,
                refresh_per_second=4,
            )
            self._live.start()
        if progress.failure and progress.failure not in self._failures:
            self._failures.add(progress.failure)  # the counter tells of others like it
            self._console.print(Text(_event(progress), style="red"))

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}", "yellow")

    def _say(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        if self._live is None:
            self._erase_line()
        self._console.print(Text(text, style=style))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
        else:
            self._erase_line()

    def _erase_line(self) -> None:
        self._console.control(Control((ControlType.ERASE_IN_LINE, 2)))

    def _view(self) -> RenderableType:
        progress = self._progress
        if not progress.total:
            return _grid(self._spinner, Text(progress.doing))
        done = progress.complete + progress.failed
        counts = Text(f"{done} of {progress.total} trials")
        if progress.failed:
            counts.append(f", {progress.failed} failed", style="red")
        left = _left_words(self._ends - time.monotonic())
        counts.append(f", {left}" if left else "")
        room = self._console.width - len(progress.doing) - counts.cell_len - 5
        width = max(1, min(room, _WIDEST_BAR))
        bar = ProgressBar(total=progress.total, completed=done, width=width)
        running = Text(
            f"  {len(progress.running)} running: {'; '.join(progress.running)}"
            if progress.running
            else "",
            style="dim",
            no_wrap=True,
            overflow="ellipsis",
        )
        return Group(_grid(self._spinner, Text(progress.doing), bar, counts), running)


def _event(progress: Progress) -> str:
    """What just happened, in a line."""
    return f"{progress.said}: {progress.failure}" if progress.failure else progress.said


def _grid(*cells: RenderableType) -> Table:
    grid = Table.grid(padding=(0, 1))
    for _ in cells:
        grid.add_column(no_wrap=True)
    grid.add_row(*cells)
    return grid


def _left_words(seconds: float | None) -> str:
    """A time in words, coarse as an estimate is; nothing below a second."""
    if seconds is None or seconds < 1:
        return ""
    if seconds < 100:
        return f"about {seconds:.0f} s left"
    if seconds < 6000:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"
