"""Sets that are folders of untidy pictures: fetched from a .deb of our own, checked, kept."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from headstart.data.audit import audit
from headstart.data.catalog import Catalog
from headstart.data.loading import load_pictures
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

if TYPE_CHECKING:
    from tests.data.catalog.conftest import FakeClient, Pack

DEBIAN = '{ kind = "debian", package = "stickers", folder = "usr/share/stickers" }'


def picture(mode: str, size: tuple[int, int], seed: int) -> bytes:
    random = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(random, "RGBA").convert(mode).save(stream, "PNG")
    return stream.getvalue()


FILES: Mapping[str, bytes] = {
    "animals/birds/duck.png": picture("RGBA", (20, 10), 0),
    "animals/birds/duck_desc.ogg": b"OggS",
    "animals/birds/duck.txt": b"A duck.",
    "animals/cat.png": picture("P", (9, 9), 1),
    "animals/cow.png": picture("LA", (9, 12), 2),
    "food/pear.png": picture("L", (7, 30), 3),
    "food/plum.png": picture("1", (8, 8), 4),
    "food/kiwi.svg": b"<svg/>",
    "food/nuts/readme.txt": b"none yet",
}
PICTURES = sorted(name for name in FILES if name.endswith(".png"))


def text(*mirrors: str, sha256: str | None = None) -> str:
    # As the shell would: sha256sum of each picture, then of what that prints.
    lines = "".join(f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}\n" for name in PICTURES)
    return f"""
        [stickers]
        title = "Stickers"
        about = "noise"
        licence = "CC0"
        home = "https://stickers.example"
        format = "pictures"
        pictures = {len(PICTURES)}
        bytes = {sum(map(len, FILES.values()))}
        class_names = ["animals", "food"]
        pictures_sha256 = "{sha256 or hashlib.sha256(lines.encode()).hexdigest()}"
        mirrors = [{", ".join(mirrors)}]
    """


@pytest.fixture
def shelf(tmp_path: Path, pack: "Pack", fake_client: "FakeClient") -> Path:
    """Where our own apt-get takes packages from; ``asked`` is written when it is called."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    put(folder, pack, FILES)
    fake_client(
        "apt-get",
        f"""
STORE = pathlib.Path({str(folder)!r})
if "update" not in sys.argv:
    assert sys.argv[-2:] == ["download", "stickers"], sys.argv
    (STORE / "asked").touch()
    shutil.copy(STORE / "stickers_1_all.deb", CWD)
""",
    )
    return folder


def put(shelf: Path, pack: "Pack", files: Mapping[str, bytes]) -> None:
    inside = {f"./usr/share/stickers/{name}": content for name, content in files.items()}
    (shelf / "stickers_1_all.deb").write_bytes(pack.deb(inside))


def refusal(catalog: Catalog) -> str:
    with pytest.raises(DataError) as caught:
        catalog.get("stickers")
    return str(caught.value)


def test_a_package_becomes_a_folder_with_its_topics(shelf: Path, data_folder: Path) -> None:
    catalog = Catalog(text(DEBIAN))
    assert catalog.where("stickers") is None
    assert not catalog.entry("stickers").here

    folder = catalog.get("stickers")

    assert folder == catalog.where("stickers") == data_folder / "stickers" / "pictures"
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    } == FILES
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "pictures"]
    entry = catalog.entry("stickers")
    assert (entry.here, entry.pictures, entry.picture_shape) == (True, 5, None)
    assert entry.class_names == ("animals", "food")
    assert entry.origin == "Stickers, https://stickers.example (licence: CC0)"


def test_it_is_fetched_once(shelf: Path, data_folder: Path) -> None:
    catalog = Catalog(text(DEBIAN))
    folder = catalog.get("stickers")
    (shelf / "asked").unlink()
    assert catalog.get("stickers") == folder
    assert not (shelf / "asked").exists()


def test_its_pictures_are_used_and_all_else_is_passed_over(shelf: Path, data_folder: Path) -> None:
    folder = Catalog(text(DEBIAN)).get("stickers")
    looked = audit(folder, workers=1)
    assert looked.layout == "class folders"
    assert {row.name: row.used for row in looked.classes} == {"animals": 3, "food": 2}
    assert looked.others == {".txt": 2, ".ogg": 1, ".svg": 1}
    assert looked.small_classes == {"animals": 3, "food": 2}
    loaded = load_pictures(folder, Preprocessing(8, 8), workers=1)
    assert loaded.names == tuple(PICTURES)
    assert loaded.images.class_names == ("animals", "food")
    assert loaded.images.picture_shape == (8, 8, 3)


def test_a_folder_has_no_arrays_before_its_size_is_known(shelf: Path, data_folder: Path) -> None:
    with pytest.raises(DataError, match=r"'stickers' is a folder of pictures of many sizes.*size"):
        Catalog(text(DEBIAN)).load("stickers")
    assert not (shelf / "asked").exists()


def test_an_installed_folder_is_copied_not_fetched(
    shelf: Path, tmp_path: Path, data_folder: Path
) -> None:
    installed = tmp_path / "installed"
    for name, content in FILES.items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_bytes(content)
    folder = Catalog(text(f'{{ kind = "folder", path = "{installed}" }}', DEBIAN)).get("stickers")
    assert not (shelf / "asked").exists()
    assert (folder / "animals/cat.png").read_bytes() == FILES["animals/cat.png"]
    assert (installed / "animals/cat.png").is_file()


def without(name: str) -> dict[str, bytes]:
    return {key: content for key, content in FILES.items() if key != name}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (without("food/plum.png"), "it holds 4 pictures, expected 5 (another release"),
        ({**FILES, "food/fig.png": b""}, "it holds 6 pictures, expected 5 (another release"),
        (
            {**FILES, "food/plum.png": picture("1", (8, 8), 5)},
            "its pictures or their names are not those that the catalogue knows",
        ),
        (
            {**without("food/plum.png"), "animals/plum.png": FILES["food/plum.png"]},
            "its pictures or their names are not those that the catalogue knows",
        ),
        ({"animals/duck.txt": b"A duck."}, "no pictures in stickers (there are 1 .txt)"),
    ],
)
def test_what_is_not_as_the_catalogue_says_is_refused(
    files: dict[str, bytes], reason: str, shelf: Path, pack: "Pack", data_folder: Path
) -> None:
    put(shelf, pack, files)
    catalog = Catalog(text(DEBIAN))
    message = refusal(catalog)
    assert message.startswith("no mirror delivers the data set 'stickers':")
    assert f"the Debian package stickers: {reason}" in message
    assert f"place the folder of its 5 pictures at {data_folder}/stickers/pictures" in message
    assert catalog.where("stickers") is None
    assert [path.name for path in (data_folder / "stickers").iterdir()] == [".lock"]


def test_a_package_without_the_folder_or_that_is_none_is_refused(
    shelf: Path, pack: "Pack", data_folder: Path
) -> None:
    (shelf / "stickers_1_all.deb").write_bytes(pack.deb({"./usr/bin/stickers": b""}))
    told = "the Debian package stickers: it holds no usr/share/stickers"
    assert told in refusal(Catalog(text(DEBIAN)))
    (shelf / "stickers_1_all.deb").write_bytes(b"no archive")
    told = "stickers_1_all.deb cannot be unpacked: it is no Debian archive"
    assert told in refusal(Catalog(text(DEBIAN)))


def test_a_link_in_the_package_is_not_taken_for_its_picture(
    shelf: Path, pack: "Pack", tmp_path: Path, data_folder: Path
) -> None:
    outside = tmp_path / "plum.png"
    outside.write_bytes(FILES["food/plum.png"])
    installed = tmp_path / "installed"
    for name, content in without("food/plum.png").items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_bytes(content)
    (installed / "food/plum.png").symlink_to(outside)
    message = refusal(Catalog(text(f'{{ kind = "folder", path = "{installed}" }}')))
    assert "it holds 4 pictures, expected 5" in message


def test_what_was_changed_is_told_kept_aside_and_fetched_again(
    shelf: Path, data_folder: Path
) -> None:
    catalog = Catalog(text(DEBIAN))
    folder = catalog.get("stickers")
    (folder / "food/mine.png").write_bytes(picture("RGB", (5, 5), 6))
    with pytest.warns(UserWarning, match=r"stickers in .* is fetched again: it holds 6 pictures"):
        assert catalog.get("stickers") == folder
    assert not (folder / "food/mine.png").exists()
    (aside,) = folder.parent.glob("pictures.2*")
    assert (aside / "food/mine.png").is_file()


def test_a_changed_folder_stays_where_nothing_can_be_fetched(
    shelf: Path, data_folder: Path
) -> None:
    folder = Catalog(text(DEBIAN)).get("stickers")
    (folder / "food/plum.png").unlink()
    with pytest.warns(UserWarning, match="damaged"):
        message = refusal(Catalog(text()))
    assert f"what was kept in {folder.parent}: it holds 4 pictures, expected 5" in message
    assert (folder / "food/pear.png").is_file()
