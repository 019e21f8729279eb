"""Predictions for any number of files, in constant memory, going on after a kill.

What is done stands in a part file beside the output, a line for each picture in the order of the
listing. At the end the predictions and the list of unreadable files are made from it, each written
whole or not at all, and it is removed.
"""

import csv
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, tee
from pathlib import Path
from typing import IO, Any, TypeVar

import filelock
import numpy as np

from headstart.data.decode import Decoded, UnreadableError, decode
from headstart.data.entries import USUAL_LIMITS, Entry
from headstart.data.folders import Topics
from headstart.data.reading import Progress, over_pictures
from headstart.data.streams import PictureStream, stream_pictures
from headstart.delivery.config import CONFIG
from headstart.delivery.engines import Engine, Probabilities
from headstart.delivery.model import BATCH_SIZE, Model
from headstart.errors import RecordsError, StudyError
from headstart.networks.weights import file_sha256

_VERSION = 1
_READ, _UNREADABLE = "+", "-"
Answer = tuple[Entry, Decoded | UnreadableError]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Predicted:
    """What a prediction left behind.

    Attributes:
        output: The predictions as CSV: ``filename,label,pred,prob_<class>…``; with `top_k`
            ``filename,label,pred,prob,pred_2,prob_2…``. Rows are in the order of the listing: by
            name in folders, as they stand in archives, manifests and arrays.
        unreadable_list: What could not be read, as CSV: ``filename,reason``.
        pictures: How many were predicted.
        unreadable: How many could not be read.
        taken_over: How many of both were done by a call before that was interrupted.
        engine: What answered: ``"PyTorch"`` or ``"ONNX Runtime"``.
        warnings: What a user should know, in sentences.
    """

    output: Path
    unreadable_list: Path
    pictures: int
    unreadable: int
    taken_over: int
    engine: str
    warnings: tuple[str, ...]


def predict_files(
    model: Model,
    pictures: Path | str,
    output: Path | str = "predictions.csv",
    *,
    top_k: int | None = None,
    batch_size: int = BATCH_SIZE,
    topics: Topics = "first",
    progress: Progress | None = None,
) -> Predicted:
    """Predict every picture of a folder, manifest, archive or ``.npz`` file.

    The same call goes on where it was interrupted.

    Args:
        model: From `headstart.load`.
        pictures: What `find_pictures` takes; labels are copied, never needed.
        output: The CSV file; replaced when all is done.
        top_k: Write only the most probable classes, so many of them.
        batch_size: Pictures at a time.
        topics: Which of nested folders is the label.
        progress: Told after each picture; a bar on the terminal when omitted.

    Raises:
        DataError: If there is nothing to predict.
        StudyError: If `top_k` or `batch_size` makes no sense.
        RecordsError: If the output cannot be written, or another process is writing it.
    """
    _check_numbers(top_k, batch_size, len(model.classes_))
    stream = stream_pictures(Path(pictures), topics=topics)
    output = Path(output).absolute()
    job = _Job(model, output, top_k, batch_size, topics, progress)
    try:
        with _held(output), job.part_file(stream) as (part, done):
            engine = job.go_on(part, stream, done)
            beforehand = ([each.name, each.reason] for each in stream.left_out())
            pictures_done, unreadable = job.finish(part, beforehand)
    except OSError as error:
        raise RecordsError(
            f"{output} cannot be written ({error.strerror or error}): make room on the disk and "
            "give the same command again (what was predicted is kept), or choose another file"
        ) from error
    return Predicted(
        output, job.unreadable_list, pictures_done, unreadable, done, engine, stream.warnings
    )


@dataclass(frozen=True)
class _Job:
    """One output and how to fill it."""

    model: Model
    output: Path
    top_k: int | None
    batch_size: int
    topics: Topics
    progress: Progress | None

    @property
    def part(self) -> Path:
        return self.output.with_name(f".{self.output.name}.part")

    @property
    def unreadable_list(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.unreadable.csv")

    @contextmanager
    def part_file(self, stream: PictureStream) -> Iterator[tuple[IO[bytes], int]]:
        """The part file, open behind what is done of these pictures, and how many those are."""
        header = {
            "version": _VERSION,
            "model": file_sha256(self.model.folder / CONFIG),
            "top_k": self.top_k,
            "pictures": str(stream.root.resolve()),
            "topics": self.topics,
        }
        with self.part.open("a+b") as part:
            done = _taken_over(part, header, stream.entries())
            if done is None:
                part.truncate(0)
                part.write(json.dumps(header).encode() + b"\n")
            yield part, done or 0
        self.part.unlink(missing_ok=True)

    def go_on(self, part: IO[bytes], stream: PictureStream, done: int) -> str:
        """Predict the pictures that are left; what answered."""
        entries, again = tee(islice(stream.entries(), done, None))
        left = stream.count - done
        engine: Engine | None = None
        read = over_pictures(
            entries,
            partial(decode, preprocessing=self.model.preprocessing, limits=USUAL_LIMITS),
            "predicting",
            total=left,
            progress=self.progress,
        )
        with closing(read):
            answers = zip(again, read, strict=True)
            for batch in _ahead(_in_batches(answers, self.batch_size)):
                pixels = [result.pixels for _, result in batch if isinstance(result, Decoded)]
                stacked = np.stack(pixels) if pixels else None
                if stacked is not None:
                    engine = engine or self.model.engine(stacked, left)
                probabilities = engine(stacked) if engine and stacked is not None else None
                part.writelines(self._lines(batch, probabilities))
                part.flush()
        return engine.name if engine else ""

    def _lines(
        self, batch: Sequence[Answer], probabilities: Probabilities | None
    ) -> Iterator[bytes]:
        """A line for each picture of a batch."""
        rows = iter(() if probabilities is None else probabilities)
        for entry, result in batch:
            if isinstance(result, UnreadableError):
                values = [_UNREADABLE, _mark(entry), entry.name, str(result)]
            else:
                values = [_READ, _mark(entry), entry.name, entry.label or ""]
                values += self._columns(next(rows))
            yield json.dumps(values).encode() + b"\n"

    def _columns(self, row: Probabilities) -> Iterator[str]:
        """What stands behind the label."""
        names = self.model.classes_
        best = np.argsort(-row, kind="stable")[: self.top_k or 1].tolist()
        if self.top_k is None:
            yield str(names[best[0]])
            yield from map(_number, row.tolist())
            return
        for place in best:
            yield str(names[place])
            yield _number(float(row[place]))

    def _heads(self) -> list[str]:
        start = ["filename", "label", "pred"]
        if self.top_k is None:
            return [*start, *(f"prob_{name}" for name in self.model.classes_)]
        others = [f"{what}_{n}" for n in range(2, self.top_k + 1) for what in ("pred", "prob")]
        return [*start, "prob", *others]

    def finish(self, part: IO[bytes], beforehand: Iterable[Sequence[str]]) -> tuple[int, int]:
        """Make both files; how many pictures stand in each."""
        unreadable = (row for kind, _, *row in _lines_of(part) if kind == _UNREADABLE)
        count = _write_csv(
            self.unreadable_list, ["filename", "reason"], chain(beforehand, unreadable)
        )
        predicted = (row for kind, _, *row in _lines_of(part) if kind == _READ)
        return _write_csv(self.output, self._heads(), predicted), count


def _check_numbers(top_k: int | None, batch_size: int, classes: int) -> None:
    problems = []
    if batch_size < 1:
        problems.append(f"batch_size = {batch_size}: at least 1 is needed")
    if top_k is not None and not 1 <= top_k <= classes:
        problems.append(f"top_k = {top_k}: the model has {classes} classes, so give 1 to {classes}")
    if problems:
        raise StudyError(*problems)


@contextmanager
def _held(output: Path) -> Iterator[None]:
    """Keep a second process from writing the same output."""
    if output.is_dir():
        raise RecordsError(f"{output} is a folder: give a file, such as {output}/predictions.csv")
    if not output.parent.is_dir():
        raise RecordsError(f"there is no folder {output.parent} to write {output.name} into")
    lock = output.with_name(f".{output.name}.lock")
    try:
        with filelock.FileLock(lock, timeout=0):
            yield
    except filelock.Timeout:
        raise RecordsError(
            f"another process is writing {output}: wait for it, or choose another file"
        ) from None
    lock.unlink(missing_ok=True)


def _taken_over(part: IO[bytes], header: dict[str, Any], entries: Iterator[Entry]) -> int | None:
    """How many entries are done; a line that was cut short is cut off.

    None where the part file is another model's, or of other pictures: then it begins anew.
    """
    part.seek(0)
    first = part.readline()
    if _parsed(first) != header:
        return None
    end, done = len(first), 0
    for line in part:
        values = _parsed(line)
        if not isinstance(values, list):
            break
        entry = next(entries, None)
        if entry is None or values[1:3] != [_mark(entry), entry.name]:
            return None
        end += len(line)
        done += 1
    part.truncate(end)
    return done


def _mark(entry: Entry) -> str:
    """What changes with a picture's file: its size and when it was written last."""
    try:
        found = entry.path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _lines_of(part: IO[bytes]) -> Iterator[list[str]]:
    part.seek(0)
    part.readline()
    for line in part:
        yield json.loads(line)


def _parsed(line: bytes) -> Any:
    """A line's value; None for one that was cut short."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _write_csv(path: Path, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write a table whole or not at all; how many rows it has."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(heads)
            for row in rows:
                writer.writerow(row)
                count += 1
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _number(value: float) -> str:
    return f"{value:.7g}"


def _in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _ahead(items: Iterator[Item]) -> Generator[Item]:
    """The items, each fetched by a thread while the one before it is being worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="headstart-ahead") as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
