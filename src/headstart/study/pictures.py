"""The pictures of a study: decoded and brought to the size that its network takes."""

import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from headstart.data import catalog
from headstart.data.decode import Decoded, UnreadableError
from headstart.data.entries import shortened
from headstart.data.image_set import ImageSet
from headstart.data.loading import LoadedPictures, load_pictures
from headstart.data.picture_cache import PictureCache
from headstart.data.picture_store import keep_pictures
from headstart.data.reading import Progress, processors
from headstart.data.scaling import Scaling
from headstart.data.transforms import Preprocessing
from headstart.networks.ready_made import KerasBody, ReadyMade, TimmBody
from headstart.study.spec import Study

ImageLoader = Callable[[], ImageSet]

_AT_A_TIME = 256  # pictures that are brought to size before they are written


@dataclass(frozen=True)
class StudyPictures:
    """Where a study's pictures come from, and the network that says of which size they must be.

    Attributes:
        study: What is asked.
        load: Gives the pictures as they are stored; None where they are files that the study names.
        progress: Told how far the reading of files is.
    """

    study: Study
    load: ImageLoader | None
    progress: Progress | None = None

    @cached_property
    def ready_made(self) -> ReadyMade | None:
        """The source's own network, where it brings one.

        Raises:
            NetworkError: If it cannot be had or does not take such pictures.
        """
        source, data = self.study.source, self.study.data
        if source is None or not source.ready_made:
            return None
        if source.keras is not None:
            return KerasBody.load(source.keras, data.size, source.features)
        assert source.pretrained is not None
        return TimmBody.load(
            source.pretrained,
            weights=source.weights,
            image_size=data.size,
            channels=data.channels if self._stored is None else self._stored.picture_shape[2],
            features=source.features,
        )

    @cached_property
    def preprocessing(self) -> Preprocessing | None:
        """What becomes of the pictures before any scaling; None where they stay as they are."""
        data = self.study.data
        if self.ready_made is not None:
            return replace(self.ready_made.preprocessing, background=data.background)
        if data.size is None:
            return None
        channels = data.channels if self._stored is None else self._stored.picture_shape[2]
        return Preprocessing(*data.size, channels=channels, background=data.background)

    @cached_property
    def files(self) -> LoadedPictures | None:
        """What was read from files; None where the pictures come from elsewhere.

        Raises:
            DataError: As `load_pictures`.
        """
        data = self.study.data
        if not data.from_files:
            return None
        assert self.preprocessing is not None
        path = data.path if data.name is None else catalog.get(data.name)
        assert path is not None
        loaded = load_pictures(path, self.preprocessing, topics=data.topics, progress=self.progress)
        if data.name is None:
            return loaded
        origin = catalog.entry(data.name).origin
        return replace(loaded, images=replace(loaded.images, name=data.name, origin=origin))

    @property
    def provenance(self) -> dict[str, str]:
        """Where weights and files came from, in words, for records and report."""
        told = {}
        if self.ready_made is not None:
            licence = self.ready_made.licence or "licence not stated"
            told["source weights"] = f"{self.ready_made.origin} ({licence})"
            told["source weights hash"] = self.ready_made.sha256[:16]
        if self.preprocessing is not None:
            shown = self.preprocessing
            told["preprocessing"] = (
                f"{shown.height} × {shown.width} pixels, {shown.interpolation}, "
                f"{shown.crop_mode} crop of {shown.crop_fraction:g}"
            )
        if self.files is not None:
            told["files left out"] = f"{len(self.files.left_out):,}"
        return told

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the pictures, in sentences."""
        if self.files is None:
            return ()
        told = list(self.files.warnings)
        if self.files.left_out:
            each = [f"{one.name}: {one.reason}" for one in self.files.left_out]
            told.append(f"{len(each):,} file(s) are left out: {shortened(each)}")
        return tuple(told)

    @cached_property
    def images(self) -> ImageSet:
        """The pictures, of the size that the network takes."""
        if self.files is not None:
            return self.files.images
        assert self._stored is not None
        if self.preprocessing is None:
            return self._stored
        source, asked = self.study.source, self.study.task.classes
        all_needed = source is None or source.trained_here or asked == "all"
        classes = self._stored.class_names if all_needed else asked
        return brought_to_size(self._stored, self.preprocessing, classes)

    @cached_property
    def _stored(self) -> ImageSet | None:
        return None if self.load is None else self.load()


def scaling_of(preprocessing: Preprocessing) -> Scaling:
    """A preprocessing's mean and standard deviation, on numbers of 0–255."""
    shift, divisor = (
        (255 * np.array(values, dtype=np.float64)).astype(np.float32).reshape(1, 1, -1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return Scaling(shift, divisor)


def brought_to_size(
    images: ImageSet, preprocessing: Preprocessing, classes: Sequence[str]
) -> ImageSet:
    """Some classes of an image set, resized and kept, so that it is done once.

    Args:
        images: The set as stored.
        preprocessing: What its pictures are brought to.
        classes: The classes to keep; others are not needed.
    """
    numbers = [images.class_names.index(name) for name in classes if name in images.class_names]
    rows = np.flatnonzero(np.isin(images.labels, numbers))
    height, width = images.picture_shape[:2]
    if preprocessing.geometry(width, height) == ((width, height), (0, 0, width, height)):
        return images

    def decode(wanted: Sequence[int]) -> Generator[Decoded | UnreadableError]:
        # Pillow lets go of the interpreter's lock while it resizes.
        with ThreadPoolExecutor(processors(), "headstart-resizing") as pool:
            for first in range(0, len(wanted), _AT_A_TIME):
                yield from pool.map(bring, wanted[first : first + _AT_A_TIME])

    def bring(number: int) -> Decoded:
        pixels = np.asarray(images.pictures[rows[number]])
        shown = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return Decoded(preprocessing.apply(shown), "array")

    kept = keep_pictures(
        [f"pixels {each.decode()}" for each in images.hashes[rows].tolist()],
        preprocessing,
        decode,
        PictureCache.usual(),
        about=f"{len(rows):,} pictures of {images.name}",
    )
    for text in kept.warnings:
        warnings.warn(text, stacklevel=2)
    place = np.full(len(images), -1)
    place[rows] = np.arange(len(rows))
    parts = {
        name: np.sort(place[members][place[members] >= 0]) for name, members in images.parts.items()
    }
    return ImageSet(
        kept.pictures,
        images.labels[rows],
        images.class_names,
        images.name,
        parts,
        images.origin,
        None if images.groups is None else images.groups[rows],
    )
