"""Manifests: tables that name pictures and their labels, as CSV, TSV or Parquet.

Columns are ``filename`` (or ``file_name``) and optionally ``label``, ``split`` and ``group``;
others are ignored, and said so. File names are relative to the manifest and never leave its folder.
"""

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from headstart.data.entries import (
    SPLIT_NAMES,
    USUAL_LIMITS,
    Entry,
    Found,
    LeftOut,
    Limits,
    as_label,
    printable,
    shortened,
)
from headstart.errors import DataError, nearest

_CSV, _TSV, _PARQUET = ".csv", ".tsv", ".parquet"
_FILE_COLUMNS = ("filename", "file_name")
_COLUMNS = (*_FILE_COLUMNS, "label", "split", "group")


@dataclass(frozen=True)
class _Row:
    """One row as text, empty where a cell or the column is missing; `place` is for messages."""

    place: str
    filename: str
    label: str
    split: str
    group: str


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest by its name."""
    return path.suffix.lower() in (_CSV, _TSV, _PARQUET)


def read_manifest(path: Path, limits: Limits = USUAL_LIMITS) -> Found:
    """The pictures that a manifest names, in its order.

    Files that are missing are left out and listed. A file named twice in the same way counts once.

    Raises:
        DataError: If the table cannot be read, names files outside its folder, or contradicts
            itself; all problems at once.
    """
    parquet = path.suffix.lower() == _PARQUET
    columns, rows = (_read_parquet if parquet else _read_csv)(path, limits)
    root = path.parent.resolve()
    places = {row.filename: _place(root, row.filename) for row in rows}
    problems = [*_problems(rows, columns), *_contradictions(rows, places)]
    outside = [row for row in rows if places[row.filename] is None]
    if outside:
        problems.append(
            f"{len(outside)} file name(s) lead out of the manifest's folder, which is refused: "
            f"{_quoted(outside, 'filename')}. Expected names relative to it, without links out"
        )
    if problems:
        raise DataError(*(f"{path.name}: {problem}" for problem in problems))
    return _found(path, columns, rows, places)


def _found(
    path: Path, columns: Sequence[str], rows: Sequence[_Row], places: Mapping[str, Path | None]
) -> Found:
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    met: set[Path] = set()
    for row in rows:
        file = places[row.filename] or path
        if file in met:
            continue
        met.add(file)
        entry = Entry(
            printable(row.filename),
            file,
            as_label(row.label) or None,
            SPLIT_NAMES.get(row.split.casefold()),
            as_label(row.group) or None,
        )
        if file.is_file():
            entries.append(entry)
        else:
            reason = "not a file" if file.exists() else "no such file"
            left_out.append(LeftOut.of(entry, f"{reason} ({row.place} of {path.name})"))
    warnings = []
    ignored = sorted(set(columns) - set(_COLUMNS))
    if ignored:
        warnings.append(f"{path.name}: columns not used: {shortened(ignored)}")
    if len(met) < len(rows):
        warnings.append(f"{path.name}: {len(rows) - len(met)} row(s) repeat others, counted once")
    return Found(path, "manifest", tuple(entries), tuple(left_out), warnings=tuple(warnings))


def _problems(rows: Sequence[_Row], columns: Sequence[str]) -> list[str]:
    """What is wrong with single rows."""
    problems = []
    nameless = [row for row in rows if not row.filename]
    if nameless:
        problems.append(f"no file name in {shortened(row.place for row in nameless)}")
    for split in sorted({row.split for row in rows if row.split}):
        if split.casefold() not in SPLIT_NAMES:
            problems.append(f"there is no split {split!r}: {nearest(split, SPLIT_NAMES)}")
    for column in ("split", "group"):
        empty = [row.place for row in rows if not getattr(row, column)]
        if column in columns and empty:
            problems.append(
                f"{column} is empty in {shortened(empty)}: fill it in every row, or drop the column"
            )
    return problems


def _contradictions(rows: Sequence[_Row], places: Mapping[str, Path | None]) -> list[str]:
    """Files that are named twice with different labels, splits or groups."""
    first: dict[Path | None, _Row] = {}
    clashes = []
    for row in (row for row in rows if places[row.filename] is not None):
        other = first.setdefault(places[row.filename], row)
        if (row.label, row.split, row.group) != (other.label, other.split, other.group):
            clashes.append(f"{row.filename!r} ({other.place} and {row.place})")
    if not clashes:
        return []
    return [
        f"{len(clashes)} file(s) are named twice with different label, split or group: "
        f"{shortened(clashes)}"
    ]


def _place(root: Path, filename: str) -> Path | None:
    r"""The file that a name means, followed through links; None when it leaves the root.

    Names written on another system are tried as they may lie here: with ``\`` between the parts,
    or with accents composed differently.
    """
    spellings = [filename, filename.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, filename) for form in ("NFC", "NFD")]
    within = None
    for spelling in spellings:
        try:
            place = (root / spelling).resolve()
            inside = place.is_relative_to(root)
            if inside and place.exists():
                return place
        except (OSError, ValueError, RuntimeError):  # too long, a NUL byte, a circle of links
            place, inside = root / "unnameable", True
        if not inside:
            return None
        within = within or place
    return within


def _read_csv(path: Path, limits: Limits) -> tuple[list[str], list[_Row]]:
    text = _text(path, limits)
    first_line = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first_line.count) if path.suffix.lower() == _CSV else "\t"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[_Row] = []
    columns: list[str] = []
    problems = []
    try:
        columns = _checked_columns(path, next(reader, []))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                problems.append(f"line {reader.line_num} has {len(cells)} cells")
            rows.append(_row(f"line {reader.line_num}", dict(zip(columns, cells, strict=False))))
            _check_length(path, len(rows), limits)
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}") from error
    if problems:
        raise DataError(
            f"{path.name} has {len(columns)} columns, but {shortened(problems)}: put names that "
            f"hold {delimiter!r} in quotes"
        )
    return columns, rows


def _text(path: Path, limits: Limits) -> str:
    """A CSV file's text, with or without a byte order mark."""
    try:
        if path.stat().st_size > limits.file_bytes:
            raise DataError(f"{path.name} is above the limit of {limits.file_bytes / 1e6:.0f} MB")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text (byte {error.start}): save it as “CSV UTF-8”"
        ) from error


def _read_parquet(path: Path, limits: Limits) -> tuple[list[str], list[_Row]]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"reading {path.name} needs the package pyarrow: pip install pyarrow, or save the "
            "manifest as CSV"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            names = [str(name) for name in file.schema_arrow.names]
            _check_length(path, file.metadata.num_rows, limits)
            columns = _checked_columns(path, names)
            used = [name for name, column in zip(names, columns, strict=True) if column in _COLUMNS]
            table = file.read(columns=used).to_pydict()
    except (arrow.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet: {error}") from error
    cells = {name.strip().casefold(): values for name, values in table.items()}
    count = len(next(iter(cells.values())))
    shown = ({key: _cell(values[row]) for key, values in cells.items()} for row in range(count))
    return columns, [_row(f"row {number}", row) for number, row in enumerate(shown, start=1)]


def _cell(value: object) -> str:
    """A Parquet value as text; classes numbered as floats (1.0) are what they were in CSV (1)."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _row(place: str, cells: Mapping[str, str]) -> _Row:
    filename = next((cells[column] for column in _FILE_COLUMNS if column in cells), "")
    rest = (cells.get(column, "").strip() for column in ("label", "split", "group"))
    return _Row(place, filename.strip(), *rest)


def _checked_columns(path: Path, header: Sequence[str]) -> list[str]:
    """Column names in lower case.

    Raises:
        DataError: If no column names the files, or a column is there twice.
    """
    columns = [name.strip().casefold() for name in header]
    problems = []
    if not set(columns) & set(_FILE_COLUMNS):
        problems.append(
            f"{path.name} has no column filename (or file_name). It has: "
            f"{shortened(columns) or 'nothing'}"
        )
    if set(_FILE_COLUMNS) <= set(columns):
        problems.append(f"{path.name} has both filename and file_name: keep one")
    twice = sorted({name for name in columns if columns.count(name) > 1 and name in _COLUMNS})
    problems += [f"{path.name} has the column {name} twice" for name in twice]
    if problems:
        raise DataError(*problems)
    return columns


def _check_length(path: Path, rows: int, limits: Limits) -> None:
    if rows > limits.members:
        raise DataError(f"{path.name} has more than {limits.members:,} rows, the limit")


def _quoted(rows: Sequence[_Row], attribute: str) -> str:
    return shortened(f"{getattr(row, attribute)!r} ({row.place})" for row in rows)
