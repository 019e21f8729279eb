"""What every strategy was given to search with, and what was chosen."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.report import words
from headstart.report.content import ReportContent, budget, finite
from headstart.report.tables import LABELS, NAME, SEED, Column, Table, table
from headstart.study.results import StudyRecords

_EDGE = 0.02  # of a span: what lies so near to its end might have wanted to go beyond it


def search_summary(records: StudyRecords) -> dict[str, Any] | None:
    """What was searched; None where nothing was asked to be.

    Returns:
        ``budget`` (in words), ``trials, seconds, sampler, seed, each, nothing`` (the strategies
        with nothing to search), ``seen`` (`search_saw_validation`), and ``found``, each
        ``strategy, labels, seed, space {path: {low, high, log, stated}}, trials, failed, seconds,
        values, losses, best`` (the number of the search trial that was chosen, None where all
        failed), ``chosen {path: value}``,
        ``at_the_edge`` (paths whose choice lies at an end of its span) and ``best_so_far`` (the
        lowest validation loss after each search trial).
    """
    told, asked = records.search, set(records.study.strategy)
    if not told:
        return None
    found = [one for one in told["found"] if one["strategy"] in asked]
    if told["trials"] is not None:
        given = words.counted(told["trials"], "trial")
    else:
        given = f"{told['seconds']:g} seconds of fitting"
    return {
        "budget": f"{given} at each label budget",
        **{key: told[key] for key in ("trials", "seconds", "sampler", "seed", "each")},
        "nothing": [name for name in told["nothing"] if name in asked],
        "seen": search_saw_validation(records),
        "found": [one | _chosen(one) | {"best_so_far": best_so_far(one)} for one in found],
    }


def search_saw_validation(records: StudyRecords) -> bool:
    """Whether the search looked at the very validation pictures that trials are judged on.

    So it does where each seed has its own, and where no seed draws any.
    """
    searched = any(
        one["strategy"] in records.study.strategy for one in records.search.get("found", ())
    )
    return searched and (records.search["each"] == "seed" or records.study.split.order == "stored")


def _chosen(one: Mapping[str, Any]) -> dict[str, Any]:
    if one["best"] is None:
        return {"chosen": {}, "at_the_edge": []}
    values = one["values"][one["best"]]
    spans = one["space"]
    edges = [path for path in spans if _is_at_edge(values[path], spans[path])]
    return {"chosen": {path: values[path] for path in spans}, "at_the_edge": edges}


def _is_at_edge(value: float, span: Mapping[str, Any]) -> bool:
    low, high = span["low"], span["high"]
    if span["log"]:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return not _EDGE < (value - low) / (high - low) < 1 - _EDGE


def best_so_far(one: Mapping[str, Any]) -> list[float | None]:
    """The lowest validation loss after each search trial; None while all had failed."""
    lowest: list[float | None] = []
    for loss in one["losses"]:
        before = lowest[-1] if lowest else None
        known = [value for value in (before, loss) if value is not None]
        lowest.append(min(known) if known else None)
    return lowest


def search_warnings(records: StudyRecords) -> Iterator[str]:
    """What a reader must know of a search before anything else."""
    for one in records.search.get("found", ()):
        if one["best"] is None and one["strategy"] in records.study.strategy:
            yield (
                f"Every search trial of {one['strategy']} with {words.labels(one['labels'])} "
                "failed, so it takes the settings that the study states, unsearched."
            )


def search_sentences(told: Mapping[str, Any] | None) -> list[str]:
    """What was chosen, a sentence for each strategy and label budget.

    Args:
        told: As `search_summary` gives it.
    """
    if told is None:
        return []
    groups: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for one in told["found"]:
        groups.setdefault((one["strategy"], one["labels"]), []).append(one)
    said = [
        f"{name}, {words.labels(labels)}: {_of_group(group, nested=told['each'] == 'seed')}"
        for (name, labels), group in groups.items()
    ]
    return said + [f"{name}: nothing to search, so it is as stated" for name in told["nothing"]]


def _of_group(group: Sequence[Mapping[str, Any]], *, nested: bool) -> str:
    """What the searches of one strategy at one label budget chose."""
    good = [one for one in group if one["best"] is not None]
    trials = sum(one["trials"] for one in group)
    of_seeds = f" in searches of {words.counted(len(group), 'seed')}" if nested else ""
    seconds = words.seconds(sum(one["seconds"] for one in group))
    of = f"of {words.counted(trials, 'search trial')}{of_seeds}, {seconds} of fitting"
    if not good:
        return f"as stated, since all {of} failed".replace("all of ", "all ")
    chosen = ", ".join(
        f"{path} = {_range([one['chosen'][path] for one in good])}" for path in good[0]["space"]
    )
    best = [finite(one["losses"][one["best"]]) for one in good]
    stated = [_loss_as_stated(one) for one in good]
    losses = f"{'mean ' if len(good) > 1 else ''}validation loss {_mean_words(best)}"
    if None not in stated and all(one["best"] == 0 for one in good):
        return f"{chosen}, as stated, the best {of}; {losses}"
    if None not in stated:
        losses += f", {_mean_words(stated)} as stated"
    return f"{chosen}, the best {of}; {losses}"


def _range(values: Sequence[float]) -> str:
    """One value, or from which to which several lie."""
    ends = list(dict.fromkeys([_short(min(values)), _short(max(values))]))
    return " to ".join(ends)


def _mean_words(losses: Sequence[float | None]) -> str:
    known = [loss for loss in losses if loss is not None]
    return words.decimal(math.fsum(known) / len(known), 3) if known else words.NONE


def search_table(content: ReportContent) -> Table | None:
    """What each strategy was given, and what was chosen; None where nothing was searched."""
    told = content.summary.get("search")
    if told is None:
        return None
    nested = told["each"] == "seed"
    rows = [_row(one, nested=nested) for one in told["found"]]
    for name in told["nothing"]:
        rows.append([name, words.NONE, *([words.NONE] if nested else []), "nothing to search"])
    rows = [[*row, *([words.NONE] * (8 + nested - len(row)))] for row in rows]
    where = content.pair_name if nested else "search"
    return table(
        "Settings that were chosen by search",
        [
            NAME, LABELS, *([SEED] if nested else []), Column("Searched", numeric=False),
            "Search trials", "Seconds", Column("Chosen", numeric=False),
            "Validation loss as stated", "as chosen",
        ],
        rows,
        f"Every strategy had {told['budget']}; the lowest validation loss was chosen, on the "
        f"training and validation pictures of "
        + (f"each {where} alone." if nested else f"seed {told['seed']}, which has no trial here.")
        + (
            " These are the validation pictures of the trials, too: validation accuracies of what "
            "was searched are flattered, test accuracies are not."
            if told.get("seen")
            else ""
        )
        + " The first search trial takes what the study states."
        + _edge_note(told["found"]),
    )  # fmt: skip


def _row(one: Mapping[str, Any], *, nested: bool) -> list[str]:
    failed = f" ({one['failed']} failed)" if one["failed"] else ""
    stated = _loss_as_stated(one)
    best = None if one["best"] is None else finite(one["losses"][one["best"]])
    return [
        str(one["strategy"]),
        words.budget(budget(one["labels"])),
        *([str(one["seed"])] if nested else []),
        _spans(one["space"]),
        f"{one['trials']}{failed}",
        words.seconds(one["seconds"]),
        _values(one["chosen"]) if one["best"] is not None else "as stated: all failed",
        words.decimal(stated, 4),
        words.decimal(best, 4),
    ]


def _loss_as_stated(one: Mapping[str, Any]) -> float | None:
    """The loss of the first trial, where that took what is stated."""
    if not one["values"]:
        return None
    first = one["values"][0]
    is_stated = all(span["stated"] == first[path] for path, span in one["space"].items())
    return finite(one["losses"][0]) if is_stated else None


def _spans(space: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{path} {_short(s['low'])} to {_short(s['high'])}" for path, s in space.items()
    )


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{path} {_short(value)}" for path, value in values.items())


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", words.MINUS)


def _edge_note(found: Sequence[Mapping[str, Any]]) -> str:
    """Which choices lie at the end of what was searched."""
    edges = list(dict.fromkeys(_edges(found)))
    if not edges:
        return ""
    return (
        f" At an end of what was searched, so that more of it might be better: "
        f"{words.listed(edges)}."
    )


def _edges(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        for path in one["at_the_edge"]:
            yield f"{path} of {one['strategy']}"
