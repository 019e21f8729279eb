"""Shapes and windows of Keras layers: how large what goes in and what comes out is.

Shapes are Keras' own, without the batch: ``(F,)`` a vector, ``(H, W)`` a picture that has no
channel axis, ``(H, W, C)`` a picture; H and W are None where the file leaves them open. In torch
they are (N, F), (N, 1, H, W) and (N, C, H, W).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.networks.keras_modules import Pair, SamePadding, Window
from headstart.networks.keras_options import LayerOptions

Shape = tuple[int | None, ...]
Parts = tuple[tuple[str, nn.Module], ...]


@dataclass(frozen=True)
class Translation:
    """What became of one layer.

    Attributes:
        modules: To be applied one after the other; the name says what each adds to the layer's
            own name, and is empty for the layer itself.
        shape: Of what comes out.
    """

    modules: Parts
    shape: Shape


def picture(options: LayerOptions, shape: Shape) -> tuple[int | None, int | None, int]:
    """Height, width and channels of an input that must be a picture.

    Raises:
        NetworkError: If it is none, or its channels come first.
    """
    options.channels_last()
    if len(shape) != 3 or shape[2] is None:
        raise options.refusal(f"takes pictures of (height, width, channels), found shape {shape}")
    return shape[0], shape[1], shape[2]


def window(options: LayerOptions) -> Window:
    """The window of a convolution.

    Raises:
        NetworkError: If it is both dilated and strided, which Keras does not take either.
    """
    found = Window(
        options.pair("kernel_size"), options.pair("strides", 1), options.pair("dilation_rate", 1)
    )
    if max(found.strides) > 1 and max(found.dilation) > 1:
        raise options.refusal("strides and dilation_rate must not both be above 1")
    return found


def slide(options: LayerOptions, over: Window, sizes: Sequence[int | None]) -> Shape:
    """Height and width after a window went over a picture.

    Raises:
        NetworkError: If the window does not fit into the picture.
    """
    same = options.choice("padding", "valid", ("valid", "same")) == "same"
    slid: list[int | None] = []
    for axis, size in enumerate(sizes):
        reach = (over.kernel[axis] - 1) * over.dilation[axis] + 1
        if size is None:
            slid.append(None)
        elif same:
            slid.append(-(-size // over.strides[axis]))
        elif size < reach:
            raise options.refusal(f"a window of {reach} does not fit into a picture of {size}")
        else:
            slid.append((size - reach) // over.strides[axis] + 1)
    return tuple(slid)


def padding(options: LayerOptions, before: Window) -> tuple[Parts, Pair]:
    """How to pad before a convolution: by a module, or by what the convolution itself can do."""
    if options.raw("padding", "valid") == "valid" or before.kernel == (1, 1):
        return (), (0, 0)
    height, width = ((k - 1) * d for k, d in zip(before.kernel, before.dilation, strict=True))
    if before.strides == (1, 1) and height % 2 == width % 2 == 0:
        return (), (height // 2, width // 2)
    return (("pad", SamePadding(before)),), (0, 0)
