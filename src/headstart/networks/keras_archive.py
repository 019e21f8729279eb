"""What lies in a Keras file, read as data alone: JSON and plain HDF5 arrays.

Nothing here runs code, follows a link out of the file, unpacks to disk, or takes more memory for
arrays than the file has bytes. What HDF5's own C library does with a file made to break it is
beyond this module.

Two containers exist, HDF5 (``.h5``, and ``.keras`` up to Keras 2.12) and zip (``.keras`` since),
which the first bytes tell apart, not the name.
"""

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import NetworkError

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_LARGEST_TEXT = 16 * 2**20  # the largest of Keras' own applications has 2
_LARGEST_SHRINKAGE = 20  # weights hardly compress; a bomb does, a thousandfold
_MOST_PIECES, _MOST_NAMES = 1_000, 20_000
_ARCHITECTURE, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_SAVE_AGAIN = "copy the file again, or save the model again with model.save('model.keras')"


class ArrayStore:
    """The arrays of an open HDF5 file, reached by hard links alone."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._unread = size  # arrays may share bytes; together they may not hold more than these

    def has(self, path: str) -> bool:
        """Whether there is something at a path."""
        return self._find(path) is not None

    def text(self, path: str, attribute: str) -> str | None:
        """An attribute as text, or None where there is none."""
        with _damage_told():
            attributes = self._at(path).attrs
            found = self._strings(attributes, attribute) if attribute in attributes else []
            return found[0] if found else None

    def names(self, path: str, attribute: str) -> list[str] | None:
        """An attribute that lists strings, or None where there is none.

        Keras cuts long lists into pieces, ``layer_names0``, ``layer_names1`` …
        """
        with _damage_told():
            attributes = self._at(path).attrs
            if attribute in attributes:
                return self._strings(attributes, attribute)
            pieces = (f"{attribute}{place}" for place in range(_MOST_PIECES))
            there = [piece for piece in pieces if piece in attributes]
            names = [name for piece in there for name in self._strings(attributes, piece)]
            return names if there else None

    def shape(self, path: str) -> tuple[int, ...]:
        """The shape of an array."""
        with _damage_told():
            return tuple(getattr(self._at(path), "shape", None) or ())

    def read(self, path: str) -> NDArray[np.float32]:
        """An array of floating-point numbers.

        Raises:
            NetworkError: If it is missing, no plain array, or claims more than the file holds.
        """
        with _damage_told():
            found = self._at(path)
            self._check_plain(found, path)
            self._unread -= found.nbytes
            if self._unread < 0:
                raise NetworkError(f"its arrays claim more bytes than the file has: {_SAVE_AGAIN}")
            return np.asarray(found[()], dtype=np.float32)

    def _check_plain(self, found: Any, path: str) -> None:
        """Refuse anything but float numbers that lie in this very file in full."""
        import h5py

        kind = found.dtype if isinstance(found, h5py.Dataset) else "no array"
        if kind not in ("float16", "float32", "float64"):
            raise NetworkError(
                f"{path!r} is {kind}, and arrays of 16, 32 or 64 bit floating-point"
                " numbers are read: save the model in float32"
            )
        filtered = found.id.get_create_plist().get_nfilters()
        inside = not (found.external or found.is_virtual or filtered)
        if not inside or found.id.get_storage_size() != found.nbytes:
            raise NetworkError(
                f"{path!r} is not stored as a plain array of shape {found.shape}"
                f" inside the file, as Keras does: {_SAVE_AGAIN}"
            )

    def _strings(self, attributes: Any, name: str) -> list[str]:
        """An attribute's strings, once it is sure that they are some: HDF5 trusts what it reads."""
        import h5py

        attribute = attributes.get_id(name)
        size = 0 if attribute.shape is None else math.prod(attribute.shape)
        if size == 0:
            return []
        # Many names may all point at one long text, so their number is limited.
        if size > _MOST_NAMES or not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
            raise NetworkError(f"the attribute {name!r} is not as Keras writes it: {_SAVE_AGAIN}")
        return [_text(one) for one in np.atleast_1d(attributes[name])]

    def _at(self, path: str) -> Any:
        found = self._find(path)
        if found is None:
            raise NetworkError(
                f"there is no {path!r} in the file, which its architecture asks for: {_SAVE_AGAIN}"
            )
        return found

    def _find(self, path: str) -> Any:
        """The object at a path, or None."""
        import h5py

        found: Any = self._file
        for part in filter(None, path.split("/")):
            with _damage_told():
                inside = isinstance(found, h5py.Group)
                link = found.get(part, getlink=True) if inside else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise NetworkError(
                        f"{path!r} is a link that may lead out of the file, which"
                        f" Keras never writes: {_SAVE_AGAIN}"
                    )
                found = found[part]
        return found


@dataclass(frozen=True)
class KerasFile:
    """An open Keras file.

    Attributes:
        architecture: Its JSON; None where the file holds weights alone.
        version: Of the Keras that wrote it; None where the file does not say.
        store: Its arrays.
        zipped: Whether it is a zip, in which arrays lie by layer class and not by layer name.
        sha256: Of the whole file, in hex.
    """

    architecture: Mapping[str, Any] | None
    version: str | None
    store: ArrayStore
    zipped: bool
    sha256: str


@contextmanager
def open_keras(path: Path) -> Iterator[KerasFile]:
    """Open a ``.keras`` or ``.h5`` file; it is closed again at the end of the block.

    Raises:
        NetworkError: If there is no such file, h5py is missing, or the file is not Keras', is
            damaged, or is made to harm.
    """
    _check_path(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        start = file.read(8)
    with _damage_told():
        if start.startswith(_ZIP):
            data = _members(path)
            hdf5, size = _hdf5(io.BytesIO(data[_WEIGHTS])), len(data[_WEIGHTS])
        elif start == _HDF5:
            data = {}
            hdf5, size = _hdf5(path), path.stat().st_size
        else:
            raise ValueError("it starts neither as HDF5 nor as zip")
    with hdf5:
        store = ArrayStore(hdf5, size)
        if data:
            text: str | bytes | None = data[_ARCHITECTURE]
            version = _json(data[_METADATA]).get("keras_version")
        else:
            text, version = _inside(store, "model_config"), _inside(store, "keras_version")
        architecture = None if text is None else _json(text)
        known = version if isinstance(version, str) else None
        yield KerasFile(architecture, known, store, bool(data), sha256)


def _check_path(path: Path) -> None:
    """Refuse what is no file, and say what to do with a TensorFlow folder."""
    if path.is_dir():
        saved_model = any(
            (path / name).exists() for name in ("saved_model.pb", "keras_metadata.pb")
        )
        what = "is a TensorFlow SavedModel folder" if saved_model else "is a folder"
        raise NetworkError(
            f"this {what}, and a .keras or .h5 file was expected: load it where it was saved"
            " and save it as one file, tf.keras.models.load_model(folder).save('model.keras')"
        )
    if not path.is_file():
        raise NetworkError("there is no such file: check the spelling and the folder")
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise NetworkError(
            "Keras files are read with h5py, which is not installed: pip install h5py"
        ) from None


def _hdf5(source: Path | io.BytesIO) -> Any:
    import h5py

    return h5py.File(source, "r")


def _inside(store: ArrayStore, attribute: str) -> str | None:
    """An attribute of an HDF5 file, which Keras versions hang in two places."""
    weights = store.text("model_weights", attribute) if store.has("model_weights") else None
    return store.text("", attribute) or weights


def _members(path: Path) -> dict[str, bytes]:
    """The three members of a ``.keras`` zip, in memory.

    Raises:
        NetworkError: If one is missing, or the zip is made to harm.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        for member in members:
            _check_member(member)
        if len(set(names)) != len(names):
            raise NetworkError(f"the zip holds a name twice: {_SAVE_AGAIN}")
        missing = [one for one in (_ARCHITECTURE, _METADATA, _WEIGHTS) if one not in names]
        if missing:
            raise NetworkError(
                f"the zip lacks {', '.join(missing)} (found {', '.join(names[:8])}):"
                " save the whole model in one piece, with h5py installed,"
                " model.save('model.keras')"
            )
        return {name: archive.read(name) for name in (_ARCHITECTURE, _METADATA, _WEIGHTS)}


def _check_member(member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in member.filename:
        raise NetworkError(
            f"the zip holds {member.filename!r}, a path that leads out of it, which"
            f" Keras never writes: {_SAVE_AGAIN}"
        )
    text = member.filename in (_ARCHITECTURE, _METADATA)
    swollen = member.file_size > _LARGEST_SHRINKAGE * (member.compress_size + 2**16)
    if swollen or (text and member.file_size > _LARGEST_TEXT):
        raise NetworkError(
            f"{member.filename!r} would take {member.file_size:,} bytes, from"
            f" {member.compress_size:,} in the zip: this is not a file that Keras wrote"
        )


def _json(text: str | bytes) -> Mapping[str, Any]:
    with _damage_told():
        if len(text) > _LARGEST_TEXT:
            raise ValueError(f"its JSON is longer than {_LARGEST_TEXT:,}")
        found = json.loads(text)
        if not isinstance(found, Mapping):
            raise ValueError("its JSON is no object")
        return found


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, str):
        return str(value)  # NumPy has strings of its own
    raise ValueError(f"text was expected, found {type(value).__name__}")


@contextmanager
def _damage_told() -> Iterator[None]:
    """Errors of h5py, zipfile and json, told as what they mean for the file."""
    try:
        yield
    except (
        OSError,
        EOFError,
        KeyError,
        RuntimeError,  # RecursionError and NotImplementedError too
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise NetworkError(
            "this cannot be read as a Keras file, it is damaged, incomplete or of another"
            f" kind ({error}): {_SAVE_AGAIN}"
        ) from error
