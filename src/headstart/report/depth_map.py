"""A map of layer transfer, from the records of its studies: numbers, page and sentences."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.report import words
from headstart.report.content import (
    COUNT_COLUMNS,
    CURVE_COLUMNS,
    SOURCE_COLUMNS,
    Example,
    ReportContent,
)
from headstart.statistics.layer_transfer import AGAIN, BASE, Key, LayerMap, World, layer_map
from headstart.statistics.selection import best_of
from headstart.study.depth_map import arms_of, base_of, null_arm_of
from headstart.study.folder import write_whole
from headstart.study.results import Answers, StudyRecords

if TYPE_CHECKING:
    import pandas as pd

REPORT_NAME, NUMBERS_NAME = "report.html", "map.json"
_FEWEST_TO_CHOOSE_ON = 10  # validation pictures


@dataclass(frozen=True, repr=False)
class DepthMap:
    """What a map found.

    Attributes:
        directory: Its folder.
        records: Of its studies, one for each class split, else one.
        groups: The body's layer groups, stem first.
    """

    directory: Path
    records: tuple[StudyRecords, ...]
    groups: tuple[str, ...]

    @cached_property
    def numbers(self) -> list[dict[str, Any]]:
        """The content of ``map.json``: see `map_summary`."""
        return map_summary(self.records, self.groups)

    @property
    def failed(self) -> int:
        """How many of the trials asked for failed."""
        rows = [row for records in self.records for row in records.rows]
        return sum(row["state"] == "failed" for row in rows)

    def write_files(self) -> Path:
        """Write ``map.json`` and the report into the map's folder."""
        from headstart.report.figures import depth_map
        from headstart.report.page import write

        text = json.dumps(self.numbers, indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(self.directory / NUMBERS_NAME, text + "\n")
        return write(map_content(self), self.directory / REPORT_NAME, (depth_map.figure,))

    def sentences(self) -> list[str]:
        """The four signs at each label budget."""
        return [
            f"{labels_prefix(self.numbers, entry)}{sign['name']}: {sign['answer']}; "
            f"{sign['sentence']}"
            for entry in self.numbers
            for sign in entry["signs"]
        ]

    def __repr__(self) -> str:
        lines = [self.records[0].study.question, *(f"- {said}" for said in self.sentences())]
        return "\n".join([*lines, f"The map in {self.directory}"])


def labels_prefix(numbers: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> str:
    """The label budget in front of a sentence, where there are several."""
    labels = entry["labels"]
    words = "all labels" if labels == "all" else f"{labels} labels"
    return f"{words}: " if len(numbers) > 1 else ""


def map_summary(
    records: Sequence[StudyRecords], groups: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The map of a study's arms, or of several studies of class splits.

    Empty without arms, and without base B: a strategy that is `scratch`.

    Args:
        records: Of one study, or of one for each class split.
        groups: The body's layer groups, to name the cuts by.

    Returns:
        By label budget ``labels, base`` (accuracy of base B), ``again`` (the null arm), ``cuts``
        (each ``cut, group, arms, derived``), ``signs`` (each ``name, answer, sentence, number``),
        ``depths`` (`chosen_depths`), ``worlds, seeds, dropped`` (seeds left out for a missing
        trial), ``units, few`` (as `LayerMap` has them), ``confidence``. Numbers are
        ``{value, low, high, all_low, all_high}``, shares.
    """
    first = records[0].study
    if not arms_of(first):
        return []
    confidence = min(each.confidence for each in records)
    found = []
    for labels in first.study.labels:
        worlds = [world for each in records if (world := _world(each, labels)) is not None]
        if not worlds:
            continue
        shared = set.intersection(*(set(world.tables) for world, _ in worlds))
        if len(shared - {(BASE, 0), (AGAIN, 0)}) == 0:
            continue
        same = [
            World({key: world.tables[key] for key in shared}, world.groups) for world, _ in worlds
        ]
        numbers = layer_map(same, confidence=confidence, margin=first.study.margin)
        dropped = sum(count for _, count in worlds)
        entry = _entry(labels, numbers, groups, confidence, dropped)
        found.append(entry | {"depths": chosen_depths(records, labels, confidence)})
    return found


def chosen_depths(
    records: Sequence[StudyRecords], labels: Budget, confidence: float
) -> list[dict[str, Any]]:
    """How deep to copy, chosen on validation pictures, the estimate corrected for the choice.

    The depth with the best mean over all class splits and seeds; bootstrap bias corrected
    (`headstart.statistics.selection.best_of`), no test picture is looked at. Only pictures are
    drawn anew for the interval, so that it holds for these class splits and seeds.

    Returns:
        For AnB and for AnB+, with at least two depths: ``arm, cut, choices, estimate, low, high,
        uncorrected`` (validation accuracies, shares) and the ``sentence``.
    """
    found = []
    for arm in ("AnB", "AnB+"):
        names = {cut: name for (own, cut), name in arms_of(records[0].study).items() if own == arm}
        rows, units = [], []
        for world, each in enumerate(records):
            said = each.validation.get(labels)
            if said is not None and set(names.values()) <= set(said.strategies):
                rows.append(said.correct[[said.strategies.index(name) for name in names.values()]])
                units.append(said.pictures + world * 10**9)  # class splits ask different questions
        if len(names) < 2 or not rows:
            continue
        scores, groups = np.concatenate(rows, axis=1), np.concatenate(units)
        if len(np.unique(groups)) < _FEWEST_TO_CHOOSE_ON:
            continue
        best = best_of(scores, confidence=confidence, groups=groups)
        cut = list(names)[best.winner]
        interval = f"{words.percent(best.low)} to {words.percent(best.high)}"
        found.append(
            {
                "arm": arm,
                "cut": cut,
                "choices": len(names),
                "estimate": best.estimate,
                "low": best.low,
                "high": best.high,
                "uncorrected": best.uncorrected,
                "sentence": f"{arm} does best with {words.counted(cut, 'group')} copied, by "
                f"validation: {words.percent(best.estimate)} ({interval}) once corrected for "
                f"having chosen among {len(names)} ({words.percent(best.uncorrected)} uncorrected)"
                f", for these {'class splits and ' if len(records) > 1 else ''}seeds",
            }
        )
    return found


def _world(records: StudyRecords, labels: Budget) -> tuple[World, int] | None:
    """The tables of a study over the seeds that all of its arms have; and how many have not."""
    base = base_of(records.study)
    if base is None:
        return None
    names: dict[Key, str] = {(BASE, 0): base}
    names.update({(arm, cut): name for (arm, cut), name in arms_of(records.study).items()})
    again = null_arm_of(records.study)
    if again is not None:
        names[AGAIN, 0] = again
    told: dict[Key, Answers] = {
        key: records.answers[name, labels]
        for key, name in names.items()
        if (name, labels) in records.answers
    }
    if (BASE, 0) not in told or len(told) < 2:
        return None
    seeds = sorted(set.intersection(*(set(own.seeds) for own in told.values())))
    if not seeds:
        return None
    tables = {key: own.at(seeds).correct.astype(np.float64) for key, own in told.items()}
    dropped = len(records.study.study.seeds) - len(seeds)
    return World(tables, records.test_groups), dropped


def _entry(
    labels: Budget, numbers: LayerMap, groups: Sequence[str], confidence: float, dropped: int
) -> dict[str, Any]:
    plain = asdict(numbers)
    plain |= {key: list(plain[key]) for key in ("cuts", "signs")}  # as JSON has them
    for cut in plain["cuts"]:
        cut["group"] = groups[cut["cut"] - 1] if cut["cut"] <= len(groups) else ""
    return {"labels": labels, "confidence": confidence, "dropped": dropped, **plain}


def map_content(found: DepthMap) -> ReportContent:
    """What the map's page shows: all class splits together."""
    import pandas as pd  # loaded when the report is drawn

    first = found.records[0]
    study = first.study
    trials = pd.concat([each.trials for each in found.records], ignore_index=True)
    sources = [
        pd.DataFrame(list(each.sources.values()), columns=list(SOURCE_COLUMNS))
        for each in found.records
        if each.sources
    ]
    provenance = dict(first.provenance)
    if len(found.records) > 1:
        provenance["class splits"] = "; ".join(
            f"{each.directory.name}: {', '.join(each.class_names)}" for each in found.records
        )
    return ReportContent(
        title=found.directory.name.replace("_", " ").replace("-", " "),
        question=study.question,
        generated=words.moment(time.time()),
        warnings=_warnings(found),
        summary={
            "question": study.question,
            "strategies": _strategies(trials, study.study.labels),
            "comparisons": [],
            "test_reads": sum(len(each.split_reads) for each in found.records),
            "confidence": min(each.confidence for each in found.records),
            "map": found.numbers,
        },
        trials=trials,
        curves=pd.DataFrame(columns=list(CURVE_COLUMNS)),
        confusions=[],
        mistakes=[],
        examples=[Example(png, name) for _, png, name in first.examples],
        class_counts=pd.DataFrame(first.class_counts, columns=list(COUNT_COLUMNS)),
        sources=pd.concat(sources, ignore_index=True)
        if sources
        else pd.DataFrame(columns=list(SOURCE_COLUMNS)),
        provenance=provenance,
        margin=study.study.margin,
        baseline=study.study.baseline,
    )


def _warnings(found: DepthMap) -> tuple[str, ...]:
    rows = [row for records in found.records for row in records.rows]
    said = []
    waiting = sum(row["state"] in ("waiting", "running") for row in rows)
    if waiting:
        said.append(
            f"The map was interrupted: {waiting} of {len(rows)} trials have not been trained yet. "
            "Draw it again, and it goes on where it stopped."
        )
    if found.failed:
        said.append(
            f"{found.failed} of {len(rows)} trials failed; a seed with a missing trial is left out "
            "of the map at that budget."
        )
    return tuple(said)


def _strategies(trials: "pd.DataFrame", budgets: Sequence[Budget]) -> list[dict[str, Any]]:
    """Every arm's mean over all trials; its interval stands in the map, against base B."""
    done = trials[trials["state"] == "complete"]
    found = []
    for labels in budgets:
        for name in dict.fromkeys(trials["strategy"]):
            own = done[(done["strategy"] == name) & (done["labels"] == str(labels))]
            there = len(own) > 0
            found.append(
                {
                    "name": name,
                    "labels": labels,
                    "trials": len(own),
                    "accuracy": {
                        "mean": float(own["test_accuracy"].mean()) if there else None,
                        "low": None,
                        "high": None,
                    },
                    "trainable_parameters": int(own["trainable_parameters"].iloc[0])
                    if there
                    else None,
                    "fit_seconds": float(own["fit_seconds"].median()) if there else None,
                    "spread": None,
                }
            )
    return found
