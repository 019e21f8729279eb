"""The map of EfficientNet-Lite0: how long it takes, beside the estimate of doing all of it alone.

    python benchmarks/depth_map.py examples/map_cats_or_dogs.toml --jobs 2

Draws the map in a fresh folder with a cache of its own, so that nothing is there beforehand but the
pictures and the weights, and prints the seconds, those of the processors in it (which say more on a
busy machine), and those that `headstart explain` expects when every trial does all of its work by
itself.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    from headstart import api
    from headstart.study.compare import open_workplace
    from headstart.study.depth_map import map_parts
    from headstart.study.explain import explain
    from headstart.study.spec import load_study

    study = load_study(arguments.study)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        parts = map_parts(study)
        expected = explain(open_workplace(parts[0].study), arguments.jobs)
        started, busy = time.perf_counter(), _processor_seconds()
        drawn = api.draw_map(study, Path(folder) / "map", jobs=arguments.jobs)
        seconds = time.perf_counter() - started
        busy = _processor_seconds() - busy
    trials = sum(len(each.rows) for each in drawn.records)
    naive = expected.naive_seconds * len(parts)
    print(f"{trials} trials, {arguments.jobs} at a time: {seconds:,.0f} s, in which the processors")
    print(f"worked {busy:,.0f} s; one after another and alone, by estimate, {naive:,.0f} s")


def _processor_seconds() -> float:
    """Of this process, and of its workers that have ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
