"""One picture file → pixels, whatever its format, mode and state.

Files are untrusted: only formats whose decoders are libraries linked into Pillow are tried (never
EPS, which starts Ghostscript), sizes are looked at before pixels are made, and whatever goes wrong
comes back as one `UnreadableError` with a reason that a user can act on.

Colours: alpha is laid over a stated background, CMYK in a JPEG is taken as stored inverted (as
Photoshop, browsers and Pillow do), 16-bit levels are divided by 257, embedded colour profiles are
not applied (as timm and torchvision do not). Of several frames or pages the first is taken.
"""

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from headstart.data.entries import USUAL_LIMITS, Limits, starts_like_picture, suffix_of
from headstart.data.transforms import Preprocessing

DECODER_VERSION = 1
"""To be raised whenever a change here alters pixels, so that kept pictures are decoded again."""

Payload = bytes | NDArray[np.uint8]
"""A picture file's content, or a picture of shape (height, width, channels)."""
Colour = tuple[int, int, int]

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_FORMAT_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png", ".apng"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
}
_OTHER_CONTENT = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document or SVG drawing"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


class UnreadableError(Exception):
    """A picture that cannot be used; the message is the reason.

    Attributes:
        lasting: Whether the same content would fail again; not so if it could not be read.
    """

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        self.lasting = lasting
        super().__init__(reason)


@dataclass(frozen=True)
class Opened:
    """A picture, upright and opaque, and what its file was.

    Attributes:
        picture: Mode ``RGB`` or ``L``.
        format: The content's format by Pillow's name, ``"array"`` for an array.
        mode: The mode it was stored in, for example ``"CMYK"`` or ``"I;16"``.
        animated: Whether there were more frames than the one taken.
    """

    picture: Image.Image
    format: str
    mode: str
    animated: bool = False


@dataclass(frozen=True)
class Decoded:
    """A picture, ready for a network.

    Attributes:
        pixels: Shape (height, width, channels), uint8.
        format: As in `Opened`.
    """

    pixels: NDArray[np.uint8]
    format: str


def decode(
    payload: Payload, preprocessing: Preprocessing, limits: Limits = USUAL_LIMITS
) -> Decoded:
    """The pixels of one picture, resized and cropped. Safe to call from many threads.

    Raises:
        UnreadableError: If the picture cannot be used, with the reason.
    """
    opened = open_picture(
        payload, preprocessing.channels, background=preprocessing.background, limits=limits
    )
    size, _ = preprocessing.geometry(*opened.picture.size)
    if size[0] * size[1] > limits.picture_pixels:
        raise UnreadableError(
            f"{opened.picture.width} × {opened.picture.height} pixels is too long and thin: "
            f"resized it would have {size[0]} × {size[1]}"
        )
    return Decoded(preprocessing.apply(opened.picture), opened.format)


def open_picture(
    payload: Payload,
    channels: int = 3,
    *,
    background: Colour = (255, 255, 255),
    limits: Limits = USUAL_LIMITS,
) -> Opened:
    """One picture at its own size, upright, opaque, in 8 bits. Safe to call from many threads.

    Args:
        payload: The file's bytes, or an array (height, width, 1 or 3) of uint8.
        channels: 3 for RGB, 1 for grayscale.
        background: RGB in 0–255 that transparency is laid over.
        limits: What is refused for its size.

    Raises:
        UnreadableError: If the picture cannot be used, with the reason.
    """
    if not isinstance(payload, bytes):
        shown = Image.fromarray(payload[..., 0] if payload.shape[-1] == 1 else payload)
        return Opened(flatten(shown, channels, background), "array", shown.mode)
    if not payload:
        raise UnreadableError("empty file")
    try:
        with _quiet_pillow():
            return _open_bytes(payload, channels, background, limits)
    except UnreadableError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableError("too large, possibly a decompression bomb") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(_unidentified(payload)) from error
    except MemoryError as error:
        raise UnreadableError("too large for this machine's memory", lasting=False) from error
    # Pillow's decoders raise nearly everything on damaged files (OSError, SyntaxError, ValueError,
    # struct.error, KeyError, zlib.error …), and one bad file must never end a whole load.
    except Exception as error:
        raise UnreadableError(f"damaged or cut short: {_reason(error)}") from error


def flatten(picture: Image.Image, channels: int, background: Colour) -> Image.Image:
    """A picture of any mode as opaque RGB (3 channels) or grayscale (1 channel), 8 bits a level.

    Raises:
        UnreadableError: If its levels cannot be told (32-bit whole numbers, floats beyond [0, 1]).
    """
    mode = "L" if channels == 1 else "RGB"
    if picture.mode == "LAB":
        raise UnreadableError("L*a*b* colours are not read: save it as RGB")
    if picture.mode.startswith("I;16"):
        picture = _from_16_bit(picture)
    elif picture.mode in ("I", "F"):
        picture = _from_32_bit(picture)
    if _is_transparent(picture):
        rgba = picture.convert("RGBA")
        base = Image.new("RGBA", rgba.size, (*background, 255))
        return Image.alpha_composite(base, rgba).convert("RGB").convert(mode)
    if picture.mode == mode:
        return picture
    if picture.mode in ("1", "L"):
        return picture.convert(mode)
    return picture.convert("RGB").convert(mode)


def mislabelled(name: str, content: str) -> bool:
    """Whether a file name's suffix promises another format than its content has.

    Args:
        name: The file's name; one without a known suffix promises nothing.
        content: The content's format, as in `Opened`.
    """
    suffix = suffix_of(name)
    promised = {kind for kind, suffixes in _FORMAT_SUFFIXES.items() if suffix in suffixes}
    return bool(promised) and content not in promised and content != "array"


def _open_bytes(data: bytes, channels: int, background: Colour, limits: Limits) -> Opened:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        width, height = picture.size
        if width * height > limits.picture_pixels:
            raise UnreadableError(
                f"too large: {width} × {height} pixels, above the limit of "
                f"{limits.picture_pixels / 1e6:.0f} million (possibly a decompression bomb)"
            )
        # Of a JPEG with further pictures behind it (MPO, from phones), the first is a plain JPEG.
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        stored_mode, animated = picture.mode, bool(getattr(picture, "is_animated", False))
        picture.load()
        return Opened(flatten(_upright(picture), channels, background), kind, stored_mode, animated)


def _upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says, if that is there and undamaged."""
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    # Damaged EXIF raises nearly everything; the pixels are good all the same.
    except Exception:
        return picture
    return picture if turn is None else picture.transpose(turn)


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def _from_16_bit(picture: Image.Image) -> Image.Image:
    """Levels 0–65535 as 0–255, a transparent level as alpha."""
    levels = np.asarray(picture).astype(np.uint32)
    grey = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    key = picture.info.get("transparency")
    if key is None:
        return grey
    grey.putalpha(Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8)))
    return grey


def _from_32_bit(picture: Image.Image) -> Image.Image:
    """Floats in [0, 1] as 0–255; what has no known white point is refused rather than guessed."""
    levels = np.asarray(picture)
    low, high = float(levels.min()), float(levels.max())
    if picture.mode == "F" and low >= 0 and high <= 1:
        return Image.fromarray(np.rint(levels * 255).astype(np.uint8))
    kind = "floats" if picture.mode == "F" else "32-bit whole numbers"
    raise UnreadableError(
        f"{kind} from {low:g} to {high:g}: which level is white is not known; save it with 8 or "
        "16 bits"
    )


def _unidentified(data: bytes) -> str:
    """Why content is no picture, as far as its first bytes tell."""
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, meaning in _OTHER_CONTENT:
        if start.startswith(signature.lower()):
            return f"not a picture: its content is {meaning}"
    if data[4:8] == b"ftyp":
        return "HEIF, AVIF or video content, which is not read: convert it to JPEG or PNG"
    if starts_like_picture(data[:16]):
        return "its header is damaged or cut short"
    return "not a picture of a kind that is read"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__


class _Hush:
    """Keeps Pillow from warning, and from filling up truncated pictures, while anybody decodes.

    Both are settings of the whole process. Threads that decode at the same time share them: the
    first in sets them, the last out restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo: Callable[[], None] = lambda: None

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                muted = warnings.catch_warnings()
                muted.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                filled = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False

                def undo() -> None:
                    ImageFile.LOAD_TRUNCATED_IMAGES = filled
                    muted.__exit__(None, None, None)

                self._undo = undo
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._undo()


_hush = _Hush()


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    _hush.enter()
    try:
        yield
    finally:
        _hush.leave()
