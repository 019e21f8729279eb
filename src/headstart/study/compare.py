"""Comparing: from a study to records, scores and a summary."""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from headstart.data import catalog
from headstart.data.image_set import ImageSet
from headstart.data.reading import Progress as PictureProgress
from headstart.engine.extract import Extracting
from headstart.engine.limits import NO_LIMITS, MachineLimits
from headstart.errors import StudyError
from headstart.study.checks import check_study, stale_statistics_words
from headstart.study.explain import (
    Explanation,
    estimate_words,
    explain,
    learn_from,
    outcome_words,
)
from headstart.study.folder import resolved_toml, write_whole
from headstart.study.fresh_split import enter_split
from headstart.study.identity import asked_differently, differences, trial_configuration
from headstart.study.jobs import explain as why
from headstart.study.lead import Lead
from headstart.study.pace import TimedRunner
from headstart.study.pictures import ImageLoader
from headstart.study.planner import staff
from headstart.study.progress import Listener, Progress, duration_words, silent
from headstart.study.provenance import class_counts, data_hash, provenance, splits_csv
from headstart.study.records import Records, TrialKey
from headstart.study.results import StudyRecords
from headstart.study.runner import InlineRunner, ProcessRunner
from headstart.study.scoring import score_trials
from headstart.study.search import searching, settle
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

_TELL_EVERY_S = 0.25
INLINE_TRIALS = 4  # so many are done in this process where nobody knows how long they take


def nothing() -> None:
    """Do nothing."""


def train_and_score(
    study: Study,
    folder: Path,
    *,
    images: ImageSet | None = None,
    retry_failed: bool = False,
    jobs: int | None = None,
    listener: Listener = silent,
    reader: str = "compare",
    naive: bool = False,
    limits: MachineLimits = NO_LIMITS,
    workplace: Workplace | None = None,
    meanwhile: Callable[[], object] = nothing,
) -> StudyRecords:
    """Do a study's trials, score them, and read the records.

    Args:
        study: What is asked.
        folder: The study's folder, held by `headstart.study.folder.study_folder`.
        images: As for `headstart.compare`, like all that follows.
        retry_failed: Try failed trials once more.
        jobs: How many trials to train at a time.
        listener: Told how it goes.
        reader: Who reads the test labels, for the ledger.
        naive: Let every trial do all of its work by itself: the reference for what is shared.
        limits: What the study may take of the machine.
        workplace: The study's, where it was opened before for this folder (`open_workplace`).
        meanwhile: Called once worker processes do the trials, and this one would only wait.
    """
    if workplace is None:
        workplace = open_workplace(
            study, listener, folder=folder, images=images, naive=naive, limits=limits
        )
    content_hash = data_hash(workplace.images)
    enter_split(folder, study)
    records = Records.open(folder, create=True)
    try:
        _search(workplace, records, content_hash, jobs, listener)
        keys = _plan(workplace, records, content_hash)
        if retry_failed:
            states = records.states()
            records.wait_again([key for key in keys if states[key] == "failed"])
        _describe(workplace, records, content_hash)
        _train(workplace, records, keys, jobs, listener, meanwhile)
        listener(Progress("scoring the test predictions"))
        score_trials(workplace, records, keys, reader)
    finally:
        records.close()
    return StudyRecords.read(folder)


def open_workplace(
    study: Study,
    listener: Listener = silent,
    *,
    folder: Path = Path(),
    images: ImageSet | None = None,
    naive: bool = False,
    limits: MachineLimits = NO_LIMITS,
) -> Workplace:
    """A workplace with its pictures at hand, and every trial found to be possible.

    Args:
        study: What is asked.
        listener: Told how it goes.
        folder: The study's folder, where anything is to be trained.
        images: Pictures from Python, where the study names none.
        naive: Let every trial do all of its work by itself.
        limits: What the study may take of the machine.

    Raises:
        HeadstartError: With every problem that would keep the study from being trained.
    """
    doing = f"reading {study.data.name or 'the pictures'}"
    listener(Progress(doing))
    progress = _reading(listener, doing)
    workplace = Workplace(study, _loader(study, images), folder, naive, progress, limits)
    content = workplace.images
    for text in workplace.pictures.warnings:
        warnings.warn(text, stacklevel=2)
    listener(Progress(f"checking {len(content):,} pictures and the study"))
    check_study(workplace)
    for text in stale_statistics_words(workplace):
        warnings.warn(text, stacklevel=2)
    return workplace


def _loader(study: Study, images: ImageSet | None) -> ImageLoader | None:
    """What gives a worker process its pictures: a name to look up, or the arrays themselves.

    Nothing, where the pictures are files that the study names.
    """
    named = study.data.name is not None or study.data.path is not None
    if named == (images is not None):
        raise StudyError(
            "data.name or data.path names pictures, and so does images=: give one of them, not both"
            if images is not None
            else "data.name is missing: name a set of the catalogue (headstart data list), a "
            "folder with data.path, or give images= from Python"
        )
    if images is not None:
        return partial(_given, images)
    if study.data.name is None or study.data.from_files:
        return None
    return partial(catalog.load, study.data.name)


def _given(images: ImageSet) -> ImageSet:
    return images


def _search(
    workplace: Workplace, records: Records, content_hash: str, jobs: int | None, listener: Listener
) -> None:
    """Search what the study asks to search, and say how long all of that took."""
    before, started = records.described("search"), time.monotonic()
    settle(
        workplace,
        records,
        content_hash,
        lambda place, own, keys: _train(place, own, keys, jobs, searching(listener)),
    )
    if records.described("search") != before:
        took = duration_words(time.monotonic() - started)
        listener(Progress("training", said=f"search took {took} in all; the trials come now"))


def _plan(workplace: Workplace, records: Records, content_hash: str) -> tuple[TrialKey, ...]:
    """Write the trials down; refuse a folder whose trials meant something else."""
    study, source_hash = workplace.study, workplace.source_hash
    configurations = {
        (key := TrialKey(name, seed, labels)): trial_configuration(
            study, name, seed, labels, content_hash, source_hash, workplace.settled.get(key)
        )
        for seed in study.study.seeds
        for labels in study.study.labels
        for name in study.strategy
    }
    changed = [
        line
        for key, before in records.configurations().items()
        if key in configurations
        for line in differences(before, configurations[key])
    ]
    if changed:
        raise asked_differently(records.path.parent, changed)
    records.plan_trials(configurations)
    return tuple(configurations)


def _describe(workplace: Workplace, records: Records, content_hash: str) -> None:
    """Write down what the trials will be made of: settings, splits, class counts, versions."""
    study, folder = workplace.study, workplace.directory
    made_with = provenance(study, workplace.images, content_hash) | workplace.pictures.provenance
    write_whole(folder / "study.toml", resolved_toml(study, made_with))
    write_whole(folder / "splits.csv", splits_csv(workplace))
    records.describe("provenance", made_with)
    task = workplace.task(study.study.seeds[0])
    described = {"class_names": task.class_names, "class_counts": class_counts(workplace)}
    records.describe("task", described)
    told = [*workplace.pictures.warnings, *stale_statistics_words(workplace)]
    records.describe("warnings", {"before": told})


def _train(
    workplace: Workplace,
    records: Records,
    keys: tuple[TrialKey, ...],
    jobs: int | None,
    listener: Listener,
    meanwhile: Callable[[], object] = nothing,
) -> None:
    """Do the trials that are waiting."""
    states = records.states()
    waiting = [key for key in keys if states[key] == "waiting"]
    if not waiting:
        Lead(workplace, records, keys, InlineRunner(workplace), listener).go()
        return
    staff(workplace, len(waiting), jobs)  # refuses limits that are too narrow
    expected = _estimated(workplace, waiting, jobs)
    if jobs is None:
        jobs = expected.workers if expected else 1 if len(waiting) <= INLINE_TRIALS else None
    people = staff(workplace, len(waiting), jobs)
    workplace.keeper.memory = people.memory
    if expected is not None:
        listener(Progress("training", said=estimate_words(expected)))
    started = time.monotonic()
    workplace.share_features(sorted({key.strategy for key in waiting}), _telling(listener))
    shared = workplace.spent_on_features()
    runner: InlineRunner | ProcessRunner = InlineRunner(workplace)
    if people.workers > 1:
        runner = ProcessRunner(within(workplace, people.memory), people.workers)
    timed = TimedRunner(runner)
    timed.note(shared)
    try:
        if isinstance(runner, ProcessRunner):
            listener(Progress(f"starting {people.workers} worker processes"))
            runner.start()
            meanwhile()
        Lead(workplace, records, keys, timed, listener).go()
    finally:
        runner.close()
    if expected is not None:
        learn_from(workplace, expected, timed.took)
        said = outcome_words(expected, time.monotonic() - started)
        listener(Progress("training", said=said, seconds_left=0.0))


def within(workplace: Workplace, memory: int | None) -> Workplace:
    """A workplace for a worker process, with its share of the study's memory and disk."""
    own = replace(workplace.limits, memory=memory, disk_share=workplace.keeper.disk)
    return replace(workplace, limits=own)


def _estimated(workplace: Workplace, keys: list[TrialKey], jobs: int | None) -> Explanation | None:
    """What training is expected to take; None, and a warning, where that cannot be said."""
    try:
        return explain(workplace, jobs, keys=keys, with_naive=False)
    except Exception as error:  # nothing that is only told may stop a study
        warnings.warn(f"how long it will take is not known ({why(error)})", stacklevel=2)
        return None


def _reading(listener: Listener, doing: str) -> PictureProgress:
    """Tell a listener, a few times a second, how far the reading of files is."""
    told_at = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _TELL_EVERY_S or done == total:
            told_at = now
            listener(Progress(doing, detail=f"{what} {done:,} of {total:,}"))

    return tell


def _telling(listener: Listener) -> Callable[[Extracting], None]:
    """Tell a listener how far an extraction is."""

    def tell(extracting: Extracting) -> None:
        doing = f"looking once at {extracting.total:,} pictures, for all trials"
        listener(Progress(doing, detail=str(extracting)))

    return tell
