"""Estimates against what jobs took, on the example studies that take minutes.

    .venv/bin/python benchmarks/estimates.py [--turns 2] [STUDY.toml[:SEEDS] ...]

Each study is compared from an empty cache of measurements, and then again: the first turn knows
nothing of the machine, the second is corrected by the first. Prints, for each kind of job, the
estimate, what its jobs took (median), their ratio, and how many kinds are within a factor of two.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from headstart.study import compare
from headstart.study.explain import Explanation, learn_from
from headstart.study.folder import study_folder
from headstart.study.pace import Kind
from headstart.study.progress import Progress
from headstart.study.spec import load_study, with_settings
from headstart.study.workplace import Workplace

EXAMPLES = Path(__file__).parents[1] / "examples"
STUDIES = (
    "sandals_or_shirts.toml:2",
    "tshirt_or_pullover.toml:2",
    "digits_5to9_to_0to4_quick.toml",
    "cats_or_dogs_quick.toml",
)

Row = tuple[str, int, float, float]
"""Study and kind of job, turn, estimate and what it took in seconds."""


def compared(name: str, turn: int, folder: Path) -> list[Row]:
    """Compare a study; a row for each kind of job."""
    file, _, seeds = name.partition(":")
    study = load_study(EXAMPLES / file)
    if seeds:
        study = with_settings(study, seeds=int(seeds))
    rows: list[Row] = []

    def noted(
        workplace: Workplace, found: Explanation, took: Mapping[Kind | str, Sequence[float]]
    ) -> None:
        learn_from(workplace, found, took)
        expected = {job.kind: job.seconds for job in found.jobs}
        for kind, seconds in took.items():
            what = kind_words(kind)
            rows.append((f"{study_name(file)}: {what}", turn, expected[kind], median(seconds)))

    def told(progress: Progress) -> None:
        if progress.said and not progress.total:
            print(f"{study_name(file)}, turn {turn}: {progress.said}", flush=True)

    vars(compare)["learn_from"] = noted
    with study_folder(folder / f"{study_name(file)}-{turn}", fresh=True) as own:
        compare.train_and_score(study, own, listener=told)
    for what, _, estimate, took in rows:
        shown = f"{what:<60}{turn:>5}{estimate:>10.2f}{took:>8.2f}{took / estimate:>7.2f}"
        print(shown, flush=True)
    return rows


def kind_words(kind: Kind | str) -> str:
    """What kind of job, in words."""
    if isinstance(kind, str):
        return f"features at {kind}"
    return "source" if kind[0] is None else f"{kind[0]}, {kind[1]} labels"


def study_name(file: str) -> str:
    """A study's name."""
    return file.removesuffix(".toml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=STUDIES)
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{'job':<60}{'turn':>5}{'estimate':>10}{'took':>8}{'ratio':>7}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        rows = [
            row
            for name in arguments.studies
            for turn in range(1, arguments.turns + 1)
            for row in compared(name, turn, Path(folder))
        ]
    for turn in range(1, arguments.turns + 1):
        own = [took / estimate for _, at, estimate, took in rows if at == turn]
        near = sum(0.5 <= ratio <= 2 for ratio in own)
        print(f"turn {turn}: {near} of {len(own)} kinds of jobs within a factor of 2")


if __name__ == "__main__":
    main()
