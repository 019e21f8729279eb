"""What the engine does, shown: explanations of studies, and what is kept."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.tree import Tree

from headstart.console.tables import output
from headstart.data.picture_cache import PictureCache, Thing
from headstart.data.sizes import size_words
from headstart.errors import DataError
from headstart.study.progress import duration_words

if TYPE_CHECKING:
    from headstart.study.explain import Explanation, JobCost


def print_explanation(found: "Explanation") -> None:
    """The jobs as a tree, and the sentence."""
    tree = Tree(sentence(found))
    for job in found.jobs:
        branch = tree.add(_line(job))
        for line in job.below:
            branch.add(line)
    output().print(tree)


def sentence(found: "Explanation") -> str:
    """What is shared and what that saves, in a sentence."""
    passes = [job for job in found.jobs if job.bytes]
    sources = [job for job in found.jobs if _is_source(job)]
    fits = [job for job in found.jobs if isinstance(job.kind, tuple) and not _is_source(job)]
    stacks = sum(math.ceil(job.count / job.stack) for job in fits if job.stack > 1)
    single = sum(job.count for job in fits if job.stack == 1)
    shared = [_counted(sum(job.count for job in sources), "source")] if sources else []
    if passes:
        counted = _counted(sum(job.count for job in passes), "pass", "passes")
        shared.append(f"{counted} over pictures")
    if stacks:
        shared.append(_counted(stacks, "stacked fit"))
    if single:
        shared.append(_counted(single, "single fit" if stacks else "fit"))
    return (
        f"{_counted(found.trials, 'trial')} → {', '.join(shared)}; "
        f"about "
        f"{duration_words(found.seconds)} instead of {duration_words(found.naive_seconds)}, "
        f"{found.workers} at a time"
    )


def _is_source(job: "JobCost") -> bool:
    return job.what.startswith("train the ")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many or one + 's'}"


def _line(job: "JobCost") -> str:
    times = f"{job.count} × " if job.count > 1 else ""
    cost = f"{times}{duration_words(job.seconds)}"
    if job.stack > 1:
        cost += f" in stacks of {job.stack}"
    if job.bytes:
        return f"{job.what}: {cost}, {size_words(job.bytes)} kept"
    if _is_source(job) and job.naive_seconds > 1.05 * job.seconds:  # the same, more often
        often = round(job.count * job.naive_seconds / job.seconds)
        return f"{job.what}: {cost} instead of {often} times"
    if job.naive_seconds > 1.05 * job.seconds:
        return f"{job.what}: {cost} instead of {times}{duration_words(job.naive_seconds)}"
    return f"{job.what}: {cost}"


def print_kept(cache: PictureCache, things: Sequence[Thing]) -> None:
    """What is kept, what was used last first."""
    console = output()
    for each in things:
        days = (time.time() - each.last_use) / 86_400
        ago = "today" if days < 1 else f"{days:.0f} days ago"
        name = each.about or "/".join(each.path.parts[-2:])
        size = size_words(each.bytes)
        console.print(f"{each.kind:16} {size:>9}  used {ago:12} {name}", soft_wrap=True)
    total = sum(each.bytes for each in things)
    limit = size_words(cache.limit_bytes)
    console.print(
        f"{len(things)} kept, {size_words(total)} of at most {limit}, in {cache.folder}",
        soft_wrap=True,
    )


def print_cleared(things: Sequence[Thing]) -> None:
    """What was removed."""
    output().print(f"removed {len(things)}, {size_words(sum(each.bytes for each in things))}")


def seconds_of_age(text: str) -> float:
    """An age such as ``30d``, ``12h`` or ``90m`` in seconds.

    Raises:
        DataError: If it is none.
    """
    units = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    number, unit = text[:-1], text[-1:]
    try:
        age = float(number) * units[unit]
    except (ValueError, KeyError):
        age = -1.0
    if not 0 <= age < float("inf"):
        raise DataError(f"--older-than {text!r}: expected a number and a unit, such as 30d or 12h")
    return age
