"""What a model may be asked about from Python: paths, arrays and Pillow's pictures → pixels."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.data.decode import UnreadableError, decode, flatten
from headstart.data.entries import USUAL_LIMITS, Entry, printable, shortened
from headstart.data.reading import decode_pictures
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

Pixels = NDArray[np.uint8]

_KINDS = "paths of picture files, arrays (height, width[, channels]) of uint8, or Pillow's pictures"


def pixel_batches(pictures: Any, preprocessing: Preprocessing, batch_size: int) -> Iterator[Pixels]:
    """Pixels of pictures, a batch at a time, in the order given.

    Args:
        pictures: A path, an array (height, width[, channels]) or a Pillow picture; a list of any
            of these; or an array of several, (N, height, width[, channels]).
        preprocessing: What to make of them.
        batch_size: Pictures a batch.

    Raises:
        DataError: If something is no picture, or cannot be read; all such are named.
    """
    listed = _listed(pictures)
    unreadable: list[str] = []
    batch: list[Pixels] = []
    for name, result in _decoded(listed, preprocessing):
        if isinstance(result, UnreadableError):
            unreadable.append(f"{name}: {result}")
        elif not unreadable:
            batch.append(result)
            if len(batch) == batch_size:
                yield np.stack(batch)
                batch.clear()
    if unreadable:
        raise DataError(
            f"{len(unreadable):,} of {len(listed):,} pictures cannot be used: "
            f"{shortened(unreadable)}. Leave them out, or use headstart predict, which lists such "
            "files apart"
        )
    if batch:
        yield np.stack(batch)


def _listed(pictures: Any) -> Sequence[Any]:
    """The pictures one by one."""
    if isinstance(pictures, str | os.PathLike | Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind not in "OUS":
        several = pictures.ndim == 4 or (pictures.ndim == 3 and pictures.shape[-1] not in (1, 3))
        return list(pictures) if several else [pictures]
    try:
        return list(pictures)
    except TypeError:
        raise DataError(
            f"a {type(pictures).__name__} is no picture: expected {_KINDS}, or a list of these"
        ) from None


def _decoded(
    listed: Sequence[Any], preprocessing: Preprocessing
) -> Iterator[tuple[str, Pixels | UnreadableError]]:
    """Each picture's name and its pixels; files are decoded in parallel."""
    paths = [each for each in listed if isinstance(each, str | os.PathLike)]
    files = iter(decode_pictures(_entries(paths), preprocessing, progress=_silent))
    for number, each in enumerate(listed):
        if isinstance(each, str | os.PathLike):
            found = next(files)
            name = printable(os.fspath(each))
            yield name, found if isinstance(found, UnreadableError) else found.pixels
            continue
        name = f"picture {number}"
        try:
            yield name, _from_memory(each, preprocessing)
        except UnreadableError as error:
            yield name, error


def _entries(paths: Sequence[Any]) -> list[Entry]:
    folders = [printable(os.fspath(path)) for path in paths if Path(path).is_dir()]
    if folders:
        raise DataError(
            f"{shortened(folders)}: a folder, expected files; headstart.predict takes folders"
        )
    return [Entry(printable(os.fspath(path)), Path(path)) for path in paths]


def _from_memory(picture: Any, preprocessing: Preprocessing) -> Pixels:
    if isinstance(picture, Image.Image):
        shown = flatten(picture, preprocessing.channels, preprocessing.background)
        return preprocessing.apply(shown)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UnreadableError(
            f"{array.dtype} of shape {array.shape} is no picture: expected {_KINDS}; numbers are "
            "0 to 255, not scaled"
        )
    array = array[..., np.newaxis] if array.ndim == 2 else array
    if array.shape[-1] not in (1, 3):
        raise UnreadableError(f"{array.shape[-1]} channels, expected 1 or 3")
    return decode(np.ascontiguousarray(array), preprocessing, USUAL_LIMITS).pixels


def _silent(_doing: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""
