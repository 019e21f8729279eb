"""The best of several strategies, with the luck of having been chosen taken off."""

from typing import Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.report.searching import search_saw_validation
from headstart.statistics.selection import Selection, best_of
from headstart.study.results import StudyRecords, Validation

_FEWEST_PICTURES = 10  # `best_of` refuses fewer

_SEEN = ", and the luck of a search that chose settings on these very pictures is still in it"


def chosen(records: StudyRecords) -> list[dict[str, Any]]:
    """The best strategy at each label budget, and how good it is once its luck is taken off.

    Chosen on the validation pictures, over the seeds that all strategies have, or on the
    out-of-fold predictions of a cross-validation, over the folds that all have; a picture that
    several seeds or repeats drew is kept together (BBC-CV,
    `headstart.statistics.selection.best_of`). What a search chose on these very pictures is not
    corrected, which the sentence says then.

    Returns:
        Each ``labels, winner, estimate, low, high, uncorrected, standard_error, strategies,
        seeds, share_won`` (by strategy) and ``sentence``; shares. Budgets with fewer than two
        strategies or ten pictures are left out.
    """
    folds = records.study.split.folds is not None
    alpha = records.study.study.alpha
    if folds:  # the labels of the folds were read as test labels are
        alpha = 1 - records.confidence
    seen = _SEEN if search_saw_validation(records) and not folds else ""
    found = []
    for labels, validation in (_out_of_fold(records) if folds else records.validation).items():
        if len(np.unique(validation.pictures)) < _FEWEST_PICTURES:
            continue
        selection = best_of(
            validation.correct,
            confidence=1 - alpha,
            groups=validation.pictures,
        )
        winner = validation.strategies[selection.winner]
        shares = dict(zip(validation.strategies, selection.share_won, strict=True))
        found.append(
            {
                "labels": labels,
                "winner": winner,
                "estimate": selection.estimate,
                "low": selection.low,
                "high": selection.high,
                "uncorrected": selection.uncorrected,
                "standard_error": selection.standard_error,
                "strategies": len(validation.strategies),
                "seeds": len(validation.seeds),
                "share_won": shares,
                "sentence": _sentence(
                    validation, selection, "out-of-fold" if folds else "validation"
                )
                + seen,
            }
        )
    return found


def _out_of_fold(records: StudyRecords) -> dict[Budget, Validation]:
    """Who was right on the pictures of the folds that all strategies have."""
    found = {}
    for labels in records.study.study.labels:
        there = {
            name: records.fold_answers[name, labels]
            for name in records.study.strategy
            if (name, labels) in records.fold_answers
        }
        if len(there) < 2:
            continue
        seeds = sorted(set.intersection(*(set(own.seeds) for own in there.values())))
        if not seeds:
            continue
        shared = [own.at(seeds) for own in there.values()]
        found[labels] = Validation(
            strategies=tuple(there),
            seeds=tuple(seeds),
            correct=np.stack([np.concatenate(own.correct) for own in shared]),
            pictures=np.concatenate(shared[0].pictures),
        )
    return found


def _sentence(validation: Validation, selection: Selection, which: str) -> str:
    winner = validation.strategies[selection.winner]
    share = selection.share_won[selection.winner]
    return (
        f"{winner} is the best of {selection.configurations} on the {which} pictures: "
        f"{100 * selection.estimate:.1f}% ({100 * selection.low:.1f} to "
        f"{100 * selection.high:.1f}) once its luck is taken off, "
        f"{100 * selection.uncorrected:.1f}% as it stands; it wins {100 * share:.0f}% of the "
        "replayed choices"
    )
