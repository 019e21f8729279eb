"""Going on until it is decided: looks that were declared before the first seed.

Plain peeking is not offered: whoever looks after every seed and stops when it pleases makes false
claims in a quarter of all studies of two equal strategies. Here the most seeds and the looks are
written down first, every look has a level of its own, and a study stops when each of its
comparisons is decided, or can no longer be.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headstart.errors import RecordsError
from headstart.statistics.open_end import OpenDesign, OpenPath, follow_open, open_looks
from headstart.statistics.sequential import Design, declare, follow
from headstart.statistics.sequential import Path as LooksPath
from headstart.study.fresh_split import enter_split
from headstart.study.identity import differences
from headstart.study.records import Records
from headstart.study.results import Pairing, StudyRecords
from headstart.study.scoring import DECLARED, of_split
from headstart.study.spec import Study, needs_one_test_split, with_settings

_MOST_LOOKS = 12

Compare = Callable[[Study, str], StudyRecords]


def declare_looks(study: Study, max_seeds: int) -> Design:
    """The design of a study: looks from 6 pairs to `max_seeds`, at most a dozen of them.

    Each comparison gets alpha divided by their number (Bonferroni), so that the chance of any
    false claim, over all looks and comparisons, is at most the study's alpha.

    Raises:
        StudyError: If the numbers make no design.
    """
    settings = study.study
    return declare(
        max_seeds,
        every=max(1, -(-(max_seeds - 6) // (_MOST_LOOKS - 1))),
        alpha=settings.alpha / _comparisons(study),
        margin=settings.margin,
    )


def declare_open_end(study: Study) -> OpenDesign:
    """The design of a study without a last seed; each comparison gets its share of alpha.

    Raises:
        StudyError: If the numbers make no design.
    """
    alpha = study.study.alpha / _comparisons(study)
    return OpenDesign(alpha=alpha, margin=study.study.margin)


def _comparisons(study: Study) -> int:
    return max(1, (len(study.strategy) - 1) * len(study.study.labels))


def until_decided(
    study: Study, folder: Path, compare: Compare, max_seeds: int | None
) -> StudyRecords:
    """Add seeds look by look until every comparison is decided, or can no longer be.

    Args:
        study: What is asked; its seeds are those of the looks.
        folder: The study's folder.
        compare: Brings a study with more seeds to its records; told who reads.
        max_seeds: The most seeds there will be; None where the end is open, so that evidence is
            told as e-values.

    Raises:
        RecordsError: If the folder's trials were read before in another way: other looks, or
            without any.
    """
    needs_one_test_split(study, "--until-decided adds seeds, so it")
    design = declare_open_end(study) if max_seeds is None else declare_looks(study, max_seeds)
    enter_split(folder, study)
    _declare_in(folder, design, study.split.number)
    if isinstance(design, OpenDesign):
        looks, reader = open_looks(), f"{DECLARED}, no last seed"
    else:
        looks, reader = iter(design.looks), f"{DECLARED}, at most {design.max_seeds} seeds"
    for look in looks:
        records = compare(with_settings(study, seeds=look), reader)
        paths = [path_of(records, pairing) for _, pairing in records.pairings()]
        if all(path.stop is not None for path in paths):
            break
    return records


def path_of(records: StudyRecords, pairing: Pairing) -> LooksPath | OpenPath:
    """The looks of one comparison by the design that its study declared."""
    assert records.design is not None
    if "looks" not in records.design:
        open_end = OpenDesign(**records.design)
        return follow_open(
            open_end, pairing.a.correct, pairing.b.correct, groups=records.test_groups
        )
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in records.design.items()
    }
    design = Design(**values)
    return follow(design, pairing.a.correct, pairing.b.correct, groups=records.test_groups)


def _declare_in(folder: Path, design: Design | OpenDesign, split: int) -> None:
    """Write the design down before the first seed, or check that it is the one that stands."""
    declared = json.loads(json.dumps(asdict(design)))
    records = Records.open(folder, create=True)
    try:
        before = json.loads(records.meta("design") or "null")
        if before is not None:
            changed = list(differences(before, declared))
            if changed:
                raise RecordsError(
                    f"{folder} declared other looks before its first seed:",
                    *(f"  {line}" for line in changed),
                    "looks cannot be changed afterwards: keep to them, or give another --output",
                )
        elif of_split(records.test_reads(), split):
            raise RecordsError(
                f"the test labels of {folder} were read without declared looks: deciding when to "
                "stop after having seen them makes false claims. Give another --output, or --fresh"
            )
        else:
            records.set_meta("design", json.dumps(declared))
    finally:
        records.close()
