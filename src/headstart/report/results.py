"""Results: a compared study, as Python sees it."""

import html
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from headstart.report.summary import summarise
from headstart.study.folder import write_whole
from headstart.study.results import StudyRecords

if TYPE_CHECKING:
    import pandas as pd

REPORT_NAME = "report.html"


def get_ready_to_draw() -> Thread:
    """Load, beside what this process does, what the first report would have to wait for."""
    loading = Thread(target=_load_what_draws)
    loading.start()
    return loading


def _load_what_draws() -> None:
    with suppress(Exception):  # told by whoever draws
        import scipy.special  # noqa: F401

        import headstart.report.from_records  # noqa: F401
        from headstart.report.page import get_ready

        get_ready()


@dataclass(frozen=True, repr=False)
class Results:
    """What a comparison found; shows its verdicts and table in a notebook.

    Attributes:
        records: The study's records as plain data.
    """

    records: StudyRecords

    @classmethod
    def read(cls, directory: Path | str) -> Self:
        """The results of a study that was compared before.

        Raises:
            RecordsError: If the folder holds none.
        """
        return cls(StudyRecords.read(Path(directory)))

    @property
    def directory(self) -> Path:
        """The study's folder."""
        return self.records.directory

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``; see `headstart.report.summary.summarise`."""
        return summarise(self.records)

    @property
    def trials(self) -> "pd.DataFrame":
        """The trials in long form, one row each, as in ``trials.csv``."""
        return self.records.trials

    @property
    def failed(self) -> int:
        """How many of the trials asked for failed."""
        return sum(row["state"] == "failed" for row in self.records.rows)

    @property
    def waiting(self) -> int:
        """How many of the trials asked for have not been trained, as after an interruption."""
        return sum(row["state"] in ("waiting", "running") for row in self.records.rows)

    def report(self, path: Path | str | None = None) -> Path:
        """Draw the report.

        Args:
            path: Where to; ``report.html`` in the study's folder by default.

        Returns:
            The path written.
        """
        from headstart.report.from_records import report_content
        from headstart.report.page import write

        target = Path(path) if path is not None else self.directory / REPORT_NAME
        return write(report_content(self.records, self.summary), target)

    def write_files(self) -> Path:
        """Write ``trials.csv``, ``summary.json`` and the report into the study's folder."""
        write_whole(self.directory / "trials.csv", self.trials.to_csv(index=False))
        text = json.dumps(self.summary, indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(self.directory / "summary.json", text + "\n")
        return self.report()

    def event_files(self) -> Path:
        """Write TensorBoard's event files, anew, for all finished trials.

        Returns:
            The folder for ``tensorboard --logdir``, in the study's folder.

        Raises:
            StudyError: If TensorBoard is not installed.
        """
        from headstart.report.event_files import write_event_files

        return write_event_files(self.records)

    def sentences(self) -> list[str]:
        """One sentence for each comparison with the baseline, the label budget in front."""
        several = len(self.records.study.study.labels) > 1
        return [
            (f"{labels_words(entry['labels'])}: " if several else "") + entry["sentence"]
            for entry in self.summary["comparisons"]
        ]

    def __repr__(self) -> str:
        lines = [self.summary["question"], *(f"- {said}" for said in self._said())]
        return "\n".join([*lines, f"Results in {self.directory}"])

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self._said())
        heads = (
            "strategy", "labels", "trials",
            f"accuracy ({100 * self.summary['confidence']:.3g}% interval)",
            "trained parameters", "seconds a fit",
        )  # fmt: skip
        return (
            f"<p><b>{html.escape(self.summary['question'])}</b></p><ul>{said}</ul>"
            f"<table><thead>{_html_row('th', heads)}</thead><tbody>"
            + "".join(_html_row("td", _cells(entry)) for entry in self.summary["strategies"])
            + "</tbody></table>"
        )

    def _said(self) -> list[str]:
        """The answer in sentences, and what is warned of."""
        return [*self.sentences(), *(f"Warning: {text}" for text in self.summary["warnings"])]


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """A strategy's row."""
    trained, seconds = entry["trainable_parameters"], entry["fit_seconds"]
    return (
        entry["name"],
        labels_words(entry["labels"]),
        str(entry["trials"]),
        accuracy_words(entry["accuracy"]),
        f"{trained:,}" if trained is not None else "–",
        f"{seconds:.2f}" if seconds is not None else "–",
    )


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def labels_words(labels: int | str) -> str:
    """A label budget in words."""
    return "all labels" if labels == "all" else f"{labels} labels"


def accuracy_words(accuracy: Mapping[str, float | None]) -> str:
    """An accuracy in percent with its interval, or a dash."""
    if accuracy["mean"] is None:
        return "–"
    text = f"{100 * accuracy['mean']:.2f}%"
    if accuracy["low"] is None or accuracy["high"] is None:
        return text
    return f"{text} ({100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f})"
