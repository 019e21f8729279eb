"""What a study is warned of: a source that knows little, and nothing to compare with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headstart.report.study_warnings import nothing_to_compare, study_warnings
from headstart.study.results import StudyRecords
from headstart.study.spec import study_from

MakeRecords = Callable[..., StudyRecords]
RIGHT = np.ones((2, 8), dtype=bool)


def warned(made_records: MakeRecords, accuracies: list[float], pictures: int) -> tuple[str, ...]:
    """Of a source with so many validation pictures, a quarter in each of its four classes."""
    sources: dict[int, dict[str, Any]] = {
        seed: {"seed": seed, "val_accuracy": own} for seed, own in enumerate(accuracies)
    }
    counts = [("source", "valid", name, pictures // 4) for name in "abcd"]
    changes = {"sources": sources, "class_counts": counts}
    both = {("scratch", "all"): RIGHT, ("frozen", "all"): RIGHT}
    return study_warnings(made_records(both, changes=changes))


@pytest.mark.parametrize("pictures", [20, 80, 4000])
@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_a_source_at_chance_knows_little(
    pictures: int, seeds: int, made_records: MakeRecords
) -> None:
    (said,) = warned(made_records, [0.25] * seeds, pictures)
    assert said.startswith("The source knows little of its own task: ")
    assert f"is 25.0% ({pictures:,} pictures, 95% interval " in said
    assert "commonest class gives 25.0%" in said
    assert ("in its worst seed, 0, " in said) == (seeds > 1)
    assert (f"corrected for {seeds} seeds" in said) == (seeds > 1)


def test_the_worst_of_several_seeds_is_judged_by_its_pictures(made_records: MakeRecords) -> None:
    """47 of 80 in one seed of ten may be chance; 2,350 of 4,000 are not."""
    others = [0.8] * 9
    assert warned(made_records, [*others, 0.5875], 80) == ()
    (said,) = warned(made_records, [*others, 0.5875], 4000)
    assert said.startswith("The source has more to learn of its own task: in its worst seed, 9, ")
    assert "above the 25.0% of always naming the commonest class, and below 70.0%" in said
    assert "knows little" not in said


def test_a_source_that_learned_is_not_warned_of(made_records: MakeRecords) -> None:
    assert warned(made_records, [0.72, 0.99], 80) == ()


@pytest.mark.parametrize(
    ("strategy", "baseline", "add"),
    [
        ("frozen", {}, "add [strategy.scratch], which others are compared with"),
        (
            "frozen",
            {"baseline": "fine_tune"},
            "add another [strategy.NAME], and name as [study] base",
        ),
        ("scratch", {}, "add the strategy that you ask about, such as [strategy.frozen]"),
    ],
)
def test_a_strategy_alone_is_told_what_to_add(
    strategy: str, baseline: dict[str, str], add: str
) -> None:
    values: dict[str, Any] = {
        "source": {},
        "network": {"kind": "mlp", "hidden": [4]},
        "strategy": {strategy: {}},
        "study": baseline,
    }
    said = nothing_to_compare(study_from(values))
    assert said is not None
    assert said.startswith(f"{strategy} is the only strategy, so there is nothing to compare it")
    assert add in said
    two = values | {"strategy": {"scratch": {}, "frozen": {}}, "study": {}}
    assert nothing_to_compare(study_from(two)) is None
    measured = values | {"strategy": {"frozen": {}}, "study": {"baseline": "frozen"}}
    assert nothing_to_compare(study_from(measured)) is None  # alone on purpose, as `fit` does


def test_the_summary_of_a_strategy_alone_says_so(made_records: MakeRecords) -> None:
    records = made_records({("frozen", "all"): RIGHT})
    (said,) = study_warnings(records)
    assert said.startswith("frozen is the only strategy")
    assert said.endswith(".")
