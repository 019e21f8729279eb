"""How far a transfer has come, shown on a terminal and nowhere else."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress


class Meter:
    """A progress bar on standard error; without a terminal it does nothing.

    A context manager: the bar is there inside, and gone afterwards.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        # rich takes a twentieth of a second to import, which `headstart --help` need not pay.
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, what: str) -> None:
        """Start anew for another mirror, named by `what`."""
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(f"{self.title}: {what}", total=None)

    def show(self, done_bytes: int, total_bytes: int | None = None) -> None:
        """Show how many bytes have come, and of how many if that is known."""
        if self._bar is not None and self._bar.task_ids:
            task = self._bar.task_ids[-1]
            self._bar.update(task, completed=done_bytes, total=total_bytes)
