"""Class names in order, and whether the splits agree on them.

The order is that of the sorted names in the training split (or the one that a model or an ``.npz``
file states). Other splits are mapped by name, never by position: a class that training does not
know is an error, one that a split lacks is a warning.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headstart.data.entries import SPLITS, Entry, LeftOut, shortened
from headstart.errors import nearest

Place = tuple[str | None, str]
"""A split and a class."""


@dataclass(frozen=True)
class ClassCheck:
    """The classes of some pictures.

    Attributes:
        names: In label order.
        problems: Why the pictures cannot be used so, in sentences; empty if they can.
        warnings: What a user should know, in sentences.
    """

    names: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_classes(
    used: Iterable[Entry],
    left_out: Iterable[LeftOut] = (),
    *,
    stated: Sequence[str] | None = None,
    model: Sequence[str] | None = None,
) -> ClassCheck:
    """Order the classes of pictures, and compare the splits.

    Args:
        used: Pictures with labels; those without are passed over.
        left_out: What is left out; a class of which nothing remains is a problem.
        stated: The order that the source states.
        model: A model's class names; then every picture must belong to one of them.
    """
    counts: Counter[Place] = Counter(
        (entry.split, entry.label) for entry in used if entry.label is not None
    )
    lost: dict[Place, list[LeftOut]] = {}
    for each in left_out:
        if each.label is not None:
            lost.setdefault((each.split, each.label), []).append(each)
    taught = {label for split, label in counts if split in ("train", None)}
    seen = {label for _, label in counts}
    known = taught or seen
    names = tuple(model or [name for name in stated or () if name in known] or sorted(known))
    gone = [
        (label, files)
        for (split, label), files in sorted(lost.items(), key=lambda item: item[0][1])
        if (split in ("train", None) and label not in known) or label not in seen
    ]
    problems = [_gone(label, files) for label, files in gone]
    gone_labels = {label for label, _ in gone}
    for split in (None, *SPLITS):
        strange = {label for part, label in counts if part == split} - set(names) - gone_labels
        if strange and (model is not None or split in ("valid", "test")):
            problems.append(_unknown(split, sorted(strange), names, of_model=model is not None))
    warnings = [*_missing(counts, names, model), *_alike(names)]
    return ClassCheck(names, tuple(problems), tuple(warnings))


def _gone(label: str, files: Sequence[LeftOut]) -> str:
    reasons = shortened(f"{each.name} ({each.reason})" for each in files)
    return (
        f"nothing is left of class {label!r}, all {len(files)} of its files are left out: "
        f"{reasons}. Mend some of them, or take the class away"
    )


def _unknown(
    split: str | None, strange: Sequence[str], names: Sequence[str], *, of_model: bool
) -> str:
    where = f"the {split} split has" if split else "there are"
    whose = "the model" if of_model else "training"
    hints = "; ".join(f"{name!r}: {nearest(name, names)}" for name in strange[:1])
    return f"{where} classes that {whose} does not know: {shortened(strange)}. {hints}"


def _missing(
    counts: Counter[Place],
    names: Sequence[str],
    model: Sequence[str] | None,
) -> list[str]:
    """Which splits lack a class."""
    found = []
    for split in (None, *SPLITS):
        there = {label for part, label in counts if part == split}
        absent = [name for name in names if name not in there]
        if there and absent and (model is not None or split in ("valid", "test")):
            where = f"the {split} split" if split else "the folder"
            found.append(f"{where} has no picture of: {shortened(absent)}")
    return found


def _alike(names: Sequence[str]) -> list[str]:
    """Class names that differ only in capitals or blanks."""
    folded = Counter(" ".join(name.casefold().split()) for name in names)
    alike = [name for name in names if folded[" ".join(name.casefold().split())] > 1]
    return [f"classes whose names differ only in capitals or blanks: {alike}"] if alike else []
