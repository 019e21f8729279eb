"""Pictures in zip and tar archives: whole ones, hostile ones, damaged ones."""

import io
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.archives import list_archive, read_members
from headstart.data.decode import UnreadableError
from headstart.data.entries import Limits
from headstart.data.folders import find_pictures
from headstart.errors import DataError

FILES = {f"{kind}/{number}.png": bytes([number]) * 700 for kind in "ba" for number in range(3)}
SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".TXZ", ".ZIP"]


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    """An archive of the kind that the path's suffix says."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    packing = {"z2": "bz2", "gz": "gz", "xz": "xz"}.get(path.name.lower()[-2:], "")
    packing = {".tgz": "gz", ".tbz2": "bz2"}.get(path.suffix.lower(), packing)
    with tarfile.open(path, f"w:{packing}") as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            tar.addfile(member(name, len(content)), io.BytesIO(content))
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def contents(path: Path, names: list[str], **limits: int) -> list[bytes | str]:
    read = read_members(path, names, Limits(**limits))
    return [str(each) if isinstance(each, UnreadableError) else each for each in read]


def reasons(path: Path, limits: Limits | None = None) -> dict[str, str | None]:
    listing = list_archive(path, limits or Limits())
    return {each.name: each.reason for each in listing.candidates}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_archive_is_laid_out_like_a_folder(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"pets{suffix}", {**FILES, "notes.txt": b"x", "a/.hidden.png": b"x"})
    found = find_pictures(path)
    assert found.layout == "class folders"
    assert [(entry.name, entry.label) for entry in found.entries] == [(n, n[0]) for n in FILES]
    assert {entry.path for entry in found.entries} == {path}
    assert dict(found.others) == {".txt": 1}
    assert contents(path, list(FILES)) == list(FILES.values())
    backwards = list(reversed(FILES))
    assert contents(path, backwards) == [FILES[name] for name in backwards]
    assert contents(path, ["a/1.png", "gone.png", "b/2.png"]) == [
        *(FILES["a/1.png"], "no longer in the archive", FILES["b/2.png"]),
    ]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_lone_folder_around_everything_is_taken_off(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"a{suffix}", {f"x/pets/{name}": b"" for name in FILES})
    assert list(reasons(path)) == list(FILES)
    wanted = [str(each.member) for each in list_archive(path).candidates]
    assert wanted == [f"x/pets/{name}" for name in FILES]
    path = packed(tmp_path / f"b{suffix}", {f"pets/train/{name}": b"" for name in FILES})
    assert {entry.split for entry in find_pictures(path).entries} == {"train"}
    path = packed(tmp_path / f"c{suffix}", {"cats/1.jpg": b"", "cats/2.jpg": b""})
    assert {entry.label for entry in find_pictures(path).entries} == {"cats"}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_paths_that_leave_the_archive_are_listed_and_written_nowhere(
    tmp_path: Path, suffix: str
) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    names = ["../up.png", "a/../../up.png", "/tmp/abs.png", "C:/drive.png", "..\\up.png"]
    path = packed(inside / f"evil{suffix}", {"a/1.png": b"good", **dict.fromkeys(names, b"bad")})
    listed = reasons(path)
    assert listed.pop("a/1.png") is None
    assert set(listed.values()) == {"its path leaves the archive"}
    assert len(listed) >= 4
    assert [entry.name for entry in find_pictures(path).entries] == ["a/1.png"]
    assert contents(path, ["a/1.png"]) == [b"good"]
    assert sorted(tmp_path.rglob("*")) == [inside, path]


def test_links_and_devices_in_tar_archives_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(member("a/1.png", 4), io.BytesIO(b"good"))
        for name, kind in (
            *(("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)),
            *(("char", tarfile.CHRTYPE), ("block", tarfile.BLKTYPE), ("pipe", tarfile.FIFOTYPE)),
        ):
            info = member(f"a/{name}.png", kind=kind)
            info.linkname = "/etc/passwd"
            tar.addfile(info)
    listed = reasons(path)
    assert listed.pop("a/1.png") is None
    assert set(listed.values()) == {"a link or device inside an archive, which is not followed"}
    assert len(listed) == 5


def test_links_in_zip_archives_are_not_followed_and_locked_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("a/link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a/locked.png", b"secret")
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + flags] |= 1  # marked as encrypted
    path.write_bytes(data)
    listed = reasons(path)
    assert listed["a/link.png"] == "a link or device inside an archive, which is not followed"
    assert listed["a/locked.png"] == "encrypted"


def test_of_two_members_with_one_name_the_first_is_taken(tmp_path: Path) -> None:
    tar_path, zip_path = tmp_path / "twice.tar", tmp_path / "twice.zip"
    with tarfile.open(tar_path, "w") as tar:
        for name, content in (("a/1", b"first"), ("a/0", b"third"), ("a/1", b"other")):
            tar.addfile(member(f"{name}.png", 5), io.BytesIO(content))
    with zipfile.ZipFile(zip_path, "w") as archive:
        for name, content in (("a/1", b"first"), ("a/0", b"third"), ("a/2", b"other")):
            archive.writestr(f"{name}.png", content)
    zip_path.write_bytes(zip_path.read_bytes().replace(b"a/2.png", b"a/1.png"))
    for path in (tar_path, zip_path):
        found = find_pictures(path)
        assert [entry.name for entry in found.entries] == ["a/1.png", "a/0.png"]
        assert [each.reason for each in found.left_out] == ["a second member of the same name"]
        assert contents(path, ["a/0.png", "a/1.png"]) == [b"third", b"first"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.xz"])
def test_more_than_the_limits_allow_is_refused(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"a{suffix}", FILES)
    with pytest.raises(DataError, match=r"holds more than 5 files, the limit: unpack it"):
        list_archive(path, Limits(members=5))
    with pytest.raises(DataError, match=r"unpacks to more than 0\.0 MB, the limit"):
        list_archive(path, Limits(unpacked_bytes=4000))
    assert len(list_archive(path, Limits(members=6, unpacked_bytes=4200)).candidates) == 6
    assert contents(path, ["a/1.png"], file_bytes=699) == ["too large: above the limit of 0 MB"]
    assert contents(path, ["a/1.png"], file_bytes=700) == [FILES["a/1.png"]]


def test_a_small_archive_that_unpacks_to_very_much_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar"
    header = member("a/1.png", 5 * 10**12).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(header + bytes(10240))
    with pytest.raises(DataError, match="possibly a decompression bomb"):
        list_archive(path)
    bomb = packed(tmp_path / "bomb.zip", {"a/1.png": b"x" * 1000})
    data = bytearray(bomb.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 4_000_000_000)
    bomb.write_bytes(data)
    with pytest.raises(DataError, match="possibly a decompression bomb"):
        list_archive(bomb)


def test_a_zip_member_that_lies_about_its_length_is_left_out(tmp_path: Path) -> None:
    path = packed(tmp_path / "lies.zip", {"a/1.png": b"x" * 5000, "a/2.png": b"good"})
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    first, second = contents(path, ["a/1.png", "a/2.png"])
    assert "damaged inside the archive" in str(first)
    assert second == b"good"


def test_one_damaged_zip_member_does_not_lose_the_others(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a/1.png": os.urandom(999), "a/2.png": b"good"})
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)
    first, second = contents(path, ["a/1.png", "a/2.png"])
    assert "damaged inside the archive" in str(first)
    assert second == b"good"


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_archives_cut_short_or_of_another_kind_are_refused(tmp_path: Path, suffix: str) -> None:
    whole = packed(tmp_path / f"whole{suffix}", {**FILES, "c/1.png": os.urandom(5000)}).read_bytes()
    path = tmp_path / f"short{suffix}"
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"no archive at all" * 99):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"the archive short\.\S+ cannot be read"):
            list_archive(path)


def test_a_damaged_header_in_the_middle_of_a_tar_archive_is_not_its_end(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", FILES)
    data = bytearray(path.read_bytes())
    data[3 * 1536 + 100] ^= 1  # the fourth of six headers, 512 + 1024 bytes each
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged at byte 4,608"):
        list_archive(path)


def forged(info: tarfile.TarInfo, size: int) -> bytes:
    """A tar header with any size in it, and a checksum that fits."""
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % 2**96).to_bytes(12, "big")
    header[124] |= 0x80
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


@pytest.mark.parametrize("size", [-1024, -512, 2**40, 2**70])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"?"])
def test_forged_tar_headers_neither_hang_nor_fill_the_memory(
    tmp_path: Path, kind: bytes, size: int
) -> None:
    path = tmp_path / "forged.tar"
    path.write_bytes(forged(member("a/1.png", kind=kind), size) + bytes(20 * 512))
    with pytest.raises(DataError) as caught:
        list_archive(path)
    if size < 0 and kind in (tarfile.REGTYPE, b"?"):
        assert f"a/1.png says it has {size} bytes" in str(caught.value)


def test_files_without_a_suffix_are_looked_into(tmp_path: Path) -> None:
    files = {"a/0001": b"\xff\xd8\xff" + bytes(50), "a/0002": b"words"}
    for suffix in (".zip", ".tar.gz"):
        assert reasons(packed(tmp_path / f"a{suffix}", files)) == {"a/0001": None}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9/\xff.png")
    path = packed(tmp_path / "a.tar", {name: b"good"})
    (entry,) = find_pictures(path).entries
    assert (entry.name, entry.label) == (r"caf\xe9/\xff.png", r"caf\xe9")
    assert contents(path, [str(entry.member)]) == [b"good"]


@settings(max_examples=120, deadline=None)
@given(
    suffix=st.sampled_from([".zip", ".tar", ".tar.gz"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    length=st.integers(1, 12_000),
)
def test_damaged_archives_are_read_or_refused(
    suffix: str, changes: list[tuple[int, int]], length: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = packed(Path(folder) / f"a{suffix}", FILES)
        data = bytearray(path.read_bytes()[:length])
        for position, value in changes:
            data[position % len(data)] = value
        path.write_bytes(data)
        try:
            listing = list_archive(path)
            names = [str(each.member) for each in listing.candidates if each.reason is None]
            assert len(contents(path, names)) == len(names)
        except DataError:
            return
