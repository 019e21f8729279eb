"""Readings beyond the budget through a gate: the ladder or thresholdout tells little, and honestly.

Whoever lets each answer decide what to try next can learn the test labels from the answers. A gate
(`headstart.statistics.access`) answers so little that all sequences of answers can be counted, and
its intervals hold for each of them. What was tried through a gate is never scored: no accuracy of
a trial, no comparison, no picture got wrong. There is the gate's answer to each try, and one
interval for the best of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.seeding import stream_seed
from headstart.statistics.access import Ladder, Thresholdout, transcript_alpha
from headstart.statistics.intervals import interval_at_level
from headstart.statistics.scores import merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.variance import estimate_mean
from headstart.study.records import Records, TrialKey
from headstart.study.spec import StudySettings

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Try:
    """One strategy at one label budget that was asked about through a gate.

    Attributes:
        strategy: Its name.
        labels: The label budget.
        seeds: The seeds of its trials.
        answer: What the gate told, a share; None where the ladder only told "no better".
        heard: Whether the answer came from the test pictures.
    """

    strategy: str
    labels: Budget
    seeds: tuple[int, ...]
    answer: float | None
    heard: bool

    @property
    def trials(self) -> list[TrialKey]:
        """Its trials."""
        return [TrialKey(self.strategy, seed, self.labels) for seed in self.seeds]


def tries(records: Records) -> list[Try]:
    """What was asked through a gate so far, in order."""
    found = records.described("gate").get("tries", [])
    return [Try(**{**entry, "seeds": tuple(entry["seeds"])}) for entry in found]


def refuse_another(records: Records, settings: StudySettings) -> None:
    """Refuse to ask otherwise about a test split than through the gate that stands before it.

    Raises:
        RecordsError: If another gate was asked before.
    """
    before = records.described("gate").get("gate", settings.test_read_gate)
    if before != settings.test_read_gate:
        raise RecordsError(
            f"study.test_read_gate: this test split was asked through the {before} before, and "
            "what that kept back cannot be told otherwise: keep to it, or name a fresh split"
        )


class Gatekeeper:
    """Asks the study's gate about trials, once each, and writes its answers down.

    Args:
        records: Where predictions lie and answers go.
        settings: Which gate, alpha, margin, baseline.
        truth: The test labels.
        split: What the ledger calls the test split; draws thresholdout's noise.
    """

    def __init__(
        self, records: Records, settings: StudySettings, truth: NDArray[np.int64], split: str
    ) -> None:
        self._records = records
        self._settings = settings
        self._truth = truth
        self._seed = stream_seed(0, "gate", split)
        self._tries = tries(records)
        self._groups = records.described("test_groups").get("groups")
        self._tested = {
            (row["strategy"], row["seed"], row["labels"]): row for row in records.trials()
        }

    def ask(self, keys: Iterable[TrialKey]) -> None:
        """Ask about trials, strategy by strategy, and say what may be said of the best.

        Raises:
            RecordsError: If thresholdout's budget of contradictions is used up.
        """
        groups: dict[tuple[str, Budget], list[int]] = {}
        for key in keys:
            groups.setdefault((key.strategy, key.labels), []).append(key.seed)
        for (strategy, labels), seeds in groups.items():
            through = self._ladder if self._settings.test_read_gate == "ladder" else self._noisy
            self._tries.append(through(strategy, labels, tuple(sorted(seeds))))
            self._write([])
        self._write([self._statement(best) for best in self._best()])

    def _write(self, statements: Sequence[dict[str, Any]]) -> None:
        before = self._records.described("gate").get("stated", 0)
        self._records.describe(
            "gate",
            {
                "gate": self._settings.test_read_gate,
                "tries": [asdict(one) for one in self._tries],
                "statements": list(statements),
                "stated": before + len(statements),
            },
        )

    def _correct(self, strategy: str, labels: Budget, seeds: Iterable[int]) -> Table:
        """Who was right, shape (seeds, pictures)."""
        said = [
            self._records.probabilities(TrialKey(strategy, seed, labels), "test").argmax(axis=1)
            for seed in seeds
        ]
        return np.array([own == self._truth for own in said], dtype=np.float64)

    def _scored(self, labels: Budget) -> dict[str, list[int]]:
        """The strategies that were told in full, within the budget of readings: their seeds."""
        found: dict[str, list[int]] = {}
        for (strategy, seed, budget), row in self._tested.items():
            if budget == str(labels) and row["test_accuracy"] is not None:
                found.setdefault(strategy, []).append(seed)
        return found

    def _ladder(self, strategy: str, labels: Budget, seeds: tuple[int, ...]) -> Try:
        """Tell a try only where it is clearly better than the best before it."""
        climbed = [one for one in self._tries if one.labels == labels and one.heard]
        tables = [self._correct(name, labels, own) for name, own in self._scored(labels).items()]
        if climbed:
            last = climbed[-1]
            tables = [self._correct(last.strategy, labels, last.seeds)]
        best = max(tables, key=lambda table: float(table.mean()), default=None)
        ladder = Ladder() if best is None else Ladder(best.mean(axis=0), float(best.mean()))
        tried = ladder.climb(self._correct(strategy, labels, seeds))
        heard = tried.improvements > ladder.improvements
        return Try(strategy, labels, seeds, tried.told if heard else None, heard)

    def _noisy(self, strategy: str, labels: Budget, seeds: tuple[int, ...]) -> Try:
        """Repeat the validation accuracy unless the test pictures contradict it."""
        unit = 1 / np.sqrt(len(self._truth))
        gate = Thresholdout(
            threshold=4 * unit,
            noise=unit,
            seed=self._seed,
            reads=len(self._tries),
            answers=sum(one.heard for one in self._tries),
        )
        rows = [self._tested[strategy, seed, str(labels)] for seed in seeds]
        validation = float(np.mean([row["val_accuracy"] for row in rows]))
        test = float(self._correct(strategy, labels, seeds).mean())
        asked = gate.ask(validation, test)
        return Try(strategy, labels, seeds, asked.told, asked.answers > gate.answers)

    def _best(self) -> list[Try]:
        """The best try at each label budget, by what was told of it."""
        found: dict[Budget, Try] = {}
        for one in self._tries:
            before = found.get(one.labels)
            if one.answer is not None and (
                before is None or before.answer is None or one.answer > before.answer
            ):
                found[one.labels] = one
        return list(found.values())

    def _alpha(self) -> float:
        """The chance to miss of one statement, whatever was tried in answer to what was told.

        The ladder's statements repeat what it told; those of thresholdout are answers of their
        own, so they are counted as such.
        """
        heard, asked = sum(one.heard for one in self._tries), len(self._tries)
        if self._settings.test_read_gate == "thresholdout":
            stated = self._records.described("gate").get("stated", 0)
            heard, asked = heard + stated, asked + stated
        levels = max(len(self._truth) + 1, 1001)
        alpha = transcript_alpha(asked, heard, levels, self._settings.alpha)
        return alpha / len(self._settings.labels)

    def _statement(self, best: Try) -> dict[str, Any]:
        """What may be said of the best try, however it was found."""
        alpha, baseline = self._alpha(), self._settings.baseline
        correct = self._correct(best.strategy, best.labels, best.seeds)
        interval = interval_at_level(correct, alpha, groups=self._groups)
        told: dict[str, Any] = {
            "strategy": best.strategy,
            "labels": best.labels,
            "tries": len(self._tries),
            "accuracy": best.answer,
            "low": interval.low,
            "high": interval.high,
            "alpha": alpha,
        }
        shared = sorted({*best.seeds} & {*self._scored(best.labels).get(baseline, [])})
        if len(shared) < MIN_PAIRS or best.strategy == baseline:
            return told
        gaps = self._correct(best.strategy, best.labels, shared) - self._correct(
            baseline, best.labels, shared
        )
        estimate = estimate_mean(merge_groups(gaps, self._groups))
        reach = estimate.reach(alpha)
        return told | {
            "against": baseline,
            "difference": estimate.mean,
            "difference_low": estimate.mean - reach,
            "difference_high": estimate.mean + reach,
            "pairs": len(shared),
        }
