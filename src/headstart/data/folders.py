"""Finding pictures: under a folder, or in a manifest, an archive or an ``.npz`` file.

Layouts of folders and archives:

- ``root/class/…``: the folder directly under the root is the class, whatever lies below it
  (``root/animals/birds/duck.png`` is an animal; with ``topics="path"`` it is ``animals/birds``).
- ``root/{train, val|valid|validation, test}/class/…``: the same below each split. Folders are taken
  for splits when one of them is ``train``, or when there are no others.
- Pictures directly under the root, or directly under a split, have no label: they can be predicted,
  not learnt from.

Hidden files, notebook checkpoints, thumbnails and the like are passed over in silence. Files that
are no pictures are counted by suffix. A file without a suffix is looked into.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from headstart.data.archives import is_archive, list_archive
from headstart.data.arrays import find_in_arrays, is_arrays
from headstart.data.entries import (
    SPLIT_NAMES,
    UNREAD_PICTURE_SUFFIXES,
    USUAL_LIMITS,
    Candidate,
    Entry,
    Found,
    LeftOut,
    Limits,
    Listing,
    Split,
    as_label,
    has_picture_suffix,
    is_clutter,
    printable,
    shortened,
    starts_like_picture,
)
from headstart.data.manifests import is_manifest, read_manifest
from headstart.errors import DataError

Topics = Literal["first", "path"]

_DEEPEST = 64
_LIKE_SPLITS = frozenset({*SPLIT_NAMES, "training", "testing", "eval", "evaluation", "dev"})


def find_pictures(
    root: str | os.PathLike[str], *, topics: Topics = "first", limits: Limits = USUAL_LIMITS
) -> Found:
    """Find pictures with their labels and splits, without opening them.

    Args:
        root: A folder, a manifest (``.csv``, ``.tsv``, ``.parquet``), an archive (``.zip``,
            ``.tar``, ``.tar.gz`` …), an ``.npz`` file, or a single picture.
        topics: Which of nested folders is the class: the ``"first"`` one, or the whole ``"path"``.
        limits: How much is taken in.

    Raises:
        DataError: If there is nothing there that could be a picture, or it cannot be told which
            split is which.
    """
    path = Path(root)
    if not path.exists():
        raise DataError(f"there is no folder or file {printable(str(path))}")
    if path.is_dir():
        found = _lay_out(path, _list_folder(path), topics)
    elif is_manifest(path):
        found = read_manifest(path, limits)
    elif is_arrays(path):
        found = find_in_arrays(path, limits)
    elif is_archive(path):
        found = _lay_out(path, list_archive(path, limits), topics)
    elif path.is_file() and has_picture_suffix(path.name):
        found = Found(path, "unlabelled pictures", (Entry(printable(path.name), path),))
    else:
        raise DataError(
            f"{printable(path.name)} is not something that holds pictures: expected a folder, a "
            "manifest (.csv, .tsv, .parquet), an archive (.zip, .tar, .tar.gz …), an .npz file or "
            "a picture"
        )
    if not found.entries and not found.left_out:
        seen = f" (there are {_counts(found.others)})" if found.others else ""
        raise DataError(
            f"no pictures in {printable(path.name)}{seen}: expected class folders with JPEG, PNG, "
            "WebP, TIFF, BMP or GIF files in them, such as cats/1.jpg"
        )
    return found


def _list_folder(root: Path) -> Listing:
    """Everything under a folder, in the order of the names."""
    walk = Walk(root.resolve())
    walk.listing.candidates.extend(walk.into(root, (), linked=False))
    return walk.listing


class Walk:
    """A walk through a folder that never leaves it, nor goes in circles.

    Attributes:
        root: The folder, resolved.
        listing: Folders and other files met so far; candidates are given out, not kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listing = Listing()

    def into(self, folder: Path, parts: tuple[str, ...], *, linked: bool) -> Iterator[Candidate]:
        """What is in a folder and below; `linked` where a symbolic link led to it."""
        self.listing.folders.add(parts)
        try:
            plain, others = _scanned(folder)
        except OSError as error:
            reason = f"a folder that cannot be read: {error.strerror or error}"
            yield Candidate((*parts, ""), folder, reason=reason)
            return
        for name in sorted([*plain, *others]):
            if is_clutter(name):
                continue
            if name in others:
                yield from self._meet(others[name], (*parts, printable(name)), linked=linked)
            elif _could_be_picture(folder, name):
                yield Candidate((*parts, printable(name)), folder / name)
            else:
                self.listing.count_other(name)

    def _meet(
        self, item: os.DirEntry[str], parts: tuple[str, ...], *, linked: bool
    ) -> Iterator[Candidate]:
        """What comes of a folder, a link, or something that is no file."""
        path = Path(item.path)
        refusal = self._refusal(path, linked=linked) if item.is_symlink() else None
        if refusal is not None:
            # Nobody looks where such a link leads; without a suffix it is taken for a folder.
            yield Candidate(parts if "." in item.name else (*parts, ""), path, reason=refusal)
        elif item.is_dir() and len(parts) > _DEEPEST:
            yield Candidate((*parts, ""), path, reason=f"more than {_DEEPEST} folders deep")
        elif item.is_dir():
            yield from self.into(path, parts, linked=linked or item.is_symlink())
        elif item.is_file():
            if _could_be_picture(path.parent, item.name):
                yield Candidate(parts, path)
            else:
                self.listing.count_other(item.name)
        elif has_picture_suffix(item.name):
            yield Candidate(parts, path, reason="not a regular file")
        else:
            self.listing.count_other(item.name)

    def _refusal(self, link: Path, *, linked: bool) -> str | None:
        """Why a symbolic link is not followed; None if it is."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return "a symbolic link to nothing"
        if not target.is_relative_to(self.root):
            return "a symbolic link that leaves the folder, which is not followed"
        # One linked folder inside another could multiply without end.
        if target.is_dir() and (linked or link.parent.resolve().is_relative_to(target)):
            return "a symbolic link to a folder from within a linked folder, which is not followed"
        return None


def _scanned(folder: Path) -> tuple[list[str], dict[str, os.DirEntry[str]]]:
    """The names of the plain files in a folder, and all else; of many files, names are enough."""
    plain: list[str] = []
    others: dict[str, os.DirEntry[str]] = {}
    with os.scandir(folder) as found:
        for item in found:
            if item.is_file(follow_symlinks=False):
                plain.append(item.name)
            else:
                others[item.name] = item
    return plain, others


def _could_be_picture(folder: Path, name: str) -> bool:
    """By its suffix, or without a suffix by its first bytes."""
    if "." in name:
        return has_picture_suffix(name)
    try:
        with (folder / name).open("rb") as file:
            return starts_like_picture(file.read(16))
    except OSError:
        return False


def _lay_out(root: Path, listing: Listing, topics: Topics) -> Found:
    """Tell labels and splits from where the candidates lie."""
    tops = top_folders(listing.candidates)
    splits = split_folders(root, tops)
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for each in listing.candidates:
        placed = place(each, splits, topics)
        if isinstance(placed, Entry):
            entries.append(placed)
        else:
            left_out.append(placed)
    layout = "unlabelled pictures"
    if any(entry.label is not None for entry in entries):
        layout = "split folders" if splits else "class folders"
    others = dict(sorted(listing.others.items(), key=lambda item: (-item[1], item[0])))
    warnings = [*layout_warnings(listing, tops, splits), *_manifest_hint(root, layout)]
    return Found(root, layout, tuple(entries), tuple(left_out), others, tuple(warnings))


def top_folders(candidates: Iterable[Candidate]) -> list[str]:
    """The folders directly under the root that hold candidates, sorted."""
    return sorted({each.parts[0] for each in candidates if len(each.parts) > 1})


def place(each: Candidate, splits: Mapping[str, Split], topics: Topics) -> Entry | LeftOut:
    """A candidate with its split and label, told from where it lies.

    Args:
        each: The candidate.
        splits: From `split_folders`.
        topics: As for `find_pictures`.
    """
    split = splits.get(each.parts[0]) if len(each.parts) > 1 else None
    above = each.parts[1:-1] if split else each.parts[:-1]
    label: str | None = None
    if above and (split or not splits):
        label = as_label(above[0] if topics == "first" else "/".join(above))
    if each.reason is not None:
        return LeftOut(each.name, each.reason, label, split)
    return Entry(each.name, each.path, label, split, member=each.member)


def split_folders(root: Path, tops: Sequence[str]) -> dict[str, Split]:
    """Which of the folders under the root are splits; none if they are classes.

    Raises:
        DataError: If two folders are the same split.
    """
    splits = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    if "train" not in splits.values() and len(splits) < len(tops):
        return {}
    problems = [
        f"{' and '.join(same)} in {printable(root.name)} are both the {split} split: keep one, or "
        "put their pictures together"
        for split in sorted(set(splits.values()))
        if len(same := [top for top in splits if splits[top] == split]) > 1
    ]
    if problems:
        raise DataError(*problems)
    return splits


def layout_warnings(
    listing: Listing, tops: Sequence[str], splits: Mapping[str, Split]
) -> Iterator[str]:
    """What is odd about a layout."""
    depth = 2 if splits else 1
    holding = {each.parts[:depth] for each in listing.candidates}
    empty = sorted(
        "/".join(folder)
        for folder in listing.folders
        if len(folder) == depth and folder not in holding and (not splits or folder[0] in splits)
    )
    if empty and tops:
        yield f"folders without pictures make no class: {shortened(empty)}"
    like = [top for top in tops if top.casefold() in _LIKE_SPLITS]
    if like and not splits:
        yield (
            f"{', '.join(like)}: taken for class folders, since there is no train folder beside "
            "them; call them train, valid and test if they are splits"
        )
    outside = [top for top in tops if splits and top not in splits]
    if outside:
        yield f"folders beside {', '.join(splits)} are no split: {shortened(outside)}"
    unread = {kind: n for kind, n in listing.others.items() if kind in UNREAD_PICTURE_SUFFIXES}
    if unread:
        yield f"pictures of kinds that are not read: {_counts(unread)}; convert them to PNG or JPEG"


def _manifest_hint(root: Path, layout: str) -> Iterator[str]:
    """Where labels may be, if folders do not tell them."""
    if layout != "unlabelled pictures" or not root.is_dir():
        return
    tables = sorted(printable(path.name) for path in root.iterdir() if is_manifest(path))
    if tables:
        yield f"no labels in the folders; if {tables[0]} holds them, give that file instead"


def _counts(others: Mapping[str, int]) -> str:
    return shortened(f"{count:,} {kind}" for kind, count in others.items())
