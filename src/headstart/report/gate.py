"""What a gate before the test split told, in words and for the summary."""

from collections.abc import Mapping
from typing import Any

from headstart.report import words
from headstart.study.results import StudyRecords


def gate_summary(records: StudyRecords) -> dict[str, Any] | None:
    """What was tried through a gate; None where nothing was.

    Returns:
        ``gate``; ``tries``, each ``strategy, labels, seeds, answer, heard, sentence``;
        ``statements``, one a label budget of which anything may be said: ``strategy, labels,
        tries, accuracy, low, high, alpha``, where there are six pairs with the baseline also
        ``against, difference, difference_low, difference_high, pairs``, and ``sentence``.
    """
    if not records.gate:
        return None
    gate = records.gate["gate"]
    return {
        "gate": gate,
        "tries": [
            one | {"sentence": _answer(one, gate == "ladder")} for one in records.gate["tries"]
        ],
        "statements": [
            one | {"sentence": _statement(one, gate, records.study.study.margin)}
            for one in records.gate["statements"]
        ],
    }


def _answer(one: Mapping[str, Any], ladder: bool) -> str:
    name = f"{one['strategy']}, {words.labels(one['labels'])}"
    if one["answer"] is None:
        return f"{name}: no better than the best so far"
    share = words.percent(one["answer"], 1)
    if ladder:
        return f"{name}: {share}, better than the best before it"
    if one["heard"]:
        return f"{name}: about {share} on the test pictures, which contradict the validation ones"
    return f"{name}: {share} on the validation pictures, which the test ones do not contradict"


def _statement(one: Mapping[str, Any], gate: str, margin: float) -> str:
    ends = f"{words.percent(one['low'], 1)} to {words.percent(one['high'], 1)}"
    tries = words.counted(one["tries"], "try", "tries")
    said = (
        f"{one['strategy']}, {words.labels(one['labels'])}: {words.percent(one['accuracy'], 1)} "
        f"({ends if one['low'] is not None else 'no interval with one seed'}), which holds however "
        f"it was found, after {tries} through the {gate}"
    )
    if "against" not in one:
        return said
    low, high = one["difference_low"], one["difference_high"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    if -margin < low and high < margin:
        verdict = "equivalent"
    return (
        f"{said}; against {one['against']} {words.points(one['difference'], 1)} points "
        f"({words.points(low, 1)} to {words.points(high, 1)}), "
        f"{words.counted(one['pairs'], 'pair')}: {verdict}"
    )
