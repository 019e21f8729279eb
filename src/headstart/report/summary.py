"""The summary: what a study's records allow to be said, as the plain data of `summary.json`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.report import cross_validation
from headstart.report.choosing import chosen, chosen_in_trials
from headstart.report.depth_map import map_summary
from headstart.report.gate import gate_summary
from headstart.report.label_worth import worths_summary
from headstart.report.paths import path_summary
from headstart.report.planning import power_curves
from headstart.report.searching import search_summary
from headstart.report.study_warnings import study_warnings
from headstart.statistics.access import AccessPolicy
from headstart.statistics.intervals import mean_interval, spread_of_finite_test_set
from headstart.statistics.metrics import METRICS, compare_metric
from headstart.statistics.multiplicity import Claim, Order, correct_family, order_with_ties
from headstart.statistics.paired import Comparison, compare_pairs
from headstart.statistics.power import advise
from headstart.statistics.resampled import probability_of_improvement
from headstart.statistics.sequential import Path
from headstart.study.deciding import path_of
from headstart.study.folds import FoldAnswers, FoldPairing
from headstart.study.results import Answers, Pairing, StudyRecords

AnyPairing = Pairing | FoldPairing

_RESAMPLES_BESIDE = 2000  # for what stands beside the answer


def confidence(records: StudyRecords) -> float:
    """The confidence of each interval: 95%, widened once the test split was read too often."""
    return records.confidence


def claims(records: StudyRecords) -> tuple[tuple[Budget, AnyPairing, Claim], ...]:
    """Every strategy against the baseline at every label budget, corrected as one family."""
    pairings: list[tuple[Budget, AnyPairing]] = [*records.pairings(), *records.fold_pairings()]
    if records.design is not None:
        family = tuple(_claim_by_design(records, pairing) for _, pairing in records.pairings())
    else:
        made = [_compare(records, pairing) for _, pairing in pairings]
        names = [(pairing.a.strategy, pairing.b.strategy) for _, pairing in pairings]
        family = correct_family(names, made) if made else ()
    return tuple((*pairing, claim) for pairing, claim in zip(pairings, family, strict=True))


def _claim_by_design(records: StudyRecords, pairing: Pairing) -> Claim:
    """What the looks of a declared design allow to be said."""
    path = path_of(records, pairing)
    pairs = path.looks[-1].pairs if path.looks else len(pairing.a.seeds)
    seen = Pairing(pairing.a.at(pairing.a.seeds[:pairs]), pairing.b.at(pairing.b.seeds[:pairs]), 0)
    comparison = replace(_compare(records, seen), verdict=path.verdict)
    low, high = comparison.low, comparison.high
    if path.looks:
        low, high = path.looks[-1].low, path.looks[-1].high
        last = f" of at most {len(path.design.looks)} declared" if isinstance(path, Path) else ""
        looks = f"look {len(path.looks)}{last or ', with no last one declared (e-value)'}"
        comparison = replace(comparison, low=low, high=high, note=looks)
    return Claim(
        a=pairing.a.strategy,
        b=pairing.b.strategy,
        comparison=comparison,
        adjusted_p=None,
        adjusted_p_equivalence=None,
        low=low,
        high=high,
    )


def orders(records: StudyRecords) -> dict[Budget, Order]:
    """The strategies from best to worst at each label budget, ties as ties.

    Pairs with the baseline have the verdict of `claims`, so that nothing is told twice in two
    ways; all other pairs, over all budgets, are one more family of their own (Holm).
    """
    decided: dict[Budget, list[tuple[str, str]]] = {}
    others: list[tuple[Budget, AnyPairing]] = []
    for labels in records.study.study.labels:
        for a, b in combinations(records.study.strategy, 2):
            pairing = records.pair(a, b, labels) or records.pair_folds(a, b, labels)
            if pairing is not None and records.study.study.baseline not in (a, b):
                others.append((labels, pairing))
    made = [_compare(records, pairing, resamples=_RESAMPLES_BESIDE) for _, pairing in others]
    names = [(pairing.a.strategy, pairing.b.strategy) for _, pairing in others]
    family = correct_family(names, made) if made else ()
    told = [(labels, claim) for labels, _, claim in claims(records)]
    told += [(labels, claim) for (labels, _), claim in zip(others, family, strict=True)]
    for labels, claim in told:
        if claim.verdict in ("better", "worse"):
            decided.setdefault(labels, []).append((claim.a, claim.b))
    found = {}
    for labels in records.study.study.labels:
        told_of = {name: records.told(name, labels) for name in records.study.strategy}
        means = {
            name: float(answers.accuracies.mean())
            for name, answers in told_of.items()
            if answers is not None
        }
        if means:
            found[labels] = order_with_ties(means, decided.get(labels, ()))
    return found


def summarise(records: StudyRecords) -> dict[str, Any]:
    """The summary of a study.

    Returns:
        ``question``; ``cross_validation {folds, repeats}``, None where there is one test split
        (else pairs are folds, and intervals those of Nadeau and Bengio); ``strategies``, each
        ``name, labels, trials, accuracy {mean, low, high}, trainable_parameters, fit_seconds,
        spread {observed, finite_test_set}`` (trials that ended well; accuracy with its interval
        over new seeds and new test pictures; seconds are the median; spread is None for one
        seed); ``comparisons`` with the baseline, each ``a, b, labels, pairs, difference, low,
        high, p_value, relative_error_reduction, verdict`` and, beside what others rely on,
        ``adjusted_p`` and ``simultaneous {low, high}`` (Holm and Bonferroni over all comparisons
        of the study), ``sentence, note, spread, probability_of_improvement, metrics, power``
        (`headstart.report.planning.power_curves`); ``orders``
        by label budget; ``best`` by label budget (`headstart.report.choosing.chosen`); ``choices``
        (`headstart.report.choosing.chosen_in_trials`); ``worth``
        (`headstart.report.label_worth.worths_summary`); ``map``
        (`headstart.report.depth_map.map_summary`); ``test_reads``; ``confidence``;
        ``ledger {entries, counted, budget, limit, split, readings, sentence}``; ``gate``
        (`headstart.report.gate.gate_summary`); ``search``
        (`headstart.report.searching.search_summary`); ``warnings``, sentences that belong above
        everything else (`headstart.report.study_warnings.study_warnings`); where looks were
        declared, each comparison's ``path {stop, looks, declared}``. Accuracies and
        differences are shares; numbers that cannot be had are None. Verdicts are the family's.
    """
    study = records.study
    return {
        "question": study.question,
        "cross_validation": cross_validation.described(records),
        "strategies": [
            _strategy(records, name, labels)
            for labels in study.study.labels
            for name in study.strategy
        ],
        "comparisons": [_comparison(records, *claim) for claim in claims(records)],
        "orders": [
            {
                "labels": labels,
                "names": list(order.names),
                "means": list(order.means),
                "ties": [list(group) for group in order.ties],
            }
            for labels, order in orders(records).items()
        ],
        "best": chosen(records),
        "choices": chosen_in_trials(records),
        "worth": worths_summary(records),
        "map": map_summary([records]),
        "test_reads": len(records.split_reads),
        "confidence": confidence(records),
        "ledger": _ledger(records),
        "gate": gate_summary(records),
        "search": search_summary(records),
        "warnings": [*study_warnings(records)],
    }


def _ledger(records: StudyRecords) -> dict[str, Any]:
    """Every reading of the test split, how many count, and what they cost."""
    settings = records.study.study
    policy = AccessPolicy(settings.test_read_budget, settings.test_read_limit)
    reads = records.counted_reads
    return {
        "entries": [asdict(entry) for entry in records.test_reads],
        "counted": reads,
        "budget": policy.budget,
        "limit": policy.limit,
        "split": records.study.split.number,
        "readings": len(records.split_reads),
        "sentence": ledger_sentence(records),
    }


def ledger_sentence(records: StudyRecords) -> str:
    """How often the present test split was read, what that cost, and which ones were before it."""
    settings, number = records.study.study, records.study.split.number
    if not records.counted_reads:
        return ""
    policy = AccessPolicy(settings.test_read_budget, settings.test_read_limit)
    said = policy.sentence(records.counted_reads, 1 - settings.alpha)
    if records.gate:
        said = f"{said.split(': ')[0]}: the tries beyond it were asked through a gate"
    if number == 1:
        return said
    said = said.replace("the test split", f"test split {number}", 1)
    before = len(records.test_reads) - len(records.split_reads)
    readings = f"{before} reading{'' if before == 1 else 's'}"
    return f"{said}; {readings} before that were of splits that are closed"


def _compare(records: StudyRecords, pairing: AnyPairing, resamples: int = 10_000) -> Comparison:
    if isinstance(pairing, FoldPairing):
        return cross_validation.compare(records, pairing, confidence(records))
    return compare_pairs(
        pairing.a.correct,
        pairing.b.correct,
        margin=records.study.study.margin,
        confidence=confidence(records),
        resamples=resamples,
        groups=records.test_groups,
    )


def _strategy(records: StudyRecords, name: str, labels: Budget) -> dict[str, Any]:
    answers = records.told(name, labels)
    rows = [
        row
        for row in records.rows
        if (row["strategy"], row["labels"], row["state"]) == (name, str(labels), "complete")
    ]
    interval = None
    if isinstance(answers, FoldAnswers):
        interval = cross_validation.mean(records, answers, confidence(records))
    elif answers is not None:
        interval = mean_interval(
            answers.correct, confidence=confidence(records), groups=records.test_groups
        )
    return {
        "name": name,
        "labels": labels,
        "trials": len(rows),
        "accuracy": {
            "mean": interval and interval.mean,
            "low": interval and interval.low,
            "high": interval and interval.high,
        },
        "trainable_parameters": rows[0]["trainable_parameters"] if rows else None,
        "fit_seconds": float(np.median([row["fit_seconds"] for row in rows])) if rows else None,
        "spread": _spread_over_seeds(answers),
    }


def _spread_over_seeds(answers: Answers | FoldAnswers | None) -> dict[str, float] | None:
    """The seeds' standard deviation, beside what so small a test split alone would give."""
    if isinstance(answers, FoldAnswers):
        return cross_validation.spread(answers)
    if answers is None or len(answers.seeds) < 2:
        return None
    observed, alone = spread_of_finite_test_set(answers.correct)
    return {"observed": observed, "finite_test_set": alone}


def _comparison(
    records: StudyRecords, labels: Budget, pairing: AnyPairing, claim: Claim
) -> dict[str, Any]:
    result = claim.comparison
    notes = [result.note] if result.note else []
    if pairing.missing:
        notes.append(
            f"{pairing.missing} {'folds' if isinstance(pairing, FoldPairing) else 'seeds'} have a "
            "trial in only one of the two and are left out"
        )
    return {
        "a": claim.a,
        "b": claim.b,
        "labels": labels,
        "pairs": result.pairs,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "relative_error_reduction": _reduction(result),
        "verdict": result.verdict,
        "adjusted_p": claim.adjusted_p,
        "simultaneous": {"low": claim.low, "high": claim.high},
        "sentence": sentence(claim, len(records.pairings())),
        "note": "; ".join(notes),
        "spread": _spread(result),
        "probability_of_improvement": _improvement(pairing),
        "metrics": _metrics(records, pairing),
        "path": path_summary(records, pairing),
        "power": power_curves(result, len(records.pairings())),
    }


def sentence(claim: Claim, comparisons: int = 1) -> str:
    """What may be said, and where nothing may be, what would help, so many being compared."""
    said = claim.sentence()
    result = claim.comparison
    if result.verdict != "undecided" or result.pairs < 6:
        return said
    if "Holm" in result.note:
        return f"{said}; {result.note.split('; ')[-1]}"  # the note tells the rest
    if result.variance is None:
        return said
    advice = advise(result, comparisons=comparisons).sentence().removeprefix("undecided: ")
    return f"{said}; {advice}"


def _reduction(result: Comparison) -> dict[str, float | None] | None:
    reduction = result.relative_error_reduction
    if reduction.value is None:
        return None
    return {"value": reduction.value, "low": reduction.low, "high": reduction.high}


def _spread(result: Comparison) -> dict[str, float] | None:
    """Standard deviations that add up (as squares) to the standard error of the difference."""
    split = result.variance
    if split is None:
        return None
    return {
        "seeds": float(np.sqrt(max(split.seeds, 0) / split.n_seeds)),
        "pictures": float(np.sqrt(max(split.pictures, 0) / split.n_pictures)),
        "both": float(np.sqrt(max(split.both, 0) / (split.n_seeds * split.n_pictures))),
    }


def _improvement(pairing: AnyPairing) -> dict[str, float | bool] | None:
    """How often a new seed of a would beat that of b; folds are not independent enough to say."""
    if len(pairing.a.seeds) < 2 or isinstance(pairing, FoldPairing):
        return None
    chance = probability_of_improvement(pairing.a.accuracies, pairing.b.accuracies)
    return {
        "value": chance.probability,
        "low": chance.low,
        "high": chance.high,
        "convincing": chance.convincing,
    }


def _metrics(records: StudyRecords, pairing: AnyPairing) -> dict[str, Mapping[str, float | None]]:
    """The difference in every other metric, with its interval; missing where it cannot be had."""
    if isinstance(pairing, FoldPairing):
        return cross_validation.metrics(records, pairing, confidence(records))
    if records.test_labels is None or len(pairing.a.seeds) < 2:
        return {}
    found: dict[str, Mapping[str, float | None]] = {}
    for metric in METRICS:
        if metric == "accuracy":
            continue
        result = compare_metric(
            metric,
            pairing.a.normalised,
            pairing.b.normalised,
            records.test_labels,
            confidence=confidence(records),
            resamples=_RESAMPLES_BESIDE,
            groups=records.test_groups,
        )
        found[metric] = {
            "difference": result.difference,
            "low": result.low,
            "high": result.high,
        }
    return found
