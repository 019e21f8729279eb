"""How the time of a study grows with its seeds, and how soon a second study starts fitting.

    .venv/bin/python benchmarks/seeds.py [--most 32] [--repeats 1] [--jobs N]

Notebook 000 at 200 labels (a source, two trials a seed) with 1, 2, 4, … seeds, each in a fresh
process: seconds of the whole process, report included, and of the training alone, from the moment
when all is imported and checked to the last trial. Linear growth is the same study with one seed,
so many times. Then a second study on pictures that a first one has seen, notebook 000's and those
of heads on a pretrained body: seconds from the process's start, and from the end of the imports,
until the first fit begins. Processor time is printed beside, for machines that are not idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIRST: dict[str, Any] = {"labels": [200], "rate": 0.001}
SECOND: dict[str, Any] = {"labels": [100], "rate": 0.002}
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
"""What was installed has its bytecode beside it."""

CHILD = """
import json, os, sys, time
asked = json.loads(sys.argv[1])
from pathlib import Path
from headstart.study.worker import prepare_workers
prepare_workers(with_timm=not asked["file"])  # as the command line does
from headstart import api
from headstart.study import runner
from headstart.study.spec import load_study, study_from, with_settings
imported = time.time()
begun = []
def noting(finished):
    def wrapped(self):
        for stack, ended in finished(self):
            begun.append(time.time() - ended.seconds)
            yield stack, ended
    return wrapped
for kind in (runner.InlineRunner, runner.ProcessRunner):
    kind.finished = noting(kind.finished)
told = []
def listen(progress):
    told.append((progress.doing, time.time()))
if asked["file"]:
    study = load_study(Path(asked["file"]))
    study = with_settings(study, seeds=asked["seeds"], labels=asked["labels"])
else:
    sys.path.insert(0, asked["benchmarks"])
    import probe_study
    study = probe_study.study(asked["seeds"], [asked["rate"]], [200], 10)
api.compare(study, asked["folder"], jobs=asked["jobs"], listener=listen)
trained = max(at for doing, at in told if doing == "training")
first = min(at for doing, at in told if doing == "training")
print(json.dumps({
    "imports": imported - asked["started"], "fits": min(begun) - asked["started"],
    "training": trained - first, "whole": time.time() - asked["started"],
}))
"""


def measured(folder: Path, cache: Path, **asked: Any) -> dict[str, float]:
    """Seconds of a study in a fresh process."""
    asked = {"folder": str(folder), "started": time.time(), "benchmarks": str(ROOT / "benchmarks")
             , **asked}  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, json.dumps(asked)],
        env={**ENVIRONMENT, "HEADSTART_CACHE": str(cache)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise SystemExit(ended.stderr[-2000:])
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def growth(options: argparse.Namespace, folder: Path) -> None:
    """Time against the number of seeds."""
    study = str(ROOT / "examples" / "sandals_or_shirts.toml")
    one: dict[str, float] = {}
    seeds = 1
    while seeds <= options.most:
        found = [
            measured(
                folder / f"{seeds} {turn}", folder / "cache", file=study, seeds=seeds,
                labels=[200], jobs=options.jobs,
            )
            for turn in range(options.repeats)
        ]  # fmt: skip
        median = {key: statistics.median(each[key] for each in found) for key in found[0]}
        one = one or median
        shares = {key: median[key] / (seeds * one[key]) for key in median}
        print(
            f"{seeds} seeds: whole process {median['whole']:.1f} s ({shares['whole']:.2f} of "
            f"linear), training {median['training']:.1f} s ({shares['training']:.2f}); "
            f"{median['whole'] / (2 * seeds):.2f} s a trial",
            flush=True,
        )
        seeds *= 2


def second(options: argparse.Namespace, folder: Path) -> None:
    """How soon a study on known pictures starts fitting."""
    sandals = str(ROOT / "examples" / "sandals_or_shirts.toml")
    for name, file in (("notebook 000", sandals), ("heads on EfficientNet-Lite0", None)):
        for turn in ("first", "second"):
            found = measured(
                folder / f"{name} {turn}", folder / f"{name} cache", file=file, seeds=1,
                jobs=options.jobs, **(FIRST if turn == "first" else SECOND),
            )  # fmt: skip
            print(
                f"{name}, {turn} study: fits after {found['fits']:.1f} s, "
                f"{found['fits'] - found['imports']:.1f} s after the imports",
                flush=True,
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=32, help="seeds")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=None, help="processes that train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        second(options, Path(folder))
        growth(options, Path(folder))


if __name__ == "__main__":
    main()
