"""Checks: can every trial be trained? All problems are found before anything is."""

from collections.abc import Iterator
from contextlib import contextmanager

from headstart.data.tasks import Task
from headstart.errors import HeadstartError, StudyError
from headstart.networks.groups import Network
from headstart.networks.selections import has_statistics
from headstart.networks.sources import check_source, start_from
from headstart.strategies import Plan, Training
from headstart.study.workplace import Workplace
from headstart.training.recipe_check import check_recipes
from headstart.training.running_statistics import Stale, stale_statistics


class _Problems:
    """Problems found so far, each once."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Note what goes wrong within, and go on after it."""
        try:
            yield
        except HeadstartError as error:
            self.found.update(dict.fromkeys(error.problems))


def check_study(workplace: Workplace) -> None:
    """Find out, before anything is trained, whether every trial can be.

    Raises:
        StudyError: With every problem found.
    """
    if workplace.study.map is not None:
        raise StudyError("it has a [map] table: headstart map draws it; compare has no use for it")
    problems = _Problems()
    settings = workplace.study.study
    same_split = workplace.study.split.order == "stored"
    for seed in settings.seeds[:1] if same_split else settings.seeds:
        with problems.gathered():
            _check_seed(workplace, seed, problems)
        if problems.found:
            break  # the other seeds would only say it again
    with problems.gathered():
        _check_networks(workplace, settings.seeds[0], problems)
    with problems.gathered():
        _check_batch_norm(workplace)
    if problems.found:
        raise StudyError(*problems.found)


def _check_seed(workplace: Workplace, seed: int, problems: _Problems) -> None:
    """Splits, classes and budgets of one seed."""
    settings = workplace.study.study
    task = workplace.task(seed)
    for labels in settings.labels:
        with problems.gathered():
            task.budget_rows(labels, seed, stored=settings.label_order == "stored")
    source = workplace.study.source
    if source is not None and source.trained_here:
        workplace.source_task(seed)


def _check_networks(workplace: Workplace, seed: int, problems: _Problems) -> None:
    """The network, every strategy's plan for it, and the source it starts from."""
    study = workplace.study
    with problems.gathered():
        task = workplace.task(seed)
        network = workplace.network(task, seed)
        for name in study.strategy:
            with problems.gathered():
                plan = workplace.plan(name, network)
                if plan.start == "random" and workplace.pictures.ready_made is not None:
                    workplace.start(task, seed, plan)  # it may not be known how to draw it anew
                _check_recipes(workplace, plan, task, f"strategy.{name}")
        _check_source(workplace, network, seed)


def stale_statistics_words(workplace: Workplace) -> Iterator[str]:
    """Where fresh groups would predict by statistics that never came to the pictures'."""
    found: dict[str, Stale] = {}
    for label, plan, pictures in _courses(workplace):
        stale = stale_statistics(workplace.making, plan, pictures)
        if stale is not None:
            found[label] = stale
    if not found:
        return
    worst = max(found.values(), key=lambda stale: stale.left)
    names = [*found]
    others = f" and {len(names) - 4} more" if len(names) > 4 else ""
    yield (
        f"{', '.join(names[:4])}{others}: after {worst.steps} steps at a momentum of "
        f"{worst.momentum:g}, {worst.left:.0%} of the running statistics of BatchNorm in fresh "
        "groups are still what they started from, and predictions are made by them: train longer, "
        f"or set batch_norm_momentum = {worst.enough:.2g} in [training]"
    )


def _courses(workplace: Workplace) -> Iterator[tuple[str, Plan, int]]:
    """What is trained, how, and on how many pictures at least, at the first seed."""
    seed = workplace.study.study.seeds[0]
    task = workplace.task(seed)
    budgets = [each for each in workplace.study.study.labels if each != "all"]
    fewest = min(map(int, budgets), default=len(task.train_rows))
    for name in workplace.study.strategy:
        plan = workplace.plan(name, workplace.making)
        yield name, plan, fewest
        if plan.own:
            yield f"the own source of {name}", Plan("random", plan.own), fewest
    source = workplace.study.source
    if source is not None and source.trained_here:
        rows = len(workplace.source_task(seed).train_rows)
        yield "the source", workplace.source_plan(workplace.making), rows


def _check_batch_norm(workplace: Workplace) -> None:
    """Refuse a batch_norm that was set where nothing in the network is a BatchNorm."""
    study = workplace.study
    if any(map(has_statistics, workplace.making.modules())):
        return
    shared = study.training.batch_norm if "batch_norm" in study.training.model_fields_set else None
    tables: dict[str, Training] = {"training": study.training}
    if study.source is not None:
        tables["source.training"] = study.source.training
    tables |= {f"strategy.{name}": own for name, own in study.strategy.items()}
    idle = [
        where
        for where, own in tables.items()
        if "batch_norm" in own.model_fields_set
        and (where == "training" or own.batch_norm != shared)  # else it was handed down
    ]
    if idle:
        raise StudyError(
            *(
                f"{where}.batch_norm has no effect, since nothing in the network is a BatchNorm: "
                "leave it out"
                for where in idle
            )
        )


def _check_recipes(workplace: Workplace, plan: Plan, task: Task, where: str) -> None:
    """Whether what a plan does to pictures, labels and gradients can be done here."""
    channels = workplace.images.picture_shape[2]
    try:
        check_recipes(plan, task.class_names, channels, workplace.device)
    except StudyError as error:
        raise StudyError(*(f"{where}: {problem}" for problem in error.problems)) from error


def _check_source(workplace: Workplace, network: Network, seed: int) -> None:
    source = workplace.study.source
    if source is None:
        return
    if source.trained_here:
        task = workplace.source_task(seed)
        plan = workplace.source_plan(workplace.network(task, seed))
        _check_recipes(workplace, plan, task, "source.training")
        return
    if source.file is None:
        return  # a ready-made source was read to build the network
    description = check_source(source.file)
    start_from(network, source.file)
    data = workplace.study.data
    if "scaling" in data.model_fields_set and data.scaling != description.scaling:
        raise StudyError(
            f"data.scaling = {data.scaling!r}, but the source was trained with "
            f"{description.scaling!r}, and its features need the same: leave data.scaling out"
        )
