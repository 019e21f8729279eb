"""The database of a study's records: its tables, and opening it with care.

One SQLite file in WAL mode, so that a report can be drawn while a study goes on.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.errors import RecordsError

SCHEMA_VERSION = 1
FILE_NAME = "study.sqlite"

_VALID_LABELS = """
CREATE TABLE IF NOT EXISTS valid_labels (
    seed INTEGER PRIMARY KEY, pictures BLOB NOT NULL, labels BLOB NOT NULL
) STRICT;
"""
_CHOICES = """
CREATE TABLE IF NOT EXISTS choices (
    trial TEXT PRIMARY KEY REFERENCES trials (id), candidates TEXT NOT NULL,
    chosen INTEGER NOT NULL, correct BLOB NOT NULL
) STRICT;
"""
_FOLD_LABELS = _VALID_LABELS.replace("valid_labels", "fold_labels")
_TABLES = f"""
{_VALID_LABELS}
{_FOLD_LABELS}
{_CHOICES}
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE trials (
    id TEXT PRIMARY KEY,
    strategy TEXT NOT NULL,
    seed INTEGER NOT NULL,
    labels TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'complete', 'failed')),
    configuration TEXT NOT NULL,
    started REAL, finished REAL,
    val_accuracy REAL, val_loss REAL, test_accuracy REAL, test_log_loss REAL,
    trainable_parameters INTEGER, total_parameters INTEGER,
    fit_seconds REAL, epochs INTEGER, steps INTEGER,
    weights_hash TEXT, device TEXT, error TEXT,
    UNIQUE (strategy, seed, labels)
) STRICT;
CREATE TABLE curves (
    trial TEXT NOT NULL REFERENCES trials (id), phase TEXT NOT NULL, epoch INTEGER NOT NULL,
    train_loss REAL NOT NULL, val_loss REAL, val_accuracy REAL NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (trial, epoch)
) STRICT;
CREATE TABLE predictions (
    trial TEXT NOT NULL REFERENCES trials (id), split TEXT NOT NULL,
    pictures INTEGER NOT NULL, classes INTEGER NOT NULL, probabilities BLOB NOT NULL,
    PRIMARY KEY (trial, split)
) STRICT;
CREATE TABLE sources (
    seed INTEGER PRIMARY KEY, file TEXT NOT NULL, weights_hash TEXT NOT NULL,
    val_accuracy REAL, val_loss REAL, epochs INTEGER NOT NULL, steps INTEGER NOT NULL,
    fit_seconds REAL NOT NULL, curve TEXT NOT NULL
) STRICT;
CREATE TABLE test_labels (
    number INTEGER PRIMARY KEY CHECK (number = 0), labels BLOB NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TABLE test_reads (
    number INTEGER PRIMARY KEY, "when" TEXT NOT NULL, split TEXT NOT NULL, reader TEXT NOT NULL,
    purpose TEXT NOT NULL, reads INTEGER NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
CREATE TABLE pictures (
    kind TEXT NOT NULL, number INTEGER NOT NULL, row INTEGER NOT NULL, png BLOB NOT NULL,
    class_name TEXT NOT NULL, PRIMARY KEY (kind, number)
) STRICT;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open a study's database, a new one where there is none.

    Raises:
        RecordsError: If it is damaged, of another version, of another program, or cannot be used.
    """
    with explained(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            _make_ready(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _make_ready(connection: sqlite3.Connection, path: Path) -> None:
    """Check a file that was opened, and lay the tables down in a new one."""
    connection.row_factory = sqlite3.Row
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN; {_TABLES} INSERT INTO meta VALUES ('schema', '{SCHEMA_VERSION}'); COMMIT;"
        )
    elif not {"meta", "trials"} <= tables:
        raise RecordsError(
            f"{path} is a database of another program: give another folder, so that it is left "
            "alone"
        )
    found = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if found is None or found[0] != str(SCHEMA_VERSION):
        raise RecordsError(
            f"{path} was written by another version of headstart (records "
            f"{found[0] if found else 'of no version'}, this one reads {SCHEMA_VERSION}): use that "
            "version, or --fresh to begin anew and keep the old folder"
        )
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    if not {"valid_labels", "fold_labels", "choices"} <= tables:  # from before these were kept
        connection.executescript(_VALID_LABELS + _FOLD_LABELS + _CHOICES)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what a user can do about it."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RecordsError(
            f"{path} cannot be used ({error}): check that the disk is not full, that the folder "
            "can be written, and that no other process holds it"
        ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error


@contextmanager
def sense_made_of(path: Path) -> Iterator[None]:
    """What cannot be made sense of while records are read is damage to them."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def damaged(path: Path, why: str) -> RecordsError:
    """What to tell of a database that holds what headstart never wrote."""
    return RecordsError(
        f"{path} is damaged ({why}): restore it, or use --fresh to begin anew and keep the old "
        "folder"
    )
