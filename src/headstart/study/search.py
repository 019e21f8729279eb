"""Search: settings of strategies are chosen on validation pictures before any trial is done.

Every strategy has the same budget, `scratch` included. Search trials are trials like any other, of
a small study of their own in the folder ``search`` below the study's: so they are trained, resumed
and written down by what does that for the study. What they do not have is a test split.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np

from headstart.data.tasks import Budget, SealedTest, Task
from headstart.errors import HeadstartError, StudyError
from headstart.strategies import Strategy
from headstart.strategies.search_space import with_values
from headstart.study.identity import (
    asked_differently,
    differences,
    search_facts,
    trial_configuration,
)
from headstart.study.progress import Listener, Progress
from headstart.study.proposals import Tried, check_optuna
from headstart.study.quests import Found, Quest, quests
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

FOLDER = "search"
"""Where, below the study's folder, the records of its search lie."""

Train = Callable[[Workplace, Records, tuple[TrialKey, ...]], None]


class SearchPlace(Workplace):
    """A workplace for search trials: its tasks have no test pictures at all."""

    @classmethod
    def beside(
        cls, workplace: Workplace, candidates: Mapping[str, Strategy], seed: int, labels: Budget
    ) -> Self:
        """A place for candidates, with the pictures that a study's workplace has at hand."""
        settings = workplace.study.study.model_copy(update={"seeds": (seed,), "labels": (labels,)})
        study = workplace.study.model_copy(
            update={"strategy": dict(candidates), "study": settings, "search": None}
        )
        kept = {own.name: getattr(workplace, own.name) for own in fields(workplace)}
        shared = {name: value for name, value in kept.items() if not name.startswith("_")}
        changes = {"study": study, "directory": workplace.directory / FOLDER, "settled": {}}
        place = cls(**(shared | changes))
        vars(place).update(pictures=workplace.pictures, keeper=workplace.keeper)
        return place

    def task(self, seed: int) -> Task:
        """The target task of a seed, its test split taken away."""
        whole = super().task(seed)
        nothing = np.empty(0, dtype=np.int64)
        return replace(whole, test=SealedTest(nothing, whole.images.pictures, nothing))


def settle(workplace: Workplace, records: Records, data_hash: str, train: Train) -> None:
    """Search what a study asks to search, and settle its trials on what was found.

    Args:
        workplace: The study's; its trials are settled.
        records: The study's, for what was found.
        data_hash: Of the pictures.
        train: Does the search trials that are waiting.

    Raises:
        RecordsError: If the folder holds a search, or trials, that were asked differently.
        StudyError: If a network cannot take what lies at an end of a range, or Optuna is missing.
    """
    study, wanted = workplace.study, quests(workplace.study)
    if study.search is None:
        return
    if wanted:
        check_optuna()
        _check_ends(workplace, wanted)
        _refuse_other_trials(study, records, wanted)
    folder = workplace.directory / FOLDER
    folder.mkdir(exist_ok=True)
    own = Records.open(folder, create=True)
    try:
        generations = _Generations(workplace, own, data_hash, train)
        found = generations.done(wanted)
    finally:
        own.close()
    records.describe("search", _told(study, found))
    for one in found:
        seeds = study.study.seeds if study.search.each == "study" else (one.quest.seed,)
        for seed in seeds:
            key = TrialKey(one.quest.strategy, seed, one.quest.labels)
            workplace.settled[key] = one.chosen


def searching(listener: Listener) -> Listener:
    """A listener that hears of search trials as such."""

    def tell(progress: Progress) -> None:
        if progress.doing == "training":
            progress = replace(progress, doing="searching settings")
            if progress.said and not progress.total:
                said = progress.said.replace("training took", "these search trials took")
                progress = replace(progress, said=f"search: {said}")
        listener(progress)

    return tell


class _Generations:
    """Does quests, generation by generation, those of one seed and label budget together.

    Args:
        workplace: The study's.
        records: The search's.
        data_hash: Of the pictures.
        train: Does the trials that are waiting.
    """

    def __init__(
        self, workplace: Workplace, records: Records, data_hash: str, train: Train
    ) -> None:
        self._workplace = workplace
        self._records = records
        self._data_hash = data_hash
        self._train = train

    def done(self, wanted: Sequence[Quest]) -> list[Found]:
        """Do all quests.

        Raises:
            RecordsError: If the folder holds a search that was asked differently.
        """
        self._refuse_other_quests(wanted)
        self._records.plan_trials({})  # those that a killed process left running wait again
        found = {}
        for seed, labels in dict.fromkeys((quest.seed, quest.labels) for quest in wanted):
            part = [quest for quest in wanted if (quest.seed, quest.labels) == (seed, labels)]
            while candidates := self._unfinished(part) or self._proposed(part):
                place = SearchPlace.beside(self._workplace, candidates, seed, labels)
                keys = tuple(TrialKey(name, seed, labels) for name in candidates)
                self._train(place, self._records, keys)
            for quest in part:
                found[quest] = self._found(quest)
        return [found[quest] for quest in wanted]

    def _found(self, quest: Quest) -> Found:
        found = Found(quest, quest.within_budget(self._tried(quest)))
        if found.best is None:
            errors = {
                (row["strategy"], row["seed"], row["labels"]): row["error"]
                for row in self._records.trials()
            }
            first = quest.key(0)
            reason = errors[first.strategy, first.seed, first.labels_text]
            warnings.warn(
                f"search.{quest.strategy}: every trial with {quest.labels} labels failed "
                f"({reason}), so it is taken as it is stated",
                stacklevel=2,
            )
        return found

    def _unfinished(self, part: Sequence[Quest]) -> dict[str, Strategy]:
        """Candidates that were proposed, and have not ended."""
        states, planned = self._records.states(), self._records.configurations()
        return {
            key.strategy: quest.candidate(planned[key]["tried"])
            for quest in part
            for key in _keys(quest, planned)
            if states[key] == "waiting"
        }

    def _proposed(self, part: Sequence[Quest]) -> dict[str, Strategy]:
        """The next candidates of every quest that has some of its budget left, written down."""
        candidates, planned = {}, {}
        for quest in part:
            tried = self._tried(quest)
            for number, values in enumerate(quest.next_values(tried), len(tried)):
                own = quest.candidate(values)
                candidates[quest.key(number).strategy] = own
                planned[quest.key(number)] = self._configuration(quest, own) | {"tried": values}
        self._records.plan_trials(planned)
        return candidates

    def _tried(self, quest: Quest) -> list[Tried]:
        """What was tried, in order."""
        planned = self._records.configurations()
        rows = {
            (row["strategy"], row["seed"], row["labels"]): row for row in self._records.trials()
        }
        return [
            _as_tried(planned[key]["tried"], rows[key.strategy, key.seed, key.labels_text])
            for key in _keys(quest, planned)
        ]

    def _refuse_other_quests(self, wanted: Sequence[Quest]) -> None:
        """Refuse a folder whose search meant something else."""
        asked = {
            f"{quest.strategy}, {quest.labels}, {quest.seed}": self._configuration(
                quest, quest.stated
            )
            for quest in wanted
        }
        before = self._records.described("asked")
        changed = [
            line for name, own in asked.items() for line in differences(before.get(name, own), own)
        ]
        if changed:
            raise asked_differently(self._workplace.directory, changed)
        self._records.describe("asked", before | asked)

    def _configuration(self, quest: Quest, strategy: Strategy) -> dict[str, Any]:
        return trial_configuration(
            self._workplace.study, quest.strategy, quest.seed, quest.labels,
            self._data_hash, self._workplace.source_hash, settled=strategy,
        )  # fmt: skip


def _keys(quest: Quest, planned: Mapping[TrialKey, Any]) -> Iterator[TrialKey]:
    """The trials of a quest that were planned, in order."""
    number = 0
    while quest.key(number) in planned:
        yield quest.key(number)
        number += 1


def _as_tried(values: dict[str, float], row: Mapping[str, Any]) -> Tried:
    loss, seconds = row["val_loss"], row["fit_seconds"]
    if row["state"] != "complete" or not np.isfinite(loss):
        loss = None
    if seconds is None:
        seconds = (row["finished"] or 0.0) - (row["started"] or row["finished"] or 0.0)
    return Tried(values, loss, max(0.0, seconds))


def _check_ends(workplace: Workplace, wanted: Sequence[Quest]) -> None:
    """Find out, before anything is trained, whether pictures and network can take the search.

    Raises:
        StudyError: With every problem found.
    """
    problems: dict[str, None] = {}
    stored = workplace.study.study.label_order == "stored"
    for quest in wanted:
        task = workplace.task(quest.seed)
        try:
            task.budget_rows(quest.labels, quest.seed, stored=stored)
        except HeadstartError as error:
            problems |= dict.fromkeys(error.problems)
        for path, span in quest.space.items():
            for end in (span.low, span.high):
                try:
                    plan = with_values(quest.stated, {path: end}).plan(workplace.making.group_names)
                    plan.check_network(workplace.making)
                except StudyError as error:
                    problems |= dict.fromkeys(
                        f"search.{quest.strategy}.{path} = {end}: {text}" for text in error.problems
                    )
    if problems:
        raise StudyError(*problems)


def _refuse_other_trials(study: Study, records: Records, wanted: Sequence[Quest]) -> None:
    """Refuse trials that were settled by another search, or by none, before one is begun."""
    searched = {quest.strategy for quest in wanted}
    changed = [
        line
        for key, before in records.configurations().items()
        if key.strategy in searched and key.seed in study.study.seeds
        for line in differences(
            {"search": before.get("search")}, {"search": search_facts(study, key.strategy)}
        )
    ]
    if changed:
        raise asked_differently(records.path.parent, changed)


def _told(study: Study, found: Sequence[Found]) -> dict[str, Any]:
    """What was found, as plain data."""
    assert study.search is not None
    searched = {one.quest.strategy for one in found}
    return {
        **{name: getattr(study.search, name) for name in type(study.search).model_fields},
        "nothing": [name for name in study.strategy if name not in searched],
        "found": [one.told() for one in found],
    }
