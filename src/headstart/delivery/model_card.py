"""The model card: what a model tells apart, how good it is, on what, and where that ends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.delivery.choice import Choice
from headstart.delivery.config import SourceFacts
from headstart.delivery.evaluation import Evaluation
from headstart.statistics.intervals import Interval
from headstart.study.results import StudyRecords

_IN_PERCENT = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")


@dataclass(frozen=True)
class CardFacts:
    """What stands on a card.

    Attributes:
        name: Of the model.
        model: The network that was adapted, by name.
        source: Where its weights came from.
        choice: Which strategy, and why.
        evaluation: Of this very network, on the test pictures.
        over_seeds: Accuracy over new seeds and new test pictures.
        records: The study behind it.
        picture: Height, width and channels that the network takes.
        same_bits: Whether this network is to the bit the one whose predictions were scored.
        left_out: How many files were left out.
        warnings: Of reading the pictures.
    """

    name: str
    model: str
    source: SourceFacts
    choice: Choice
    evaluation: Evaluation
    over_seeds: Mapping[str, float | None]
    records: StudyRecords
    picture: tuple[int, int, int]
    same_bits: bool
    left_out: int
    warnings: Sequence[str]


def model_card(facts: CardFacts) -> str:
    """The card in Markdown."""
    parts = [
        _head(facts),
        _use(),
        _numbers(facts),
        _choice(facts.choice),
        _data(facts),
        _limits(facts),
        _making(facts),
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _head(facts: CardFacts) -> Iterator[str]:
    names = [row.name for row in facts.evaluation.classes]
    shown = ", ".join(map(_plain, names[:20])) + (
        f" and {len(names) - 20} more" if names[20:] else ""
    )
    yield f"# {_plain(facts.name)}"
    yield ""
    yield (
        f"Tells {len(names)} classes of pictures apart: {shown}. It is {_plain(facts.model)}, "
        f"adapted by the strategy `{facts.choice.strategy}`."
    )


def _use() -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "```"
    yield "headstart predict MODEL/ PICTURES/ -o predictions.csv"
    yield "```"
    yield ""
    yield "```python"
    yield "import headstart"
    yield ""
    yield 'model = headstart.load("MODEL")'
    yield 'model.predict(["one.jpg", "two.png"])'
    yield "```"


def _numbers(facts: CardFacts) -> Iterator[str]:
    evaluation = facts.evaluation
    percent = f"{100 * evaluation.confidence:.3g}%"
    yield "## How good it is"
    yield ""
    which = "This very network" if facts.same_bits else "A twin of this network, same seed,"
    yield (
        f"{which} on {evaluation.pictures:,} test pictures that no choice was made by; the "
        "intervals are over new pictures of the same kind."
    )
    yield ""
    yield f"| metric | value | {percent} interval |"
    yield "|---|---:|---:|"
    for name, value in evaluation.metrics.items():
        yield f"| {name} | {_value(value, name in _IN_PERCENT)} |"
    yield ""
    yield "| class | test pictures | recall | precision | most often taken for |"
    yield "|---|---:|---:|---:|---|"
    for row in evaluation.classes:
        shares = f"{_share(row.recall)} | {_share(row.precision)}"
        yield f"| {_plain(row.name)} | {row.pictures:,} | {shares} | {_plain(row.mistaken_for)} |"
    seeds = len(facts.records.study.study.seeds)
    mean, low, high = (facts.over_seeds[key] for key in ("mean", "low", "high"))
    if mean is not None and low is not None and high is not None:
        yield ""
        yield (
            f"Trained again with another seed it would not be the same network: over {seeds} seeds "
            f"the strategy's accuracy is {100 * mean:.1f}% ({100 * low:.1f} to {100 * high:.1f}, "
            "over new seeds and new pictures)."
        )


def _choice(choice: Choice) -> Iterator[str]:
    yield "## Why this strategy"
    yield ""
    for sentence in (*choice.why, choice.rule_of_thumb):
        yield f"- {_sentence(sentence)}"
    yield ""
    yield "| strategy | accuracy on validation pictures | spread over seeds |"
    yield "|---|---:|---:|"
    for name, value in sorted(choice.measured.items(), key=lambda item: -item[1]):
        spread = choice.spread[name]
        told = "–" if spread is None else f"± {100 * spread:.1f}"
        yield f"| {name} | {100 * value:.1f}% | {told} |"


def _data(facts: CardFacts) -> Iterator[str]:
    counts: dict[str, dict[str, int]] = {}
    for task, split, name, count in facts.records.class_counts:
        if task == "target":
            counts.setdefault(name, {})[split] = count
    yield "## What it learned from"
    yield ""
    yield "| class | train | valid | test |"
    yield "|---|---:|---:|---:|"
    for name, own in counts.items():
        numbers = " | ".join(f"{own.get(split, 0):,}" for split in ("train", "valid", "test"))
        yield f"| {_plain(name)} | {numbers} |"
    yield ""
    height, width, channels = facts.picture
    kind = "in colour" if channels == 3 else "in grey"
    yield (
        f"Pictures are brought to {height} × {width} pixels, {kind}; `splits.csv` says which was "
        f"in which split. {facts.left_out:,} file(s) could not be used."
    )
    for warning in facts.warnings:
        yield f"- {_sentence(warning)}"


def _limits(facts: CardFacts) -> Iterator[str]:
    evaluation = facts.evaluation
    yield "## Limits"
    yield ""
    for warning in evaluation.warnings:
        yield f"- **{_sentence(warning)}**"
    yield (
        "- It knows these classes and no others: a picture of anything else gets one of them, "
        "often with a high probability."
    )
    yield (
        "- The numbers hold for pictures of the same kind as the test pictures: same cameras, "
        "places, seasons, and the same shares of classes. Measure it on your own with "
        "`headstart evaluate`."
    )
    ece = evaluation.metrics["ece"].mean
    yield (
        f"- Its probabilities are off by {100 * ece:.1f} points on average (expected calibration "
        "error): mind that before a threshold is put on them."
    )
    few = [row.name for row in evaluation.classes if row.pictures < 30]
    if few:
        listed = ", ".join(map(_plain, few[:10])) + (" …" if len(few) > 10 else "")
        yield f"- Fewer than 30 test pictures each, so little is known of: {listed}."
    yield (
        "- Near copies of a picture (bursts, frames of a film) on both sides of a split make the "
        "numbers too good; `headstart audit` finds exact ones, groups in a table keep others "
        "together."
    )


def _making(facts: CardFacts) -> Iterator[str]:
    source = facts.source
    yield "## How it was made"
    yield ""
    yield f"- weights: {_plain(source.model)}, {_plain(source.where)}"
    if source.sha256:
        yield f"- their SHA-256: `{source.sha256}`"
    yield f"- their licence: {_plain(source.licence or 'not known')}"
    if source.url:
        yield f"- their home: <{source.url}>"
    yield f"- delivered seed: {facts.choice.seed}, the median one on validation pictures"
    for key, value in facts.records.provenance.items():
        yield f"- {_plain(key)}: {_plain(str(value))}"


def _value(value: Interval, in_percent: bool) -> str:
    factor, digits, unit = (100, 1, "%") if in_percent else (1, 3, "")
    mean = f"{factor * value.mean:.{digits}f}{unit}"
    if value.low is None or value.high is None:
        return f"{mean} | –"
    return f"{mean} | {factor * value.low:.{digits}f} to {factor * value.high:.{digits}f}"


def _share(value: Interval | None) -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{100 * value.mean:.0f}%"
    return f"{100 * value.mean:.0f}% ({100 * value.low:.0f} to {100 * value.high:.0f})"


def _sentence(text: str) -> str:
    plain = _plain(text)
    return plain[:1].upper() + plain[1:] + ("" if plain.endswith((".", "!", "?")) else ".")


def _plain(text: Any) -> str:
    """Text that Markdown shows as it is, on one line and within one cell."""
    one_line = " ".join(str(text).split())
    return "".join(f"\\{sign}" if sign in "\\|<>*_`[]#" else sign for sign in one_line)
