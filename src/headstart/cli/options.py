"""Options that several commands have, and what their texts mean."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.errors import StudyError
from headstart.study.progress import Progress

if TYPE_CHECKING:
    from headstart.engine.limits import MachineLimits

OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="The study's folder.  [default: studies/NAME]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
ModelFolder = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder that `headstart fit` made.")
]
Pictures = Annotated[
    Path, typer.Argument(metavar="PICTURES", help="A folder, table, archive or .npz file.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="All processes together: 8GB.  [default: none]"),
]
DiskLimit = Annotated[
    str | None,
    typer.Option("--disk", metavar="SIZE", help="Features that are kept: 20GB.  [default: none]"),
]
ThreadLimit = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="All processes together, but for making pictures ready.  [default: CPU cores]",
    ),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study's file.")]
StudyFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Use the seeds 0 to N − 1.")]
Labels = Annotated[
    str | None, typer.Option("--labels", help="Label budgets, for example 50,200,all.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Begin anew; the old folder is kept, renamed.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try failed trials once more.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, help="Trials at a time.  [default: CPU cores, or 1 where that is sooner]"
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Pictures at a time.")]


def limits_from(memory: str | None, disk: str | None, threads: int | None) -> "MachineLimits":
    """Limits from the command line."""
    from headstart.engine.limits import MachineLimits

    return MachineLimits.parsed(memory, disk, threads)


def may_have_workers(jobs: int | None, memory: str | None, threads: int | None) -> bool:
    """Whether workers get ready while this process loads PyTorch itself.

    With a limit to memory nothing is taken before it is known what for.
    """
    from headstart.study.worker import CAN_FORK

    return CAN_FORK and memory is None and 1 not in (jobs, threads, os.cpu_count() or 1)


def expect_workers(
    jobs: int | None,
    memory: str | None = None,
    threads: int | None = None,
    *,
    study_file: Path | None = None,
) -> None:
    """Let workers get ready, if there may be any (`may_have_workers`).

    Args:
        jobs: As the option, like those that follow.
        memory: Of all processes.
        threads: Of all processes.
        study_file: The study; without one, the network is one of timm's.
    """
    if not may_have_workers(jobs, memory, threads):
        return
    from headstart.study.worker import prepare_workers

    with_timm = True
    if study_file is not None:
        if not study_file.is_file():  # nothing, or a pipe, which can be read only once
            return
        try:  # what is wrong with it is told when it is read for good
            with_timm = "pretrained" in study_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
    prepare_workers(with_timm=with_timm)


def budgets(text: str | None) -> list[int | str] | None:
    """Label budgets from the command line."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if part != "all" and not part.isdecimal()]
    if wrong:
        raise StudyError(
            f"--labels {text}: {', '.join(map(repr, wrong))} is neither a number nor all; "
            "for example --labels 50,200,all"
        )
    return [part if part == "all" else int(part) for part in parts]


@contextmanager
def loading() -> Iterator[None]:
    """Say that PyTorch is being loaded, which takes seconds, while it is."""
    from headstart import console

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        yield
