"""Archives may be damaged or hostile; nothing may land outside the folder."""

import contextlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.unpacking import unpack_debian, unpack_tar
from headstart.errors import DataError

if TYPE_CHECKING:
    from tests.data.catalog.conftest import FakeClient, Pack


def links(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """A tar archive of (name, type, where it leads) and of files of one byte."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, leads in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, leads
            member.size = 1 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"!"))
    stream.seek(0)
    return stream


def test_files_folders_and_links_are_unpacked(tmp_path: Path) -> None:
    archive = links(
        ("./", tarfile.DIRTYPE, ""),
        ("./usr/lib/real.so.1", tarfile.REGTYPE, ""),
        ("./usr/lib/real.so", tarfile.SYMTYPE, "real.so.1"),
        ("./usr/lib/twin.so", tarfile.LNKTYPE, "./usr/lib/real.so.1"),
        ("./etc/choice", tarfile.SYMTYPE, "/usr/bin/choice"),
        ("./dev/null", tarfile.CHRTYPE, ""),
    )
    unpack_tar(archive, tmp_path, "some.tar")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {
        "usr/lib/real.so.1",
        "usr/lib/real.so",
        "usr/lib/twin.so",
        "etc/choice",
    }
    assert (tmp_path / "usr/lib/real.so").read_bytes() == b"!"
    assert (tmp_path / "usr/lib/twin.so").read_bytes() == b"!"


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", tarfile.REGTYPE, "")],
        [("in/../../outside", tarfile.REGTYPE, "")],
        [("way", tarfile.SYMTYPE, ".."), ("way/outside", tarfile.REGTYPE, "")],
        [("way", tarfile.SYMTYPE, "{parent}"), ("way/outside", tarfile.REGTYPE, "")],
        [("way", tarfile.LNKTYPE, "../secret")],
        [("way", tarfile.SYMTYPE, "../secret"), ("copy", tarfile.LNKTYPE, "way")],
        [("way", tarfile.SYMTYPE, ".."), ("way/outside", tarfile.DIRTYPE, "")],
    ],
)
def test_nothing_lands_or_is_taken_from_outside(
    members: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("mine")
    into = tmp_path / "into"
    into.mkdir()
    filled = [(name, kind, leads.format(parent=tmp_path)) for name, kind, leads in members]
    with pytest.raises(DataError, match=r"some.tar cannot be unpacked: '.*' (would land|lies)"):
        unpack_tar(links(*filled), into, "some.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "secret"]
    assert not (into / "copy").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("a", tarfile.DIRTYPE, ""), ("a", tarfile.REGTYPE, "")],
        [("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")],
        [("a", tarfile.REGTYPE, ""), ("a", tarfile.DIRTYPE, "")],
        [("a", tarfile.SYMTYPE, "a"), ("a/b", tarfile.REGTYPE, "")],
    ],
)
def test_members_in_each_others_way_are_refused(
    members: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"some.tar cannot be unpacked"):
        unpack_tar(links(*members), tmp_path, "some.tar")


def test_a_file_does_not_follow_the_link_that_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    into = tmp_path / "into"
    into.mkdir()
    archive = links(("way", tarfile.SYMTYPE, "../secret"), ("way", tarfile.REGTYPE, ""))
    unpack_tar(archive, into, "some.tar")
    assert (tmp_path / "secret").read_text() == "mine"
    assert (into / "way").read_bytes() == b"!"


def test_a_debian_archive_without_dpkg(
    tmp_path: Path, pack: "Pack", fake_client: "FakeClient"
) -> None:
    archive = tmp_path / "tiny_1_all.deb"
    archive.write_bytes(pack.deb({"./usr/share/tiny/file": b"content"}))
    unpack_debian(archive, tmp_path / "into")
    files = [path for path in (tmp_path / "into").rglob("*") if path.is_file()]
    assert [str(path.relative_to(tmp_path)) for path in files] == ["into/usr/share/tiny/file"]
    assert files[0].read_bytes() == b"content"


def test_dpkg_unpacks_where_it_is(tmp_path: Path, pack: "Pack", fake_client: "FakeClient") -> None:
    fake_client("dpkg-deb", "pathlib.Path(sys.argv[3], 'told').write_text(' '.join(sys.argv[1:]))")
    unpack_debian(tmp_path / "any.deb", tmp_path)
    assert (tmp_path / "told").read_text() == f"--extract {tmp_path}/any.deb {tmp_path}"
    fake_client("dpkg-deb", "sys.exit('dpkg-deb: error: not a Debian format archive')")
    with pytest.raises(DataError, match=r"any.deb cannot be unpacked: dpkg-deb: error: not a"):
        unpack_debian(tmp_path / "any.deb", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no Debian archive"),
        (b"PK\x03\x04", "it is no Debian archive"),
        (b"!<arch>\n", "it holds no data.tar"),
        (b"!<arch>\n" + b" " * 60, "a header in it is damaged"),
        (b"!<arch>\n" + b"short", "a header in it is damaged"),
        (b"!<arch>\n" + f"{'data.tar.xz':<48}{'9':<10}`\n".encode(), "it ends early"),
        (b"!<arch>\n" + f"{'data.tar.zst':<48}{'4':<10}`\n".encode() + b"\x28\xb5\x2f\xfd", "data"),
    ],
)
def test_a_damaged_debian_archive_is_refused(
    content: bytes, words: str, tmp_path: Path, fake_client: "FakeClient"
) -> None:
    archive = tmp_path / "some.deb"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=f"some.deb.* cannot be unpacked: .*{words}|{words}.* in "):
        unpack_debian(archive, tmp_path / "into")


@settings(deadline=None)  # a busy machine is no failure
@given(data=st.data())
def test_a_damaged_tar_is_refused_or_unpacked_inside(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(links(("a/b", tarfile.REGTYPE, ""), ("c", tarfile.SYMTYPE, "a")).getvalue())
    for place in data.draw(st.lists(st.integers(0, 1536), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    outer = tmp_path_factory.mktemp("outer")
    (outer / "into").mkdir()
    with contextlib.suppress(DataError):
        unpack_tar(io.BytesIO(bytes(content)), outer / "into", "some.tar")
    assert [path.name for path in outer.iterdir()] == ["into"]
