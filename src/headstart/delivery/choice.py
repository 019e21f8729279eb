"""Which strategy is delivered, and why: measured on validation pictures, not assumed."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.errors import TrainingError
from headstart.report.choosing import chosen
from headstart.study.results import StudyRecords

FEW_A_CLASS = 1000
"""Below so many training pictures a class a set counts as small for the rule of thumb.

The notebooks give no number. What they call small has 100 pictures a class (000, 001); the largest
of them (004) has ten thousand.
"""

_HEAD_ALONE = ("frozen", "probe", "ridge", "lda", "nearest_mean", "knn")


@dataclass(frozen=True)
class Choice:
    """The strategy to deliver.

    Attributes:
        strategy: Its name.
        seed: Of the trial to deliver: the median one by validation accuracy, never the luckiest.
        measured: What each strategy reached on validation pictures, a share, mean over seeds.
        spread: The standard deviation over seeds of the same; None for one seed.
        corrected: The chosen one's accuracy, an estimate corrected for having been chosen, with
            ``low`` and ``high``; None where nothing was chosen, or too few pictures allow none.
        why: In sentences.
        rule_of_thumb: What the notebooks would have said, beside what was measured.
    """

    strategy: str
    seed: int
    measured: dict[str, float]
    spread: dict[str, float | None]
    corrected: dict[str, float] | None
    why: tuple[str, ...]
    rule_of_thumb: str

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {**asdict(self), "why": list(self.why)}


def choose(records: StudyRecords) -> Choice:
    """Choose among the strategies of a study, at the label budget "all", by validation.

    Raises:
        TrainingError: If no trial ended well.
    """
    accuracies = _accuracies(records)
    selection = next((each for each in chosen(records) if each["labels"] == "all"), None)
    measured = {name: float(np.mean(list(own.values()))) for name, own in accuracies.items()}
    winner = selection["winner"] if selection else max(measured, key=lambda name: measured[name])
    corrected = None
    if selection:
        corrected = {key: float(selection[key]) for key in ("estimate", "low", "high")}
    return Choice(
        strategy=winner,
        seed=_median_seed(accuracies[winner]),
        measured=measured,
        spread={
            name: float(np.std(list(own.values()), ddof=1)) if len(own) > 1 else None
            for name, own in accuracies.items()
        },
        corrected=corrected,
        why=tuple(_why(winner, measured, selection)),
        rule_of_thumb=_rule_of_thumb(records, winner, measured),
    )


def _accuracies(records: StudyRecords) -> dict[str, dict[int, float]]:
    """Validation accuracy by strategy and seed; over the seeds that all of them have, if any."""
    found: dict[str, dict[int, float]] = {}
    for row in records.rows:
        if row["state"] == "complete" and row["labels"] == "all":
            found.setdefault(row["strategy"], {})[row["seed"]] = row["val_accuracy"]
    if not found:
        errors = dict.fromkeys(row["error"] for row in records.rows if row["error"])
        raise TrainingError("no trial ended well, so there is nothing to deliver", *errors)
    shared = set.intersection(*(set(own) for own in found.values()))
    if not shared:
        return found
    return {name: {seed: own[seed] for seed in sorted(shared)} for name, own in found.items()}


def _median_seed(accuracies: dict[int, float]) -> int:
    """The seed in the middle; of two, and of equals, the one that comes first."""
    order = sorted(accuracies, key=lambda seed: (accuracies[seed], seed))
    return order[(len(order) - 1) // 2]


def _why(winner: str, measured: dict[str, float], selection: dict[str, Any] | None) -> list[str]:
    if len(measured) == 1:
        return [
            f"{winner} was asked for: {_percent(measured[winner])} on validation pictures, mean "
            "over the seeds"
        ]
    others = {name: value for name, value in measured.items() if name != winner}
    second = max(others, key=lambda name: others[name])
    ahead = 100 * (measured[winner] - measured[second])
    said = [
        f"{winner} did best on validation pictures: {_percent(measured[winner])}, mean over the "
        f"seeds, {ahead:.1f} points ahead of {second}"
    ]
    if selection is None:
        return [*said, "there are too few validation pictures to take its luck off"]
    share = selection["share_won"][winner]
    said.append(str(selection["sentence"]))
    if share < 0.75:
        close = [name for name, won in selection["share_won"].items() if won > 0.1]
        said.append(
            f"the choice was close: with other validation pictures {', '.join(close)} could each "
            "have won, so take it for as good as the others rather than for the best"
        )
    return said


def _rule_of_thumb(records: StudyRecords, winner: str, measured: dict[str, float]) -> str:
    """What the notebooks would have done, and whether that is what was measured."""
    counts = [
        n for task, split, _, n in records.class_counts if (task, split) == ("target", "train")
    ]
    each = sum(counts) / max(1, len(counts))
    small = each < FEW_A_CLASS
    advice = (
        "freeze the body if the pictures are like those it learned from (small and similar)"
        if small
        else "fine-tune the whole network (large)"
    )
    told = (
        f"the notebooks' rule of thumb, for {sum(counts):,} training pictures, {each:,.0f} a "
        f"class: {advice}"
    )
    if len(measured) == 1:
        return f"{told}; nothing else was measured to hold it against"
    fits = winner != "scratch" and (winner in _HEAD_ALONE) == small
    return f"{told}; measured: {winner}, {'as' if fits else 'unlike what'} the rule says"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
