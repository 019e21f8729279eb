"""Run the simulations and write their tables into the page that tells about them."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headstart.errors import HeadstartError, StudyError, nearest
from headstart.statistics.simulations import choices, folds, pairs
from headstart.statistics.simulations.tallies import Cell, markdown, tally_all

CHECKS: Mapping[str, tuple[int, Callable[[], list[Cell]]]] = {
    "comparisons": (
        400,
        lambda: pairs.comparison_cells((6, 10, 20, 40), (200, 1000, 10_000)),
    ),
    "intervals": (1000, lambda: pairs.interval_cells((6, 20), (200, 1000))),
    "stopping": (1000, lambda: pairs.stopping_cells((20, 40), (200, 1000, 10_000))),
    "families": (400, lambda: pairs.family_cells((2, 5, 10), (12, 20), (200, 1000))),
    "equivalence": (1000, lambda: pairs.equivalence_cells((10, 20, 40), (1000, 2000))),
    "cross-validation": (
        2000,
        lambda: folds.fold_cells(((5, 2), (10, 1), (5, 10)), (50, 100, 400)),
    ),
    "worth": (300, lambda: choices.worth_cells((6, 10, 20), (1000,))),
    "best-of-20": (1000, lambda: choices.best_cells((200, 1000))),
    "analyst": (400, lambda: choices.analyst_cells((500, 2000))),
    "adaptive-analyst": (400, lambda: choices.adaptive_cells((500, 2000))),
}
"""Name → (data sets a setting, settings)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks that are named, print their tables, and write them where wanted."""
    parser = argparse.ArgumentParser(prog="python -m headstart.statistics.simulations")
    parser.add_argument("checks", nargs="*", help=f"of {', '.join(CHECKS)}; none: all")
    parser.add_argument("--data-sets", type=int, help="simulated data sets for each setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--write", type=Path, help="a page with marks <!-- simulation: NAME -->")
    options = parser.parse_args(arguments)
    try:
        for name in options.checks or CHECKS:
            _run(name, options)
    except HeadstartError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _run(name: str, options: argparse.Namespace) -> None:
    if name not in CHECKS:
        raise StudyError(f"there is no simulation {name!r}: {nearest(name, CHECKS)}")
    usual, cells = CHECKS[name]
    data_sets = options.data_sets or usual
    start = time.perf_counter()
    table = markdown(tally_all(cells(), data_sets, options.seed, options.jobs))
    command = (
        f"python -m headstart.statistics.simulations {name} --data-sets {data_sets} "
        f"--seed {options.seed}"
    )
    print(f"{command}  # {time.perf_counter() - start:.0f} s\n\n{table}\n", flush=True)
    if options.write is not None:
        insert(options.write, name, f"`{command}`\n\n{table}")


def insert(page: Path, name: str, text: str) -> None:
    """Put text between a page's marks ``<!-- simulation: NAME -->`` and ``<!-- end -->``.

    Raises:
        StudyError: If the page has no such marks.
    """
    mark = f"<!-- simulation: {name} -->"
    old = page.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(mark) + r".*?<!-- end -->", re.DOTALL)
    if not pattern.search(old):
        raise StudyError(f"{page.name} has no mark {mark} … <!-- end --> to write between")
    new = pattern.sub(lambda _: f"{mark}\n{text}\n<!-- end -->", old)
    part = page.with_name(page.name + ".part")
    part.write_text(new, encoding="utf-8")
    part.replace(page)


if __name__ == "__main__":
    raise SystemExit(main())
