"""Every kind of picture file against the pixels it was made from, and every kind of damage.

The pictures are made here, with Pillow, and by hand where Pillow cannot write what users have.
"""

import io
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from headstart.data.decode import (
    Opened,
    UnreadableError,
    decode,
    flatten,
    mislabelled,
    open_picture,
)
from headstart.data.entries import Limits
from headstart.data.transforms import Preprocessing

WIDTH, HEIGHT = 64, 48


def colours() -> NDArray[np.uint8]:
    """Smooth gradients, different in each channel and corner, which lossy formats keep well."""
    across, down = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    levels = np.stack([across, down, 1 - (across + down) / 2], axis=-1)
    return np.array(np.rint(30 + 200 * levels), dtype=np.uint8)


RGB = colours()
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened_pixels(data: bytes, channels: int = 3, **options: Any) -> NDArray[np.int64]:
    return np.asarray(open_picture(data, channels, **options).picture).astype(np.int64)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG from its filtered rows; Pillow cannot write 16-bit colour."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_16_bit(levels: NDArray[np.uint16], colour: int, *extra: bytes) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return png(levels.shape[1], levels.shape[0], 16, colour, rows, *extra)


LOSSLESS = {
    "png": saved(Image.fromarray(RGB), "PNG"),
    "webp": saved(Image.fromarray(RGB), "WEBP", lossless=True),
    "tiff": saved(Image.fromarray(RGB), "TIFF"),
    "tiff-lzw": saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"),
    "tiff-deflate": saved(Image.fromarray(RGB), "TIFF", compression="tiff_adobe_deflate"),
    "bmp": saved(Image.fromarray(RGB), "BMP"),
    "ppm": saved(Image.fromarray(RGB), "PPM"),
}
LOSSY = {
    "jpeg": saved(Image.fromarray(RGB), "JPEG", quality=95),
    "jpeg-progressive": saved(Image.fromarray(RGB), "JPEG", quality=95, progressive=True),
    "jpeg-cmyk": saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95),
    "webp-lossy": saved(Image.fromarray(RGB), "WEBP", quality=95),
    "tiff-jpeg": saved(Image.fromarray(RGB), "TIFF", compression="jpeg", quality=95),
    "gif": saved(Image.fromarray(RGB), "GIF"),
}
EVERY = {**LOSSLESS, **LOSSY}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    np.testing.assert_array_equal(opened_pixels(LOSSLESS[kind]), RGB)


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_give_nearly_the_same_pixels(kind: str) -> None:
    difference = np.abs(opened_pixels(LOSSY[kind]) - RGB)
    assert difference.mean() < 6, "a GIF has 256 colours; the others are nearer"


@pytest.mark.parametrize("kind", EVERY)
def test_one_channel_is_the_luma_of_three(kind: str) -> None:
    # ITU-R 601-2, as Pillow's documentation of convert states it.
    luma = opened_pixels(EVERY[kind]) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(opened_pixels(EVERY[kind], 1), luma, atol=1)


def test_cmyk_from_photoshop_is_stored_inverted() -> None:
    jpeg = LOSSY["jpeg-cmyk"]
    assert b"Adobe" in jpeg[:64]
    assert open_picture(jpeg).mode == "CMYK"
    # Without the marker browsers and Pillow take it for inverted all the same.
    marker = jpeg.index(b"\xff\xee")
    length = 2 + int.from_bytes(jpeg[marker + 2 : marker + 4], "big")
    unmarked = jpeg[:marker] + jpeg[marker + length :]
    np.testing.assert_array_equal(opened_pixels(unmarked), opened_pixels(jpeg))


def test_ycck_is_turned_into_the_colours_it_means() -> None:
    flat = Image.new("CMYK", (16, 16), (40, 120, 200, 30))
    jpeg = bytearray(saved(flat, "JPEG", quality=100, subsampling=0))
    jpeg[jpeg.index(b"Adobe") + 11] = 2  # the marker's byte for YCCK instead of CMYK
    # Stored are the inverted inks, now read as Y, Cb, Cr (ITU-R 601) and K.
    y, cb, cr, k = (255 - ink for ink in (40, 120, 200, 30))
    red = y + 1.402 * (cr - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    blue = y + 1.772 * (cb - 128)
    # libjpeg gives 255 - RGB as inverted inks, so the light left over is (255 - RGB) × K.
    light = np.clip(255 - np.array([red, green, blue]), 0, 255) * k / 255
    np.testing.assert_allclose(opened_pixels(bytes(jpeg))[8, 8], light, atol=3)


def test_grayscale_becomes_rgb_or_stays() -> None:
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "GIF"):
        data = saved(Image.fromarray(GREY), kind)
        three, one = opened_pixels(data), opened_pixels(data, 1)
        assert three.shape == (HEIGHT, WIDTH, 3)
        assert one.shape == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(three[..., 0], one)
        np.testing.assert_array_equal(three[..., 1], one)
        assert np.abs(one - GREY).mean() < 1.5


def test_black_and_white_bitmaps() -> None:
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        pixels = opened_pixels(saved(Image.fromarray(GREY).convert("1"), kind))
        assert set(np.unique(pixels)) == {0, 255}


def test_palette_with_and_without_transparency() -> None:
    indexed = Image.fromarray(RGB).quantize(64)
    plain = np.asarray(indexed.convert("RGB"))
    np.testing.assert_array_equal(opened_pixels(saved(indexed, "PNG")), plain)
    number = np.asarray(indexed)[0, 0]
    for kind in ("PNG", "GIF"):
        data = saved(indexed, kind, transparency=int(number))
        pixels = opened_pixels(data, background=(1, 2, 3))
        clear = np.asarray(indexed) == number
        assert (pixels[clear] == (1, 2, 3)).all()
        np.testing.assert_array_equal(pixels[~clear], plain[~clear])


def test_palette_with_an_alpha_for_each_colour() -> None:
    indexed = Image.fromarray(RGB).quantize(4)
    alphas = np.array([0, 85, 170, 255])
    data = saved(indexed, "PNG", transparency=bytes(alphas.tolist()))
    share = alphas[np.asarray(indexed)][..., np.newaxis] / 255
    expected = np.asarray(indexed.convert("RGB")) * share + 200 * (1 - share)
    np.testing.assert_allclose(opened_pixels(data, background=(200,) * 3), expected, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_the_background(kind: str) -> None:
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(np.dstack([RGB, alpha])), kind, **options)
    share = alpha[..., np.newaxis] / 255
    for background in ((255, 255, 255), (10, 200, 90)):
        expected = RGB * share + np.array(background) * (1 - share)
        np.testing.assert_allclose(opened_pixels(data, background=background), expected, atol=1)
    expected_grey = (RGB * share + 255 * (1 - share)) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(opened_pixels(data, 1), expected_grey, atol=2)


def test_the_background_is_white_unless_stated() -> None:
    clear = saved(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")
    assert (opened_pixels(clear) == 255).all()
    assert (decode(clear, Preprocessing(4, 4)).pixels == 255).all()
    assert (decode(clear, Preprocessing(4, 4, background=(9, 8, 7))).pixels == (9, 8, 7)).all()


def test_grey_with_alpha_and_a_transparent_grey() -> None:
    both = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (WIDTH, HEIGHT), 128)])
    expected = GREY * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(opened_pixels(saved(both, "PNG"), 1), expected, atol=1)
    keyed = saved(Image.fromarray(GREY), "PNG", transparency=int(GREY[0, 0]))
    assert (opened_pixels(keyed, 1)[np.equal(GREY, GREY[0, 0])] == 255).all()
    keyed = saved(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[5, 5])))
    assert (opened_pixels(keyed, background=(0, 0, 0))[5, 5] == 0).all()
    assert (opened_pixels(keyed, background=(0, 0, 0))[20, 20] == RGB[20, 20]).all()


SIXTEEN = np.linspace(0, 65535, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_grey_is_scaled_not_clipped(channels: int) -> None:
    tiff_big_endian = bytearray(saved(Image.fromarray(SIXTEEN), "TIFF", big_endian=True))
    for data in (
        png_16_bit(SIXTEEN, 0),
        saved(Image.fromarray(SIXTEEN), "PNG"),
        saved(Image.fromarray(SIXTEEN), "TIFF"),
        bytes(tiff_big_endian),
    ):
        pixels = opened_pixels(data, channels).reshape(HEIGHT, WIDTH, -1)[..., 0]
        np.testing.assert_array_equal(pixels, np.rint(SIXTEEN / 257))


def test_16_bit_colour_and_alpha_are_scaled() -> None:
    deep = RGB.astype(np.uint16) * 257
    np.testing.assert_allclose(opened_pixels(png_16_bit(deep, 2)), RGB, atol=1)
    half = np.full((HEIGHT, WIDTH, 1), 32768, dtype=np.uint16)
    expected = RGB / 2 + 255 / 2
    pixels = opened_pixels(png_16_bit(np.dstack([deep, half]), 6))
    np.testing.assert_allclose(pixels, expected, atol=2)


def test_16_bit_grey_with_a_transparent_level() -> None:
    key = int(SIXTEEN[3, 3])
    data = png_16_bit(SIXTEEN, 0, chunk(b"tRNS", struct.pack(">H", key)))
    pixels = opened_pixels(data, 1)
    assert pixels[3, 3] == 255
    assert pixels[3, 4] == round(SIXTEEN[3, 4] / 257)


def test_floats_in_0_to_1_are_scaled_and_others_refused() -> None:
    unit = (GREY / 255).astype(np.float32)
    pixels = opened_pixels(saved(Image.fromarray(unit), "TIFF"), 1)
    np.testing.assert_array_equal(pixels, GREY)
    for levels in (unit * 9, unit - 1, np.full_like(unit, np.nan)):
        with pytest.raises(UnreadableError, match="which level is white is not known"):
            open_picture(saved(Image.fromarray(levels), "TIFF"))
    with pytest.raises(UnreadableError, match="32-bit whole numbers from 0 to 70000"):
        open_picture(saved(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)), "TIFF"))


def test_lab_colours_are_refused_in_words() -> None:
    with pytest.raises(UnreadableError, match="save it as RGB"):
        flatten(Image.new("LAB", (2, 2)), 3, (255, 255, 255))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_many_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    opened = open_picture(data)
    assert opened.animated
    assert (np.asarray(opened.picture) == (255, 0, 0)).all()
    assert not open_picture(saved(frames[0], kind, **options)).animated


def test_a_second_picture_in_a_phones_jpeg_does_no_harm() -> None:
    first, second = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
    opened = open_picture(saved(first, "MPO", save_all=True, append_images=[second]))
    assert opened.format == "JPEG"
    np.testing.assert_allclose(np.asarray(opened.picture)[16, 16], (255, 0, 0), atol=3)


UPRIGHT_TO_STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown),
    7: lambda shown: np.rot90(shown, 2).transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""EXIF 2.3, tag 0x0112: 6 is to be turned by 90° clockwise to be upright, and so on."""


@pytest.mark.parametrize("orientation", UPRIGHT_TO_STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    stored = np.ascontiguousarray(UPRIGHT_TO_STORED[orientation](RGB))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    if kind == "JPEG":
        options = {"quality": 98, "subsampling": 0}
    pixels = opened_pixels(saved(Image.fromarray(stored), kind, exif=exif, **options))
    np.testing.assert_allclose(pixels, RGB, atol=6 if kind == "JPEG" else 0)


def test_damaged_exif_does_not_lose_the_picture() -> None:
    damaged = (b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"II*\0\xff\xff\xff\xff", b"garbage", b"MM")
    for kind in ("JPEG", "PNG", "WEBP"):
        for exif in damaged:
            data = saved(Image.fromarray(RGB), kind, exif=b"Exif\0\0" + exif)
            assert open_picture(data).picture.size == (WIDTH, HEIGHT)


def test_a_transparent_colour_survives_turning() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    keyed = Image.fromarray(np.rot90(RGB).copy())
    data = saved(keyed, "PNG", exif=exif, transparency=tuple(map(int, RGB[5, 5])))
    assert (opened_pixels(data, background=(0, 0, 0))[5, 5] == 0).all()


@pytest.mark.parametrize("kind", EVERY)
def test_a_file_cut_short_is_refused_never_filled_up(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another library in the process may have asked Pillow to fill up what is missing.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = EVERY[kind]
    for share in (0.02, 0.1, 0.5, 0.9):
        with pytest.raises(UnreadableError):
            open_picture(data[: int(len(data) * share)])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am a text\n" * 9, "not a picture of a kind that is read"),
        (b"\n<!DOCTYPE html><html>404</html>", "its content is a web page"),
        (b"%PDF-1.7 ...", "its content is a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "its content is an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "its content is a PostScript document"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic", "convert it to JPEG or PNG"),
        (LOSSLESS["png"][:33], "its header is damaged or cut short"),
        (LOSSLESS["png"][:100], "damaged or cut short"),
    ],
)
def test_the_reason_says_what_is_there_instead(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        open_picture(content)


@pytest.mark.parametrize("kind", ["PCX", "TGA", "ICO", "EPS", "SGI", "JPEG2000"])
def test_formats_beyond_the_usual_ones_are_not_even_tried(kind: str) -> None:
    with pytest.raises(UnreadableError, match="not a picture"):
        open_picture(saved(Image.fromarray(RGB), kind))


def test_a_decompression_bomb_is_refused_before_it_unfolds() -> None:
    for width, height in ((60_000, 60_000), (12_000, 12_000)):
        bomb = png(width, height, 8, 2, b"")
        with pytest.raises(UnreadableError, match="too large"):
            open_picture(bomb)
    with pytest.raises(UnreadableError, match=r"64 × 48 pixels, above the limit of 0 million"):
        open_picture(LOSSLESS["png"], limits=Limits(picture_pixels=3071))
    assert open_picture(LOSSLESS["png"], limits=Limits(picture_pixels=3072)).format == "PNG"


def test_a_thread_of_pixels_is_not_blown_up() -> None:
    thread = saved(Image.new("RGB", (30_000, 1)), "PNG")
    with pytest.raises(UnreadableError, match="too long and thin"):
        decode(thread, Preprocessing(224, 224))
    assert decode(thread, Preprocessing(224, 224, crop_mode="squash")).pixels.shape


def test_arrays_of_pixels_are_pictures_too() -> None:
    opened = open_picture(RGB)
    assert (opened.format, opened.mode) == ("array", "RGB")
    np.testing.assert_array_equal(np.asarray(opened.picture), RGB)
    np.testing.assert_array_equal(np.asarray(open_picture(GREY[..., np.newaxis], 1).picture), GREY)


def test_decoding_is_opening_and_preprocessing() -> None:
    preprocessing = Preprocessing(16, 20, 0.9)
    result = decode(LOSSLESS["tiff"], preprocessing)
    assert result.format == "TIFF"
    np.testing.assert_array_equal(result.pixels, preprocessing.apply(Image.fromarray(RGB)))


def test_mislabelled_files_are_told_by_their_content() -> None:
    assert mislabelled("a.jpg", "PNG")
    assert mislabelled("photos/a.PNG", "JPEG")
    for name, content in (
        *(("a.JPEG", "JPEG"), ("a.tif", "TIFF"), ("a", "PNG"), ("a.pgm", "PPM")),
        ("x[3]", "array"),
    ):
        assert not mislabelled(name, content)


def test_warnings_and_settings_of_the_process_are_left_as_they_were() -> None:
    before = (list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    opened: list[str] = []
    bomb = png(12_000, 12_000, 8, 2, b"")  # Pillow warns of it, which is an error in this test

    def open_all() -> None:
        for _ in range(10):
            opened.extend(open_picture(data).format for data in EVERY.values())
            try:
                open_picture(bomb)
            except UnreadableError as error:
                opened.append(str(error)[:9])

    threads = [threading.Thread(target=open_all) for _ in range(4)]
    pause = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they come between each other's lines
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(pause)
    assert len(opened) == 40 * (len(EVERY) + 1)
    assert opened.count("too large") == 40
    with pytest.raises(UnreadableError):
        open_picture(LOSSLESS["tiff-lzw"][:-5])
    after = (list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert after == before


def opened_or_refused(data: bytes) -> Opened | None:
    """What a load makes of a file: a picture or a reason, never another exception."""
    try:
        opened = open_picture(data, limits=Limits(picture_pixels=1_000_000))
    except UnreadableError:
        return None
    assert opened.picture.mode == "RGB"
    return opened


@settings(max_examples=150, deadline=2000)
@given(st.binary(max_size=300))
@example(b"\x89PNG\r\n\x1a\n")
@example(b"GIF89a")
@example(b"BM")
@example(b"P6 1 1 255 ")
@example(b"II*\0\x08\0\0\0")
def test_random_bytes_are_refused(data: bytes) -> None:
    opened_or_refused(data)


@settings(max_examples=400, deadline=2000)
@given(
    kind=st.sampled_from(sorted(EVERY)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    length=st.integers(20, 2000),
)
def test_damaged_pictures_are_opened_or_refused(
    kind: str, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(EVERY[kind][:length])
    for position, value in changes:
        data[position % len(data)] = value
    opened_or_refused(bytes(data))
