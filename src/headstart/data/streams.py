"""Pictures of a folder one after the other, so that a million of them take no more memory than ten.

`find_pictures` keeps a record of every picture, which splits and labels need. To predict, it is
enough to walk through the folder once to see how it is laid out, and again to go through it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.data.entries import Candidate, Entry, LeftOut
from headstart.data.folders import (
    Topics,
    Walk,
    find_pictures,
    layout_warnings,
    place,
    split_folders,
    top_folders,
)


@dataclass(frozen=True)
class PictureStream:
    """Pictures that can be gone through again and again.

    Attributes:
        root: What was looked at.
        count: How many pictures there were at the first look.
        warnings: What a user should know, in sentences.
    """

    root: Path
    count: int
    warnings: tuple[str, ...]
    _all: Callable[[], Iterator[Entry | LeftOut]]

    def entries(self) -> Iterator[Entry]:
        """The pictures, in the order of their names; as they stand there in other sources."""
        return (each for each in self._all() if isinstance(each, Entry))

    def left_out(self) -> Iterator[LeftOut]:
        """What cannot be used, with the reason."""
        return (each for each in self._all() if isinstance(each, LeftOut))


def stream_pictures(root: Path, *, topics: Topics = "first") -> PictureStream:
    """Pictures with their labels, without a record of each where `root` is a folder.

    Args:
        root: What `find_pictures` takes.
        topics: As for `find_pictures`.

    Raises:
        DataError: As `find_pictures` does.
    """
    if not root.is_dir():
        found = find_pictures(root, topics=topics)
        return PictureStream(
            root,
            len(found.entries),
            found.warnings,
            lambda: iter((*found.entries, *found.left_out)),
        )
    walk = Walk(root.resolve())
    few: dict[tuple[str, ...], Candidate] = {}  # one for each of the upper folders is enough
    count = seen = 0
    for each in walk.into(root, (), linked=False):
        few.setdefault(each.parts[:-1][:2], each)
        seen += 1
        count += each.reason is None
    if not seen:
        find_pictures(root)  # says what it looked for
    walk.listing.candidates.extend(few.values())
    tops = top_folders(few.values())
    splits = split_folders(root, tops)

    def again() -> Iterator[Entry | LeftOut]:
        fresh = Walk(root.resolve())
        return (place(each, splits, topics) for each in fresh.into(root, (), linked=False))

    return PictureStream(root, count, tuple(layout_warnings(walk.listing, tops, splits)), again)
