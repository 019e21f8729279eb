"""What is kept on this machine: checked, mended, never half-written, safe for two at once."""

import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headstart.data.catalog import Catalog
from headstart.data.image_set import ImageSet
from headstart.errors import DataError

if TYPE_CHECKING:
    from tests.data.catalog.conftest import TinySet, Web

PICTURES = "train-images-idx3-ubyte"


@pytest.fixture
def tiny_catalog(web: "Web", tiny: "TinySet", data_folder: Path) -> Catalog:
    web.hold(tiny)
    return tiny.catalog(web.mirror())


def same(images: ImageSet, tiny: "TinySet") -> bool:
    return np.array_equal(images.pictures, tiny.pictures) and np.array_equal(
        images.labels, tiny.labels
    )


def refusal(catalog: Catalog) -> str:
    with pytest.raises(DataError) as caught:
        catalog.load("tiny")
    return str(caught.value)


def test_a_set_is_fetched_once_and_then_needs_no_network(
    tiny_catalog: Catalog, web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    assert tiny_catalog.where("tiny") is None
    folder = tiny_catalog.get("tiny")
    assert folder == tiny_catalog.where("tiny") == data_folder / "tiny"
    assert tiny_catalog.describe()[0].here
    asked = len(web.asked)
    images = tiny_catalog.load("tiny")
    assert len(web.asked) == asked == 4
    assert same(images, tiny)
    assert isinstance(images.pictures, np.memmap)
    assert not images.pictures.flags.writeable
    assert images.parts["train"].tolist() == list(range(30))
    assert images.parts["test"].tolist() == list(range(30, 40))
    assert images.class_names == ("zero", "one", "two")
    assert images.origin == "Tiny, https://tiny.example (licence: CC0)"


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def saved(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


class Trap:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (os.environ["HEADSTART_DATA"] + "/sprung",)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": flipped,
    "cut short": lambda content: content[:-7],
    "empty": lambda content: b"",
    "another shape": lambda content: saved(np.zeros((40, 5, 5, 1), np.uint8)),
    "another type": lambda content: saved(np.zeros((40, 5, 4, 1), np.int8)),
    "another order": lambda content: saved(np.asfortranarray(np.zeros((40, 5, 4, 1), np.uint8))),
    "pickled": lambda content: saved(np.array([Trap()], dtype=object)),
    "header not Python": lambda content: content[:10] + b"{'descr': (" + content[21:],
    "header of blanks": lambda content: content[:10] + b" " * 118 + content[128:],
    "a zip": lambda content: b"PK\x03\x04" + content,
    "noise": lambda content: bytes(range(256)),
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["pictures.npy", "labels.npy"])
def test_what_is_damaged_is_said_and_fetched_again(
    kind: str, name: str, tiny_catalog: Catalog, tiny: "TinySet", data_folder: Path
) -> None:
    file = tiny_catalog.get("tiny") / name
    file.write_bytes(DAMAGES[kind](file.read_bytes()))
    with pytest.warns(UserWarning, match=rf"tiny in .* is damaged and is fetched again: {name}"):
        images = tiny_catalog.load("tiny")
    assert same(images, tiny)
    assert not (data_folder / "sprung").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(tiny_catalog.load("tiny"), tiny)


def test_what_is_damaged_and_cannot_be_mended_is_refused(
    tiny_catalog: Catalog, web: "Web", data_folder: Path
) -> None:
    file = tiny_catalog.get("tiny") / "pictures.npy"
    file.write_bytes(flipped(file.read_bytes()))
    web.files.clear()
    for _ in range(2):
        with pytest.warns(UserWarning, match="damaged"):
            message = refusal(tiny_catalog)
        assert "pictures.npy has another SHA-256 than the catalogue" in message
        assert "HTTP status 404" in message


def test_a_data_folder_that_is_a_file_is_refused(
    tiny_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("HEADSTART_DATA", str(file))
    message = refusal(tiny_catalog)
    assert f"the data folder {file} cannot be used: Not a directory" in message
    assert "HEADSTART_DATA" in message
    assert tiny_catalog.where("tiny") is None


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of our own in a process that is not root, whoever starts the tests."""
    import filelock  # noqa: F401  # while it can still be read

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.setenv("HEADSTART_DATA", folder)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield Path(folder)
        if root:
            os.seteuid(0)
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o777)


def test_a_data_folder_that_cannot_be_written_is_refused(
    tiny_catalog: Catalog, unprivileged: Path
) -> None:
    unprivileged.joinpath("tiny").mkdir()
    unprivileged.joinpath("tiny").chmod(0o555)
    message = refusal(tiny_catalog)
    assert f"the data folder {unprivileged} cannot be used: Permission denied" in message
    assert "name another one in the environment variable HEADSTART_DATA" in message


def test_what_is_kept_can_be_read_where_nothing_can_be_written(
    tiny_catalog: Catalog, tiny: "TinySet", unprivileged: Path
) -> None:
    folder = tiny_catalog.get("tiny")
    folder.chmod(0o555)
    assert same(tiny_catalog.load("tiny"), tiny)
    (folder / "labels.npy").write_bytes(b"damaged")
    (folder / ".lock").chmod(0o444)
    message = refusal(tiny_catalog)
    assert f"tiny in {folder} is damaged: labels.npy" in message
    assert "Permission denied" in message


def test_a_full_disk_is_told_and_leaves_nothing(
    tiny_catalog: Catalog, tiny: "TinySet", data_folder: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The largest file cannot be written whole, as on a disk that fills up meanwhile.
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        message = refusal(tiny_catalog)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"the data folder {data_folder} cannot be used: File too large" in message
    assert "MB of space" in message
    assert [path.name for path in (data_folder / "tiny").iterdir()] == [".lock"]
    assert same(tiny_catalog.load("tiny"), tiny)


GET = """
import sys
from headstart.data.catalog import Catalog
images = Catalog(sys.stdin.read()).load("tiny")
print(int(images.pictures.sum()), int(images.labels.sum()))
"""


def start(text: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", GET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    return process


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_at_once_fetch_once(web: "Web", tiny: "TinySet", data_folder: Path) -> None:
    web.hold(tiny)
    text = tiny.text(web.mirror())
    web.hold_back(f"/{PICTURES}.gz")
    processes = [start(text), start(text)]
    wait_for(lambda: web.asked)
    time.sleep(0.3)
    # The first question is still open, and nobody has asked another one.
    assert web.asked == [f"/{PICTURES}.gz"]
    web.released.set()
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert errors == ""
        assert output.split() == [str(tiny.pictures.sum()), str(tiny.labels.sum())]
    assert sorted(web.asked) == sorted(web.files)


def test_a_process_killed_half_way_leaves_nothing_that_counts(
    web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    web.hold(tiny)
    last = "/t10k-labels-idx1-ubyte.gz"
    web.hold_back(last)
    process = start(tiny.text(web.mirror()))
    wait_for(lambda: last in web.asked)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    catalog = tiny.catalog(web.mirror())
    assert list((data_folder / "tiny").glob(".new-*"))
    assert catalog.where("tiny") is None
    web.released.set()
    assert same(catalog.load("tiny"), tiny)
    names = sorted(path.name for path in (data_folder / "tiny").iterdir())
    assert names == [".lock", "labels.npy", "pictures.npy"]
