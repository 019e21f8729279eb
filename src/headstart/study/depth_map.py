"""The map of layer transfer (Yosinski et al. 2014) as studies: an arm is a strategy like others.

So its records, its resuming and its one reading of the test labels are those of every study. Where
the classes are split at random, each class split is a study of its own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.data.image_set import ImageSet
from headstart.data.tasks import TaskSettings
from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.seeding import generator
from headstart.strategies import LowerGroups, OwnLowerGroups, Scratch, ScratchAgain, Strategy
from headstart.study.compare import open_workplace
from headstart.study.map_settings import Arm, MapSettings
from headstart.study.progress import Listener, silent
from headstart.study.spec import SourceSettings, Study, study_from

BASE, AGAIN = "scratch", "scratch again"
_SEEDS_APART = 1000  # between class splits, so that more seeds leave those there as they are
_OWN = ("data", "split", "task", "source", "network", "head", "training", "study")


@dataclass(frozen=True)
class MapPart:
    """One study of a map.

    Attributes:
        name: Of its folder below the map's; empty where it is the only one.
        study: With an arm for each cut as its strategies.
        groups: The body's layer groups, stem first; a cut n lies behind the n-th.
    """

    name: str
    study: Study
    groups: tuple[str, ...]


def arm_name(arm: Arm, cut: int) -> str:
    """An arm's strategy as Yosinski calls it: ``"A3B+"``."""
    return arm.replace("n", str(cut))


def arms_of(study: Study) -> dict[tuple[Arm, int], str]:
    """The arms of a map among a study's strategies: (arm, groups copied) → its name."""
    found: dict[tuple[Arm, int], str] = {}
    for name, strategy in study.strategy.items():
        if isinstance(strategy, LowerGroups):
            own = isinstance(strategy, OwnLowerGroups)
            arm: Arm = ("BnB+" if strategy.thaw else "BnB") if own else (
                "AnB+" if strategy.thaw else "AnB"
            )  # fmt: skip
            found.setdefault((arm, strategy.copied), name)
    return found


def base_of(study: Study) -> str | None:
    """Base B, the strategy that is `scratch`: the baseline where it is one, else the first."""
    named = [name for name, own in study.strategy.items() if type(own) is Scratch]
    return study.study.baseline if study.study.baseline in named else next(iter(named), None)


def null_arm_of(study: Study) -> str | None:
    """The strategy that is `scratch` from another draw."""
    named = (name for name, own in study.strategy.items() if isinstance(own, ScratchAgain))
    return next(named, None)


def map_parts(
    study: Study, *, images: ImageSet | None = None, listener: Listener = silent
) -> tuple[MapPart, ...]:
    """The studies that a map consists of.

    Args:
        study: Source, task, network and training; its own strategies take no part.
        images: Pictures from Python.
        listener: Told how it goes.

    Raises:
        HeadstartError: If a map cannot be drawn of it; nothing was trained then.
    """
    settings = study.map or MapSettings()
    _check(study, settings)
    drawn = settings.class_splits is not None
    opened = open_workplace(_base(study, source=None) if drawn else _base(study), listener,
                            images=images)  # fmt: skip
    bases, names = [_base(study)], [""]
    if settings.class_splits is not None:
        bases = list(_split_classes(study, opened.images.class_names, settings.class_splits))
        names = [f"split-{number}" for number, _ in enumerate(bases, 1)]
    groups = tuple(group for group in opened.making.group_names if group != HEAD)
    cuts = _cuts(settings, groups)
    return tuple(
        MapPart(name, _with_arms(base, settings, cuts), groups)
        for name, base in zip(names, bases, strict=True)
    )


def as_compared(study: Study, listener: Listener = silent) -> Study:
    """A study as it is; of a map the first of its studies, to look at.

    Raises:
        HeadstartError: If the map cannot be drawn.
    """
    return study if study.map is None else map_parts(study, listener=listener)[0].study


def _check(study: Study, settings: MapSettings) -> None:
    problems = []
    source, needs = study.source, {"AnB", "AnB+"} & set(settings.arms)
    if settings.class_splits is not None:
        if source is not None and (
            not source.trained_here
            or source.classes != "others"
            or source.positive is not None
            or source.allow_overlap
        ):
            problems.append(
                "map.class_splits: the classes of the source are drawn, so that [source] may say "
                "nothing but training"
            )
        if study.task.positive is not None:
            problems.append("map.class_splits: a task of halves has no task.positive: leave it out")
    elif needs and source is None:
        problems.append(
            f"map: {' and '.join(sorted(needs))} need a source: add a [source] table, or "
            "class_splits = 6 to [map], or leave them out of arms"
        )
    if study.training.batch_norm == "frozen":
        problems.append(
            'training.batch_norm = "frozen" would leave the fresh groups of a map with statistics '
            "of nothing: leave it out (those of frozen groups are always frozen)"
        )
    if study.split.folds is not None:
        problems.append("map: needs one test split for all trials: leave split.folds out")
    if getattr(study, "search", None) is not None:
        problems.append(
            "map: all arms have the same settings, none are searched: leave [search] out"
        )
    if problems:
        raise StudyError(*problems)


def _base(asked: Study, **changes: Any) -> Study:
    """The study with `scratch` as its only strategy."""
    given = {key: getattr(asked, key) for key in _OWN}
    dumped = {
        key: value.model_dump(exclude_unset=True)
        for key, value in {**given, **changes}.items()
        if value is not None
    }
    settings = {**dumped["study"], "baseline": BASE}
    strategies = {BASE: {"kind": "scratch"}}
    tables = {**dumped, "study": settings, "strategy": strategies, "question": asked.question}
    return study_from(tables)


def _split_classes(study: Study, known: Sequence[str], count: int) -> Iterator[Study]:
    """The study for each of so many random halvings of the classes, each with its own seeds."""
    classes = known if study.task.classes == "all" else study.task.classes
    size = len(classes) // 2
    ways = math.comb(len(classes), size)
    if size < 2 or count > ways:
        raise StudyError(
            f"map.class_splits = {count}: {len(classes)} classes are too few for two halves of "
            "at least two"
            if size < 2
            else f"map.class_splits = {count}: {len(classes)} classes can be split in {ways} ways"
        )
    _check_seeds(study.study.seeds, count)
    seen: set[frozenset[str]] = set()
    random = generator(study.split.seed, "class splits")
    seeds = study.study.seeds
    while len(seen) < count:
        order = random.permutation(len(classes)).tolist()
        chosen = frozenset(classes[place] for place in order[size:])
        if chosen in seen:
            continue
        first = len(seen) * _SEEDS_APART
        seen.add(chosen)
        source = study.source or SourceSettings()
        others = tuple(name for name in classes if name not in chosen)
        target = tuple(name for name in classes if name in chosen)
        yield _base(
            study,
            task=TaskSettings(classes=target),
            source=source.model_copy(update={"classes": others}),
            study=study.study.model_copy(update={"seeds": tuple(seed + first for seed in seeds)}),
        )


def _check_seeds(seeds: Sequence[int], count: int) -> None:
    """Refuse seeds that two class splits would share."""
    shifts = range(_SEEDS_APART, count * _SEEDS_APART, _SEEDS_APART)
    twice = sorted({seed for seed in seeds for shift in shifts if seed - shift in seeds})
    if twice:
        raise StudyError(
            f"study.seeds: each class split adds {_SEEDS_APART:,} to the seeds of the one before, "
            f"so that two of them would have the seeds {', '.join(map(str, twice))}: state seeds "
            f"that lie less than {_SEEDS_APART:,} apart"
        )


def _cuts(settings: MapSettings, groups: Sequence[str]) -> tuple[int, ...]:
    """The numbers of groups to copy, rising.

    Raises:
        StudyError: If the body has not so many.
    """
    if settings.cuts == "all":
        return tuple(range(1, len(groups) + 1))
    wrong = [cut for cut in settings.cuts if cut > len(groups)]
    if wrong:
        raise StudyError(
            f"map.cuts: {', '.join(map(str, wrong))}, but the body has {len(groups)} layer groups "
            f"({', '.join(groups)})"
        )
    return tuple(sorted(settings.cuts))


def _with_arms(base: Study, settings: MapSettings, cuts: Sequence[int]) -> Study:
    """The study with every arm at every cut as its strategies."""
    training = base.training.model_dump(exclude_unset=True)
    strategies: dict[str, Strategy] = {
        BASE: Scratch.model_validate(training),
        AGAIN: ScratchAgain.model_validate(training),
    }
    for arm in settings.arms:
        kind = LowerGroups if arm.startswith("A") else OwnLowerGroups
        thaw = arm.endswith("+")
        rate = {"copied_lr": settings.copied_lr} if thaw and settings.copied_lr else {}
        for cut in cuts:
            strategies[arm_name(arm, cut)] = kind.model_validate(
                {**training, "copied": cut, "thaw": thaw, **rate}
            )
    return base.model_copy(update={"strategy": strategies})
