"""What stands on top of the report: the verdicts, and the few numbers that are set large."""

import re
from typing import NamedTuple

from headstart.report import words
from headstart.report.content import (
    Budget,
    Comparison,
    ReportContent,
    StrategyResult,
    budget,
)


class Highlight(NamedTuple):
    """A number set large, and what it is."""

    value: str
    meaning: str


def verdicts(content: ReportContent) -> tuple[tuple[str, tuple[Comparison, ...]], ...]:
    """The comparisons under a heading for each label budget; no heading when there is only one."""
    several = len(content.budgets) > 1
    grouped = []
    for labels in content.budgets:
        entries = tuple(entry for entry in content.comparisons if entry.labels == labels)
        heading = f"With {words.labels(labels, content.training_pictures)}" if several else ""
        if entries:
            grouped.append((heading, entries))
    return tuple(grouped)


class Sign(NamedTuple):
    """One of the signs of a map of layer transfer, and in which verdict's colours it is told."""

    name: str
    answer: str
    sentence: str
    look: str


def signs(content: ReportContent) -> tuple[tuple[str, tuple[Sign, ...]], ...]:
    """The signs of a map under a heading for each label budget, likewise."""
    looks = {"yes": "better", "no": "worse", "cannot tell": "undecided"}
    maps = content.summary.get("map", ())
    return tuple(
        (
            f"With {words.labels(budget(entry['labels']), content.training_pictures)}"
            if len(maps) > 1
            else "",
            tuple(
                Sign(sign["name"], sign["answer"], sign["sentence"], looks[sign["answer"]])
                for sign in entry["signs"]
            ),
        )
        for entry in maps
    )


def named(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """A comparison's sentence in pieces: (text, the strategy it names or "")."""
    names = sorted({comparison.a, comparison.b} - {""}, key=len, reverse=True)
    if not names:
        return ((comparison.sentence, ""),)
    pattern = rf"(?<![\w-])({'|'.join(map(re.escape, names))})(?![\w-])"
    pieces = re.split(pattern, comparison.sentence)
    return tuple((piece, piece if place % 2 else "") for place, piece in enumerate(pieces) if piece)


def highlights(content: ReportContent) -> tuple[Highlight, ...]:
    """The study's size, its best strategy, its largest difference, its costs, its test reads."""
    found = [
        _size(content),
        _best(content),
        _largest(content),
        _trained(content),
        _quickest(content),
    ]
    reads = int(content.summary["test_reads"])
    found.append(
        Highlight(words.whole(reads), f"{'read' if reads == 1 else 'reads'} of the test labels")
    )
    return tuple(highlight for highlight in found if highlight is not None)


def _size(content: ReportContent) -> Highlight:
    done, asked = len(content.finished), len(content.trials)
    seeds = words.counted(content.trials["seed"].nunique(), content.pair_name)
    value = f"{done:,} of {asked:,}" if done < asked else f"{done:,}"
    noun = "trial" if asked == 1 else "trials"
    return Highlight(value, f"{noun} finished, {seeds}")


def _told(content: ReportContent, name: str, labels: Budget) -> str:
    """A strategy's name, with its label budget when there are several."""
    if len(content.budgets) == 1:
        return name
    return f"{name} with {words.labels(labels)}"


def _best(content: ReportContent) -> Highlight | None:
    known = [(r.accuracy.value, r) for r in content.results if r.accuracy.value is not None]
    if not known:
        return None
    value, result = max(known, key=lambda pair: pair[0])
    return Highlight(
        words.percent(value), f"best mean accuracy: {_told(content, result.name, result.labels)}"
    )


def _largest(content: ReportContent) -> Highlight | None:
    known = [
        (entry.difference.value, entry)
        for entry in content.comparisons
        if entry.difference.value is not None
    ]
    if len(known) == 0:
        return None
    value, entry = max(known, key=lambda pair: abs(pair[0]))
    which = "the largest difference: " if len(known) > 1 else ""
    compared = _told(content, f"{entry.a} against {entry.b}", entry.labels)
    return Highlight(words.points(value), f"points, {which}{compared}")


def _trained(content: ReportContent) -> Highlight | None:
    """The strategy that trains the smallest share of its weights, if any trains less than all."""
    shares: list[tuple[float, StrategyResult]] = []
    for result in content.results:
        own = content.finished[content.finished["strategy"] == result.name]
        total = own["total_parameters"].astype(float).max() if len(own) else 0.0
        if result.trainable_parameters is not None and total > 0:
            shares.append((result.trainable_parameters / total, result))
    if not shares or min(shares, key=lambda pair: pair[0])[0] >= 1:
        return None
    share, result = min(shares, key=lambda pair: pair[0])
    return Highlight(words.percent(share, 1), f"of the weights are trained by {result.name}")


def _quickest(content: ReportContent) -> Highlight | None:
    """The quickest fit at the largest label budget, beside the baseline's."""
    labels = content.budgets[-1] if content.budgets else "all"
    known = {
        result.name: result.fit_seconds
        for result in content.results
        if result.labels == labels and result.fit_seconds is not None
    }
    if not known:
        return None
    name = min(known, key=lambda strategy: known[strategy])
    beside = ""
    if content.baseline in known and name != content.baseline:
        beside = f"; {content.baseline} takes {words.seconds(known[content.baseline])}"
    return Highlight(words.seconds(known[name]), f"the quickest fit, {name}{beside}")
