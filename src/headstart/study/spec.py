"""What a study asks, read from one TOML file: frozen, typed, validated."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from headstart.data import catalog
from headstart.data.scaling import ScalingKind
from headstart.data.splits import SplitSettings
from headstart.data.tasks import Budget, TaskSettings
from headstart.errors import StudyError, nearest
from headstart.networks.builders import NetworkSettings
from headstart.networks.heads import HeadSettings
from headstart.settings import ManyProblemsError, Settings, describe_problems, list_problems
from headstart.strategies import (
    Strategy,
    Training,
    find_strategy,
    register,
    strategy_names,
)
from headstart.study.map_settings import MapSettings
from headstart.study.search_settings import SEED_IS_TAKEN, SearchSettings, search_problems
from headstart.training.devices import DeviceName

Count = Annotated[int, Field(ge=1)]
Level = Annotated[int, Field(ge=0, le=255)]


class DataSettings(Settings):
    """Which pictures, and what happens to their numbers.

    Attributes:
        name: A set of the catalogue; left out when the pictures are given from Python. One that is
            a folder of pictures takes the keys that a path takes.
        path: A folder, an archive, a manifest (CSV or Parquet) or a ``.npz`` file instead.
        topics: Which of nested folders is the class: the ``"first"`` one, or the whole ``"path"``.
        image_size: Height and width of the pictures in pixels, one number for squares; what the
            source's weights were made for when left out, or the size of the set as it is.
        channels: 3 for RGB, 1 for grayscale; for files. A set of the catalogue, or one from Python,
            keeps its own.
        background: RGB in 0–255 that transparent pictures are laid over.
        scaling: ``"raw"`` (0–255), ``"unit"``, ``"standardised"`` (a channel) or
            ``"standardised_pixels"`` (a pixel position); statistics come from training pictures.
            ``"source"``: as the source's weights expect it, the default with such a source.
    """

    name: str | None = None
    path: Path | None = None
    topics: Literal["first", "path"] = "first"
    image_size: Count | tuple[Count, Count] | None = None
    channels: Literal[1, 3] = 3
    background: tuple[Level, Level, Level] = (255, 255, 255)
    scaling: ScalingKind | Literal["source"] = "unit"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that were asked for."""
        side = self.image_size
        return (side, side) if isinstance(side, int) else side

    @property
    def from_files(self) -> bool:
        """Whether pictures are read from files, of any size, not from arrays."""
        return self.path is not None or (self.name is not None and catalog.is_folder(self.name))

    @model_validator(mode="after")
    def _is_one_set(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = []
        if self.name is not None and self.path is not None:
            problems.append((("path",), "name and path both say which pictures: leave one out"))
        if not self.from_files:
            problems += [
                ((key,), "it has no effect without path: leave it out")
                for key in ("topics", "channels", "background")
                if getattr(self, key) != type(self).model_fields[key].default
            ]
        if problems:
            raise ManyProblemsError(problems)
        return self


class SourceSettings(Settings):
    """Where the head start comes from.

    Attributes:
        file: Weights written by headstart before (safetensors with its description beside), shared
            by all seeds. Without file, pretrained and keras the source is trained here, once a
            seed.
        pretrained: A network of timm's by name, with or without a tag, or ``"hf-hub:owner/name"``
            (``headstart models`` lists them); it takes the place of ``[network]``.
        weights: The file or folder with the weights of `pretrained`; when left out they are looked
            for in the Hugging Face cache, an installed package, the hub.
        features: What the body of `pretrained`, or of a `keras` file without its top, puts out:
            ``"pooled"`` features, or the ``"flattened"`` feature map.
        keras: A network that Keras saved, ``.keras`` or ``.h5``; it takes the place of
            ``[network]``.
        classes: What the source learns to tell apart; by default all classes that the task does
            not use.
        positive: Ask "is it this class or not?" instead.
        allow_overlap: Let source and task share classes, and so training pictures.
        training: Its own training settings on top of the study's ``[training]``.
    """

    file: Path | None = None
    pretrained: str | None = None
    weights: Path | None = None
    features: Literal["pooled", "flattened"] = "pooled"
    keras: Path | None = None
    classes: tuple[str, ...] | Literal["others", "all"] = "others"
    positive: str | None = None
    allow_overlap: bool = False
    training: Training = Training()

    @property
    def trained_here(self) -> bool:
        """Whether the study trains the source itself, once a seed."""
        return self.file is None and not self.ready_made

    @property
    def ready_made(self) -> bool:
        """Whether the source brings its own network."""
        return self.pretrained is not None or self.keras is not None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = []
        kinds = [key for key in ("file", "pretrained", "keras") if getattr(self, key) is not None]
        takes = {"pretrained": {"weights", "features"}, "keras": {"features"}}.get(
            kinds[0] if kinds else "", set()
        )
        if not kinds:
            takes = {"classes", "positive", "allow_overlap", "training"}
        idle = [
            name
            for name, field in type(self).model_fields.items()
            if name not in kinds and name not in takes and getattr(self, name) != field.default
        ]
        if len(kinds) > 1:
            problems.append((("source",), f"{', '.join(kinds)} contradict each other: give one"))
        elif idle:
            what = {"file": "from a file"}.get(kinds[0], "that is ready-made") if kinds else ""
            sentence = f"{', '.join(sorted(idle))} has no effect with a source " + (
                what or "that is trained here"
            )
            problems.append((("source",), f"{sentence}: leave it out"))
        if problems:
            raise ValueError("; ".join(sentence for _, sentence in problems))
        return self


class StudySettings(Settings):
    """How many trials, and how they are compared.

    Attributes:
        seeds: A number n for the seeds 0 to n − 1, or a list of seeds.
        labels: Label budgets: numbers of training labels, or ``"all"``.
        label_order: ``"shuffled"``: each seed draws its own labels; ``"stored"``: the first ones.
        baseline: The strategy that the others are compared with.
        margin: Differences in accuracy within ± this share do not matter (0.005: half a point).
        alpha: The chance of a false claim that is put up with; intervals have 1 − alpha.
        test_read_budget: Readings of the test split that cost nothing; from the next one on,
            intervals are widened for all of them.
        test_read_limit: After so many readings the door stays shut until a fresh split is named.
        test_read_gate: What becomes of readings beyond the budget: ``"count"`` tells all and widens
            every interval by their number, right for tries that were listed beforehand;
            ``"ladder"`` and ``"thresholdout"`` tell little, which holds for tries that were made
            up from earlier answers, too.
        device: Where the trials are trained.
        threads: CPU threads a trial; part of what makes results repeatable to the bit.
    """

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = tuple(range(10))
    labels: tuple[Annotated[Budget, Field(union_mode="left_to_right")], ...] = ("all",)
    label_order: Literal["shuffled", "stored"] = "shuffled"
    baseline: str = "scratch"
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.005
    alpha: Annotated[float, Field(gt=0, le=0.25)] = 0.05
    test_read_budget: Count = 1
    test_read_limit: Count = 20
    test_read_gate: Literal["count", "ladder", "thresholdout"] = "count"
    device: DeviceName = "cpu"
    threads: Count = 1

    @field_validator("seeds", mode="before")
    @classmethod
    def _number_to_seeds(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"seeds = {value}: at least one is needed")
            return tuple(range(value))
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _one_to_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | str) else value

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        for key in ("seeds", "labels"):
            values = getattr(self, key)
            if not values:
                raise ValueError(f"{key} is empty: name at least one")
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names one value twice: {list(values)}")
        bad = [value for value in self.labels if isinstance(value, int) and value < 1]
        if bad:
            raise ValueError(f"labels = {bad}: a budget needs at least one label")
        return self


class Study(Settings):
    """A study: one question, asked of many paired trials.

    Attributes:
        question: In words, for the report.
        data: Which pictures.
        split: How they are split.
        task: What is to be told apart.
        source: Where the head start comes from; needed by every strategy but `scratch`.
        network: The body.
        head: What stands on it.
        training: Defaults of all strategies.
        strategy: The strategies by name.
        map: Makes it a map of layer transfer, for ``headstart map``, which makes the strategies.
        study: Seeds, budgets, comparison, device.
        search: How settings are chosen by search before any trial is done; none are when left out.
    """

    question: str = "Does a head start help?"
    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    task: TaskSettings = TaskSettings()
    source: SourceSettings | None = None
    network: NetworkSettings | None = None
    head: HeadSettings = HeadSettings()
    training: Training = Training()
    strategy: Annotated[dict[str, SerializeAsAny[Strategy]], Field(min_length=1)]
    map: MapSettings | None = None
    study: StudySettings = StudySettings()
    search: SearchSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Hand the ``[training]`` defaults down and give each strategy its kind."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        _give_folds_their_seeds(filled)
        if "map" in values and "strategy" not in values:  # it has arms instead
            filled["strategy"] = {"scratch": {}}
        _let_folds_search(filled)
        _fill_in_scaling(filled)
        defaults = values.get("training", {})
        if not _is_valid_training(defaults):
            defaults = {}  # its problems are told once, at the table itself
        if isinstance(defaults, Mapping):
            source = values.get("source")
            given = {"file", "pretrained", "keras"}
            if isinstance(source, Mapping) and given.isdisjoint(source):
                own = source.get("training", {})
                if isinstance(own, Mapping):
                    filled["source"] = {**source, "training": _with_defaults(own, defaults)}
            tables = filled.get("strategy")
            if isinstance(tables, Mapping):
                filled["strategy"] = {
                    name: {
                        "kind": name,
                        **_with_defaults(table, _handed_down(name, table, defaults)),
                    }
                    if isinstance(table, Mapping)
                    else table
                    for name, table in tables.items()
                }
                _tell_auto_how_many(filled)
        return filled

    @field_validator("strategy", mode="before")
    @classmethod
    def _build_strategies(cls, tables: Any) -> Any:
        if not isinstance(tables, Mapping):
            return tables
        built: dict[str, Any] = {}
        problems: list[tuple[tuple[str, ...], str]] = []
        for name, table in tables.items():
            if isinstance(table, Strategy):
                register(type(table))  # so that what is written of it can be read again
            if isinstance(table, Strategy) or not isinstance(table, Mapping):
                built[name] = table
                continue
            try:
                kind = find_strategy(str(table.get("kind")))
            except StudyError as error:
                problems += [((str(name),), problem) for problem in error.problems]
                continue
            if kind is None:
                hint = nearest(str(table.get("kind")), strategy_names())
                sentence = (
                    f"there is no strategy {table.get('kind')!r}; {hint} (to give a strategy "
                    "another name, state its kind = …)"
                )
                problems.append(((str(name),), sentence))
                continue
            try:
                built[name] = kind.model_validate(table)
            except ValidationError as error:
                problems += [
                    ((str(name), *path), sentence)
                    for path, sentence in list_problems(error, kind, table)
                ]
        if problems:
            raise ManyProblemsError(problems)
        return built

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = [*self._network_problems()]
        needing = [name for name, strategy in self.strategy.items() if strategy.needs_source]
        if self.source is None and needing:
            sentence = (
                f"{', '.join(needing)}: there is no [source] to transfer from, and a body that was "
                "only initialised is not one: add a [source] table"
            )
            problems.append((("strategy",), sentence))
        if len(self.strategy) > 1 and self.study.baseline not in self.strategy:
            sentence = (
                f"{self.study.baseline!r} is not among the strategies; "
                f"{nearest(self.study.baseline, self.strategy)}"
            )
            if "baseline" not in self.study.model_fields_set:
                sentence = (
                    "strategies are compared with scratch unless it says otherwise, and there is "
                    "no scratch: add [strategy.scratch], or name one of them, such as baseline = "
                    f'"{next(iter(self.strategy))}"'
                )
            problems.append((("study", "baseline"), sentence))
        rounds = self.split.rounds
        if rounds and self.study.seeds != tuple(range(rounds)):
            problems.append((("study", "seeds"), _FOLDS_ARE_SEEDS))
        problems += [(("search", *path), text) for path, text in self._search_problems()]
        if rounds and self.study.test_read_gate != "count":
            sentence = "a gate needs one test split for all trials: leave it out, or split.folds"
            problems.append((("study", "test_read_gate"), sentence))
        if problems:
            raise ManyProblemsError(problems)
        return self

    def _search_problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What of the search cannot be had."""
        if self.search is None:
            return
        yield from search_problems(self.search, self.strategy)
        if self.split.folds is not None and self.search.each == "study":
            yield (
                ("each",),
                "with split.folds the training pictures of one fold are test pictures of others, "
                "so each searches for itself: leave it out",
            )
        if self.search.each == "study" and self.search.seed in self.study.seeds:
            yield ("seed",), SEED_IS_TAKEN.format(self.search.seed)

    def _network_problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Where the network comes from, and what its pictures need."""
        ready_made = self.source is not None and self.source.ready_made
        if self.network is None and not ready_made:
            yield (
                ("network",),
                "it is missing: describe the body in a [network] table, or name a ready-made one "
                'with pretrained = "…" or keras = "…" in [source]',
            )
        if self.network is not None and ready_made:
            yield ("network",), "the source brings its own network: leave [network] out"
        if self.data.scaling == "source" and not ready_made:
            yield (
                ("data", "scaling"),
                '"source" needs a source with pretrained or keras: name a kind of scaling',
            )
        if self.data.from_files and self.data.image_size is None and not ready_made:
            yield (
                ("data", "image_size"),
                "it is missing: say to what size the pictures are brought, in pixels",
            )

    def source_task(self, class_names: Sequence[str]) -> TaskSettings:
        """The source's task: its classes spelled out.

        Raises:
            StudyError: If source and task overlap without leave, or no class is left.
        """
        assert self.source is not None
        known = tuple(class_names)
        target = known if self.task.classes == "all" else self.task.classes
        wanted = self.source.classes
        if wanted == "others":
            classes = tuple(name for name in known if name not in target)
            if len(classes) < 2:
                raise StudyError(
                    f"source.classes: the task uses {len(target)} of {len(known)} classes, which "
                    "leaves fewer than two for the source; name its classes, with "
                    "allow_overlap = true if they may be the task's own"
                )
        else:
            classes = known if wanted == "all" else wanted
        shared = [name for name in classes if name in target]
        if shared and not self.source.allow_overlap:
            raise StudyError(
                f"source and task overlap in {', '.join(map(repr, shared))}: the source would "
                "have seen the task's own training pictures. Take them out, or state "
                "source.allow_overlap = true if that is meant"
            )
        return TaskSettings(classes=classes, positive=self.source.positive)


_FOLDS_ARE_SEEDS = (
    "with split.folds each fold of each repeat takes the place of a seed: leave seeds out, and "
    "say with split.repeats how many there are"
)


def _give_folds_their_seeds(values: dict[str, Any]) -> None:
    """With cross-validation the seeds are the numbers of the folds, unless others are stated."""
    split, settings = values.get("split"), values.get("study", {})
    if isinstance(settings, Mapping) and "seeds" not in settings and isinstance(split, Mapping):
        try:
            rounds = SplitSettings.model_validate(split).rounds
        except ValidationError:
            return  # its problems are told at the table itself
        if rounds:
            values["study"] = {**settings, "seeds": rounds}


def _let_folds_search(values: dict[str, Any]) -> None:
    """With cross-validation each fold searches for itself, unless the study says otherwise."""
    split, search = values.get("split"), values.get("search")
    if isinstance(split, Mapping) and isinstance(search, Mapping):
        values["search"] = ({"each": "seed"} if split.get("folds") else {}) | dict(search)


def needs_one_test_split(study: Study, what: str) -> None:
    """Refuse what cannot be had from cross-validation.

    Raises:
        StudyError: If the study is cross-validated.
    """
    if study.split.folds is not None:
        raise StudyError(
            f"{what} needs one test split that is the same for all trials, and split.folds has "
            "one for each fold: leave split.folds out, in another --output"
        )


def _fill_in_scaling(values: dict[str, Any]) -> None:
    """With ready-made weights, pictures are scaled as those expect it, unless the study says."""
    source, data = values.get("source"), values.get("data", {})
    if not isinstance(source, Mapping) or not isinstance(data, Mapping):
        return
    if {"pretrained", "keras"} & set(source) and "scaling" not in data:
        values["data"] = {**data, "scaling": "source"}


def _tell_auto_how_many(values: dict[str, Any]) -> None:
    """The strategy ``auto`` goes by the smallest label budget, unless its table says how many."""
    settings = values.get("study", {})
    budgets = settings.get("labels") if isinstance(settings, Mapping) else None
    listed = budgets if isinstance(budgets, list | tuple) else [budgets]
    numbers = [each for each in listed if isinstance(each, int) and not isinstance(each, bool)]
    for name, table in values["strategy"].items():
        if numbers and isinstance(table, Mapping) and table.get("kind") == "auto":
            values["strategy"][name] = {"pictures": min(numbers), **table}


def _is_valid_training(values: Any) -> bool:
    try:
        Training.model_validate(values)
    except ValidationError:
        return False
    return True


def _handed_down(
    name: str, table: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The ``[training]`` defaults that have an effect: none for a strategy that does not train."""
    try:
        kind = find_strategy(str(table.get("kind", name)))
    except StudyError:
        return defaults  # told where strategies are built
    if kind is None:
        return defaults
    own = kind.model_fields["batch_norm"].default
    if {"batch_norm": own, **defaults, **table}["batch_norm"] == "frozen":  # nothing moves
        defaults = {key: v for key, v in defaults.items() if key != "batch_norm_momentum"}
    return defaults if kind.takes_training else {}


def _with_defaults(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy's settings over the study's; its own duration replaces the default one."""
    inherited = dict(defaults)
    if "steps" in own:
        inherited.pop("epochs", None)
    if "epochs" in own:
        inherited.pop("steps", None)
    return {**inherited, **own}


def parse_study(text: str, where: str = "the study") -> Study:
    """A study from TOML text.

    Args:
        text: The file's text.
        where: What to call it in errors.

    Raises:
        StudyError: Every problem at once, with line and key.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is not TOML: {error}") from error
    return study_from(values, text, where)


def study_from(values: Mapping[str, Any], text: str | None = None, where: str = "") -> Study:
    """A study from a mapping shaped like the TOML file.

    Raises:
        StudyError: Every problem at once.
    """
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(*describe_problems(error, Study, text, where, values)) from error


def with_settings(
    study: Study,
    *,
    seeds: int | Sequence[int] | None = None,
    labels: Sequence[int | str] | None = None,
    margin: float | None = None,
    alpha: float | None = None,
) -> Study:
    """A study with other seeds, label budgets, margin or alpha.

    Raises:
        StudyError: If they cannot be used.
    """
    if seeds is not None and study.split.folds is not None:
        raise StudyError(f"seeds: {_FOLDS_ARE_SEEDS}")
    asked = {"seeds": seeds, "labels": labels, "margin": margin, "alpha": alpha}
    changes = {key: value for key, value in asked.items() if value is not None}
    try:
        settings = StudySettings.model_validate({**study.study.model_dump(), **changes})
    except ValidationError as error:
        raise StudyError(*describe_problems(error, StudySettings, values=changes)) from error
    return study.model_copy(update={"study": settings})


def load_study(path: Path | str) -> Study:
    """Read a study file.

    Raises:
        StudyError: If it cannot be read, is not TOML, or asks for something impossible.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        beside = [file.name for file in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise StudyError(f"there is no study file {path}: {nearest(path.name, beside)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read: {error}") from error
    return _with_paths_from(path.parent, parse_study(text, path.name))


def _with_paths_from(folder: Path, study: Study) -> Study:
    """A study whose relative paths are meant from a folder."""
    changes = {}
    for table, keys in (("data", ("path",)), ("source", ("file", "weights", "keras"))):
        settings = getattr(study, table)
        paths = {
            key: (folder / path.expanduser()).resolve()
            for key in keys
            if (path := getattr(settings, key, None)) is not None
        }
        if paths:
            changes[table] = settings.model_copy(update=paths)
    return study.model_copy(update=changes)
