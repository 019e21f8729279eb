"""Reading pictures in parallel: in order, in constant memory, with progress."""

import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from headstart.data.decode import Decoded, Payload, UnreadableError
from headstart.data.entries import Entry, Limits
from headstart.data.reading import decode_pictures, over_pictures
from headstart.data.transforms import Preprocessing


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """200 files that hold their own number."""
    made = []
    for number in range(200):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"%d" % number)
        made.append(Entry(path.name, path))
    return made


def number_in(payload: Payload) -> int:
    return int(bytes(payload))


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_results_come_in_the_order_of_the_entries(
    entries: list[Entry], workers: int | None
) -> None:
    def slow_at_first(payload: Payload) -> int:
        time.sleep(0.02 if number_in(payload) < 3 else 0)
        return number_in(payload)

    results = over_pictures(entries, slow_at_first, "testing", workers=workers)
    assert list(results) == list(range(200))


def test_unreadable_files_keep_their_place(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"x" * 100)
    results = list(over_pictures(entries[:4], number_in, "testing", limits=Limits(file_bytes=99)))
    assert [results[0], results[3]] == [0, 3]
    assert str(results[1]) == "cannot be read: No such file or directory"
    assert isinstance(results[1], UnreadableError)
    assert not results[1].lasting
    assert str(results[2]) == "too large: above the limit of 0 MB"


def test_an_unexpected_error_is_not_swallowed(entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(over_pictures(entries, lambda payload: int(bytes(payload) + b"!"), "testing"))


def test_only_a_few_pictures_are_held_at_once(entries: list[Entry]) -> None:
    started = 0
    lock = threading.Lock()

    def count(payload: Payload) -> int:
        nonlocal started
        with lock:
            started += 1
        return number_in(payload)

    results = over_pictures(entries, count, "testing", workers=2)
    for taken in range(1, 60):
        next(results)
        assert started <= taken - 1 + 4 * 2
    results.close()
    time.sleep(0.05)
    assert started < 80, "what is no longer wanted is not done"


def test_progress_is_told_for_every_picture(entries: list[Entry]) -> None:
    told: list[tuple[str, int, int]] = []
    list(
        over_pictures(
            entries[:3],
            number_in,
            "testing",
            progress=lambda doing, done, total: told.append((doing, done, total)),
        )
    )
    assert told == [("testing", 1, 3), ("testing", 2, 3), ("testing", 3, 3)]


def test_a_bar_is_shown_on_terminals_only(
    entries: list[Entry], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(over_pictures(entries, number_in, "testing"))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(Console, "is_terminal", True)
    list(over_pictures(entries, number_in, "testing"))
    shown = capsys.readouterr()
    assert "testing pictures" in shown.err
    assert not shown.out


def test_nothing_to_do_is_fine() -> None:
    assert list(over_pictures([], number_in, "testing")) == []


def test_decoding_gives_pixels_or_reasons(entries: list[Entry], tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9), "red").save(tmp_path / "0.png")
    first, second = decode_pictures(entries[:2], Preprocessing(4, 4))
    assert isinstance(first, Decoded)
    assert (first.pixels == (255, 0, 0)).all()
    assert isinstance(second, UnreadableError)
