"""The best of several strategies, chosen on validation pictures, with its luck taken off."""

from typing import Any

import numpy as np

from headstart.statistics.selection import Selection, best_of
from headstart.study.results import StudyRecords, Validation

_FEWEST_PICTURES = 10  # `best_of` refuses fewer


def chosen(records: StudyRecords) -> list[dict[str, Any]]:
    """The best strategy at each label budget, and how good it is once its luck is taken off.

    Chosen on the validation pictures, over the seeds that all strategies have; a picture that
    several seeds drew is kept together (BBC-CV, `headstart.statistics.selection.best_of`).

    Returns:
        Each ``labels, winner, estimate, low, high, uncorrected, standard_error, strategies,
        seeds, share_won`` (by strategy) and ``sentence``; shares. Budgets with fewer than two
        strategies or ten validation pictures are left out.
    """
    found = []
    for labels, validation in records.validation.items():
        if len(np.unique(validation.pictures)) < _FEWEST_PICTURES:
            continue
        selection = best_of(
            validation.correct,
            confidence=1 - records.study.study.alpha,
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
                "sentence": _sentence(validation, selection),
            }
        )
    return found


def _sentence(validation: Validation, selection: Selection) -> str:
    winner = validation.strategies[selection.winner]
    share = selection.share_won[selection.winner]
    return (
        f"{winner} is the best of {selection.configurations} on the validation pictures: "
        f"{100 * selection.estimate:.1f}% ({100 * selection.low:.1f} to "
        f"{100 * selection.high:.1f}) once its luck is taken off, "
        f"{100 * selection.uncorrected:.1f}% as it stands; it wins {100 * share:.0f}% of the "
        "replayed choices"
    )
