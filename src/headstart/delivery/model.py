"""The model in Python: scikit-learn's way of asking, from a bundle's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.transforms import Preprocessing
from headstart.delivery.bundle import Bundle, read_bundle
from headstart.delivery.engines import Engine, Pixels, TorchEngine, faster_engine
from headstart.delivery.inputs import pixel_batches
from headstart.errors import DataError, nearest
from headstart.training.devices import DeviceName, choose_device

BATCH_SIZE = 32


class Model:
    """An adapted network that answers for pictures, as scikit-learn's classifiers do.

    Attributes:
        folder: The bundle.
        bundle: What it holds.
        classes_: The class names in the order of `predict_proba`'s columns, shape (classes,).
    """

    def __init__(self, folder: Path, bundle: Bundle, device: DeviceName) -> None:
        self.folder = folder
        self.bundle = bundle
        self.classes_: NDArray[np.str_] = np.array(bundle.class_names)
        self._device = choose_device(device)
        self._engine: Engine | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes pixels: size, crop, channels, background."""
        return self.bundle.preprocessing

    def predict(self, pictures: Any) -> NDArray[np.str_]:
        """The most probable class of each picture.

        Args:
            pictures: As for `predict_proba`.

        Returns:
            Class names, shape (N,).

        Raises:
            DataError: If a picture cannot be used; all such are named.
        """
        return np.asarray(self.classes_[self.predict_proba(pictures).argmax(axis=1)])

    def predict_proba(self, pictures: Any) -> NDArray[np.float32]:
        """Class probabilities.

        Args:
            pictures: A path, an array (height, width[, channels]) of uint8 or a Pillow picture; a
                list of any of these; or an array of several, (N, height, width[, channels]).
                Of any size and mode: they are prepared as the training pictures were.

        Returns:
            Shape (N, classes), rows summing to 1, columns as in `classes_`.

        Raises:
            DataError: If a picture cannot be used; all such are named.
        """
        parts = []
        for pixels in pixel_batches(pictures, self.preprocessing, BATCH_SIZE):
            self._engine = self._engine or self.engine(pixels, pictures=len(pixels))
            parts.append(self._engine(pixels))
        if not parts:
            return np.empty((0, len(self.classes_)), dtype=np.float32)
        return np.concatenate(parts)

    def score(self, pictures: Any, labels: ArrayLike | Sequence[str]) -> float:
        """The share of pictures whose most probable class is the label.

        Args:
            pictures: As for `predict_proba`.
            labels: Class names, shape (N,).

        Raises:
            DataError: If a label is none of the model's classes, or there are not as many labels
                as pictures.
        """
        predicted, truth = self.predict(pictures), np.asarray(labels, dtype=str)
        if truth.shape != predicted.shape or not len(truth):
            raise DataError(f"{len(predicted):,} pictures, but labels of shape {truth.shape}")
        unknown = sorted(set(truth.tolist()) - set(self.classes_.tolist()))
        if unknown:
            raise DataError(
                f"the model has no class {unknown[0]!r}: "
                f"{nearest(unknown[0], self.classes_.tolist())}"
            )
        return float((predicted == truth).mean())

    def engine(self, pixels: Pixels, pictures: int) -> Engine:
        """What answers fastest for so many pictures: PyTorch, or ONNX Runtime on CPUs.

        Args:
            pixels: A batch to measure with.
            pictures: How many there will be.
        """
        pipeline = self.bundle.pipeline()
        engine = TorchEngine(pipeline, self._device)
        if self._device.type != "cpu":
            return engine
        return faster_engine(engine, pipeline, self.folder, pixels, pictures)

    def __repr__(self) -> str:
        return f"Model({self.folder.name!r}, classes={self.classes_.tolist()!r})"


def load(folder: Path | str, *, device: DeviceName = "auto") -> Model:
    """Load a bundle that `headstart.fit` made.

    Hashes are checked, no code in the folder is run, and nothing is unpickled.

    Args:
        folder: The bundle.
        device: Where to answer; ``"auto"`` takes CUDA where there is one.

    Raises:
        NetworkError: If it is missing, damaged, changed, or made with versions that compute
            something else.
    """
    path = Path(folder).expanduser()
    bundle, _ = read_bundle(path)
    return Model(path, bundle, device)
