"""Scoring: the one place where test labels are read, after the last trial."""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data.tasks import Task
from headstart.errors import RecordsError
from headstart.statistics.access import AccessPolicy
from headstart.statistics.ledger import Entry, check_chain
from headstart.study.gate import Gatekeeper, refuse_another, tries
from headstart.study.records import Records, TrialKey
from headstart.study.workplace import Workplace
from headstart.training.evaluate import accuracy, log_loss

DECLARED = "until decided"
"""How the reader of a declared design's looks begins in the ledger."""

_EXAMPLES_A_CLASS = 3
_EXAMPLES = 40
_MISTAKES = 24


def counted_reads(entries: Sequence[Entry]) -> int:
    """How many readings of a test split count against its budget.

    Every reading counts, but the looks of one declared design count once: what they cost is part
    of the design (`headstart.statistics.sequential`).
    """
    plain = sum(entry.reads for entry in entries if not entry.reader.startswith(DECLARED))
    return plain + len({entry.reader for entry in entries if entry.reader.startswith(DECLARED)})


def of_split(entries: Sequence[Entry], number: int) -> list[Entry]:
    """The readings of the test split of a number; a folder has one split for each."""
    return [entry for entry in entries if _number_of(entry) == number]


def _number_of(entry: Entry) -> int:
    number, marked, _ = entry.split.partition(":")
    return int(number) if marked else 1


def score_trials(
    workplace: Workplace, records: Records, keys: Sequence[TrialKey], reader: str
) -> None:
    """Score the trials that have not been scored, by one reading of the test labels.

    When every complete trial was scored before, the labels are not read again.

    Args:
        workplace: For the task: one test split for all seeds, or each fold's own.
        records: Where predictions lie and scores go.
        keys: The trials asked for.
        reader: Who reads, for the ledger; starts with `DECLARED` for a look of a declared design.

    Raises:
        RecordsError: If the split was read as often as it may be, or the ledger was tampered with;
            the door stays shut then.
    """
    settings = workplace.study.study
    task = workplace.task(settings.seeds[0])
    _keep_examples(records, task)
    rows = {(row["strategy"], row["seed"], row["labels"]): row for row in records.trials()}
    unscored = []
    asked = {key for one in tries(records) for key in one.trials}
    for key in keys:
        row = rows[key.strategy, key.seed, key.labels_text]
        waits = row["test_accuracy"] is None and key not in asked
        if row["state"] == "complete" and waits:
            unscored.append(key)
    if not unscored:
        return
    refuse_another(records, settings)
    reading = _Reading(workplace, records, reader, f"score {len(unscored)} trials")
    if workplace.study.split.folds is None:
        labels = reading.open(task)
        records.keep_test_labels(labels, reading.split)
        groups = task.images.groups
        if groups is not None:
            records.describe("test_groups", {"groups": groups[task.test.rows].tolist()})
        if _is_gated(workplace, records):
            Gatekeeper(records, settings, labels, reading.split).ask(unscored)
            return
        truths = dict.fromkeys((key.seed for key in unscored), labels)
    else:
        tasks = {key.seed: workplace.task(key.seed) for key in unscored}
        truths = {seed: reading.open(own) for seed, own in tasks.items()}
        records.keep_fold_labels(
            {seed: (own.test.rows, truths[seed]) for seed, own in tasks.items()}
        )
    scores = {}
    for key in unscored:
        predicted = records.probabilities(key, "test")
        scores[key] = accuracy(predicted, truths[key.seed]), log_loss(predicted, truths[key.seed])
    records.score(scores)
    _keep_mistakes(workplace, records, task)


def _is_gated(workplace: Workplace, records: Records) -> bool:
    """Whether the reading that was just written down is one for the gate."""
    settings = workplace.study.study
    reads = counted_reads(of_split(records.test_reads(), workplace.study.split.number))
    return settings.test_read_gate != "count" and reads > settings.test_read_budget


class _Reading:
    """One reading of the test labels, written down before the first label is handed out.

    Args:
        workplace: For the split and its settings.
        records: Where the ledger is.
        reader: Who reads.
        purpose: What for.
    """

    def __init__(self, workplace: Workplace, records: Records, reader: str, purpose: str) -> None:
        self.split = split_name(workplace)
        self._workplace = workplace
        self._records = records
        self._reader = reader
        self._purpose = purpose
        self._noted = False

    def open(self, task: Task) -> NDArray[np.int64]:
        """The test labels of a task; all folds of a cross-validation are one reading."""
        return task.test.open_labels(self._purpose, self._note)

    def _note(self, purpose: str, _: int) -> None:
        if not self._noted:
            _note_read(self._workplace, self._records, self.split, self._reader, purpose)
        self._noted = True


def split_name(workplace: Workplace) -> str:
    """What the ledger calls a test split: a hash of its pictures, all folds' together.

    From the second split of a folder on its number stands before it.
    """
    study = workplace.study
    first = range(study.split.folds) if study.split.folds else study.study.seeds[:1]
    tasks = [workplace.task(seed) for seed in first]
    rows = np.concatenate([task.test.rows for task in tasks])
    rows = np.sort(rows) if study.split.folds else rows
    digest = hashlib.sha256(tasks[0].images.hashes[rows].tobytes()).hexdigest()[:16]
    number = study.split.number
    return digest if number == 1 else f"{number}:{digest}"


def _note_read(
    workplace: Workplace, records: Records, split: str, reader: str, purpose: str
) -> None:
    """Write a reading down, unless the split's door has to stay shut."""
    settings = workplace.study.study
    check_chain(records.test_reads())
    entries = of_split(records.test_reads(), workplace.study.split.number)
    again = reader.startswith(DECLARED) and any(entry.reader == reader for entry in entries)
    policy = AccessPolicy(settings.test_read_budget, settings.test_read_limit)
    try:
        policy.allow(counted_reads(entries), 0 if again else 1)
    except RecordsError as error:
        raise RecordsError(*error.problems, _how_to_go_on(workplace)) from None
    records.note_test_read(split, reader, purpose)


def _how_to_go_on(workplace: Workplace) -> str:
    """How to come by a fresh test split."""
    split = workplace.study.split
    drawn = split.test is not None or "test" not in workplace.images.parts
    if split.order == "stored" or split.folds is not None or not drawn:
        return "its pictures are all there are to test on: collect new ones, in another --output"
    return (
        f"split.number = {split.number + 1} draws one of pictures that nobody looked at; all is "
        "trained anew for it, and the ledger goes on"
    )


def _keep_examples(records: Records, task: Task) -> None:
    """Keep a row of training pictures, the same number of each class."""
    if records.pictures("example"):
        return
    labels = task.train.labels
    each = max(1, min(_EXAMPLES_A_CLASS, _EXAMPLES // len(task.class_names)))
    kept = []
    for number, name in enumerate(task.class_names):
        for row in task.train_rows[labels == number][:each].tolist():
            kept.append((row, as_png(task.images.pictures[row]), name))
    records.keep_pictures("example", kept)


def _keep_mistakes(workplace: Workplace, records: Records, task: Task) -> None:
    """Keep the test pictures that most trials got wrong.

    They are kept with their place in the test split, or with their row in the image set where
    every fold is a test split of its own.
    """
    asked = {key for one in tries(records) for key in one.trials}  # of these nothing is told
    states = records.states().items()
    scored = [key for key, state in states if state == "complete" and key not in asked]
    folds, labels = records.fold_labels(), records.test_labels()
    wrong, truth = np.zeros(len(task.images)), np.zeros(len(task.images), dtype=np.int64)
    if not folds and labels is not None:
        folds = dict.fromkeys((key.seed for key in scored), (task.test.rows, labels))
    for key in (key for key in scored if key.seed in folds):
        rows, own = folds[key.seed]
        truth[rows] = own
        np.add.at(wrong, rows, records.probabilities(key, "test").argmax(axis=1) != own)
    worst = [n for n in np.argsort(-wrong, kind="stable")[:_MISTAKES].tolist() if wrong[n] > 0]
    place = {row: place for place, row in enumerate(task.test.rows.tolist())}
    by_row = workplace.study.split.folds is not None
    records.keep_pictures(
        "mistake",
        [
            (n if by_row else place[n], as_png(task.images.pictures[n]), task.class_names[truth[n]])
            for n in worst
        ],
    )


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (height, width, channels) as a PNG file's bytes."""
    pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
