"""Scoring: the one place where test labels are read, after the last trial."""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data.tasks import Task
from headstart.statistics.access import AccessPolicy
from headstart.statistics.ledger import Entry, check_chain
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


def score_trials(
    workplace: Workplace, records: Records, keys: Sequence[TrialKey], reader: str
) -> None:
    """Score the trials that have not been scored, by one reading of the test labels.

    When every complete trial was scored before, the labels are not read again.

    Args:
        workplace: For the task, the same test split for every seed.
        records: Where predictions lie and scores go.
        keys: The trials asked for.
        reader: Who reads, for the ledger; starts with `DECLARED` for a look of a declared design.

    Raises:
        RecordsError: If the split was read as often as it may be, or the ledger was tampered with;
            the door stays shut then.
    """
    task = workplace.task(workplace.study.study.seeds[0])
    _keep_examples(records, task)
    rows = {(row["strategy"], row["seed"], row["labels"]): row for row in records.trials()}
    unscored = []
    for key in keys:
        row = rows[key.strategy, key.seed, key.labels_text]
        if row["state"] == "complete" and row["test_accuracy"] is None:
            unscored.append(key)
    if not unscored:
        return
    split = hashlib.sha256(task.images.hashes[task.test.rows].tobytes()).hexdigest()[:16]
    labels = task.test.open_labels(
        f"score {len(unscored)} trials",
        lambda purpose, _: _note_read(workplace, records, split, reader, purpose),
    )
    records.keep_test_labels(labels, split)
    scores = {}
    for key in unscored:
        predicted = records.probabilities(key, "test")
        scores[key] = accuracy(predicted, labels), log_loss(predicted, labels)
    records.score(scores)
    _keep_mistakes(records, task, labels)


def _note_read(
    workplace: Workplace, records: Records, split: str, reader: str, purpose: str
) -> None:
    """Write a reading down, unless the split's door has to stay shut."""
    settings = workplace.study.study
    entries = records.test_reads()
    check_chain(entries)
    again = reader.startswith(DECLARED) and any(entry.reader == reader for entry in entries)
    policy = AccessPolicy(settings.test_read_budget, settings.test_read_limit)
    policy.allow(counted_reads(entries), 0 if again else 1)
    records.note_test_read(split, reader, purpose)


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


def _keep_mistakes(records: Records, task: Task, labels: NDArray[np.int64]) -> None:
    """Keep the test pictures that most trials got wrong."""
    scored = [key for key, state in records.states().items() if state == "complete"]
    wrong = np.zeros(len(labels))
    for key in scored:
        wrong += records.probabilities(key, "test").argmax(axis=1) != labels
    worst = [n for n in np.argsort(-wrong, kind="stable")[:_MISTAKES].tolist() if wrong[n] > 0]
    records.keep_pictures(
        "mistake",
        [(n, as_png(task.test.whole[task.test.rows[n]]), task.class_names[labels[n]]) for n in worst],
    )


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (height, width, channels) as a PNG file's bytes."""
    pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
