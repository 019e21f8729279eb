"""The best of several strategies, with the luck of having been chosen taken off."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.report import words
from headstart.report.searching import search_saw_validation
from headstart.statistics.selection import Selection, best_of
from headstart.study.results import StudyRecords, Validation
from headstart.training.choice import Choice

_FEWEST_PICTURES = 10  # `best_of` refuses fewer

_SEEN = ", and the luck of a search that chose settings on these very pictures is still in it"
_KEPT = ", and the luck of what trials kept by these very pictures is still in it"


def chosen(records: StudyRecords) -> list[dict[str, Any]]:
    """The best strategy at each label budget, and how good it is once its luck is taken off.

    Chosen on the validation pictures, over the seeds that all strategies have, or on the
    out-of-fold predictions of a cross-validation, over the folds that all have; a picture that
    several seeds or repeats drew is kept together (BBC-CV,
    `headstart.statistics.selection.best_of`). What a search chose on these very pictures, or
    trials themselves (`chosen_in_trials`), is not corrected, which the sentence says then.

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
        kept = not folds and any(key.labels == labels for key in records.choices)
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
                + seen
                + (_KEPT if kept else ""),
            }
        )
    return found


def chosen_in_trials(records: StudyRecords) -> list[dict[str, Any]]:
    """What trials kept of several ends, as with ``freeze_depth = "auto"``.

    Each trial chooses on its own validation pictures, and its accuracy on them is corrected for
    that by itself (BBC-CV, `headstart.statistics.selection.best_of`). Test accuracies need no
    correction: no choice saw those pictures.

    Returns:
        For each strategy and label budget that chose: ``strategy, labels, seeds, kept`` (how many
        seeds kept each candidate), ``estimate`` and ``deviation`` of the corrected accuracy over
        seeds (None with fewer than ten validation pictures; the deviation with a single seed, too),
        ``uncorrected`` and ``sentence``; shares.
    """
    found: dict[tuple[str, Budget], list[Choice]] = {}
    for key in sorted(records.choices, key=lambda key: key.seed):
        found.setdefault((key.strategy, key.labels), []).append(records.choices[key])
    return [
        _kept(strategy, labels, found[strategy, labels])
        for labels in records.study.study.labels
        for strategy in records.study.strategy
        if (strategy, labels) in found
    ]


def _kept(strategy: str, labels: Budget, choices: Sequence[Choice]) -> dict[str, Any]:
    kept = Counter(choice.name for choice in choices)
    uncorrected = float(np.mean([choice.correct[choice.chosen].mean() for choice in choices]))
    estimate, deviation = _corrected(choices)
    said = ", ".join(
        f"{name} in {words.counted(count, 'seed')}" for name, count in kept.most_common()
    )
    sentence = f"{strategy} kept, by validation accuracy: {said}"
    if estimate is not None:
        spread = "" if deviation is None else f" (± {100 * deviation:.1f} over seeds)"
        sentence += (
            f"; {words.percent(estimate, 1)}{spread} of those pictures once the luck of the choice "
            f"is taken off, {words.percent(uncorrected, 1)} as it stands"
        )
    return {
        "strategy": strategy,
        "labels": labels,
        "seeds": len(choices),
        "kept": {name: kept[name] for name in choices[0].candidates if kept[name]},
        "estimate": estimate,
        "deviation": deviation,
        "uncorrected": uncorrected,
        "sentence": sentence,
    }


def _corrected(choices: Sequence[Choice]) -> tuple[float | None, float | None]:
    """Mean and standard deviation over seeds of what remains of the chosen ones' accuracies."""
    if min(choice.correct.shape[1] for choice in choices) < _FEWEST_PICTURES:
        return None, None
    estimates = [best_of(choice.correct).estimate for choice in choices]
    deviation = float(np.std(estimates, ddof=1)) if len(estimates) > 1 else None
    return float(np.mean(estimates)), deviation


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
