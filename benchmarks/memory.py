"""Peak memory of a comparison beside the decoded pictures and the networks.

    .venv/bin/python benchmarks/memory.py

Starts two fresh processes: one that imports what a comparison imports and maps the pictures, and
one that compares notebook 000 with one seed. Prints by how much the second's peak is above the
first's, and that as a multiple of the decoded pictures that the study uses plus its networks
(source and two trials, with gradients). Memory-mapped pictures count where they are touched.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from headstart.data import catalog

ROOT = Path(__file__).parents[1]

IMPORTS = """
import resource, sys
import headstart, headstart.api, headstart.report.page, headstart.report.from_records
import scipy.stats, pandas, altair, torch
from headstart.study.compare import open_workplace
from headstart.study.spec import load_study
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
COMPARE = """
import resource, sys
import headstart
from headstart.study.spec import load_study, with_settings
study = with_settings(load_study(sys.argv[1]), seeds=1, labels=["all"])
headstart.compare(study, sys.argv[2], jobs=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_megabytes(code: str, *arguments: str) -> float:
    """Peak resident memory of a fresh Python that does something."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Measure and print."""
    images = catalog.load("fashion-mnist")
    pictures = images.pictures.nbytes / 2**20
    networks = 2 * 4 * (275_801 + 276_158) / 2**20
    with tempfile.TemporaryDirectory() as folder:
        before = peak_megabytes(IMPORTS)
        after = peak_megabytes(
            COMPARE, str(ROOT / "examples" / "sandals_or_shirts.toml"), f"{folder}/study"
        )
    grown = after - before
    print(
        f"imports {before:.0f} MB, comparison {after:.0f} MB: {grown:.0f} MB more, "
        f"{grown / (pictures + networks):.2f} times the decoded set ({pictures:.0f} MB) and the "
        f"networks ({networks:.0f} MB)"
    )


if __name__ == "__main__":
    main()
