"""Torch modules for Keras layers that have no exact counterpart in torch.

Pictures are (N, C, H, W) here and (N, H, W, C) in Keras; vectors are (N, F) in both. Each module
gives the numbers that TensorFlow gives, `padding="same"` included:
https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
"""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution or a pooling, each pair as (height, width)."""

    kernel: Pair
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)


def pad_same(pictures: Tensor, window: Window, value: float) -> Tensor:
    """Pad as TensorFlow does for ``padding="same"``: the odd pixel goes to the bottom and right.

    Args:
        pictures: Shape (N, C, H, W).
        window: What will slide over the padded pictures.
        value: What to pad with.

    Returns:
        Pictures on which the window stops ceil(H / stride) × ceil(W / stride) times.
    """
    pads: list[int] = []
    for axis in (1, 0):  # functional.pad wants the last axis first
        size, stride = pictures.shape[2 + axis], window.strides[axis]
        reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(pictures, pads, value=value)


# The padding depends on the size of the picture, which torch.fx cannot know: keep it one node.
torch.fx.wrap("pad_same")


class SamePadding(nn.Module):
    """`pad_same` as a module."""

    def __init__(self, window: Window, value: float = 0.0) -> None:
        super().__init__()
        self.window = window
        self.value = value

    def forward(self, pictures: Tensor) -> Tensor:
        """Pad pictures, shape (N, C, H, W)."""
        return pad_same(pictures, self.window, self.value)


class SameAveragePool(nn.Module):
    """Average pooling with ``padding="same"``: the padding does not count in the mean.

    This is TensorFlow's and JAX's. Keras' torch backend (3.15) repeats the edge pixels instead
    where one side is padded more than the other.
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, pictures: Tensor) -> Tensor:
        """Pool pictures, shape (N, C, H, W)."""
        kernel, strides = self.window.kernel, self.window.strides
        means = functional.avg_pool2d(pad_same(pictures, self.window, 0.0), kernel, strides)
        ones = torch.ones_like(pictures[:1, :1])
        shares = functional.avg_pool2d(pad_same(ones, self.window, 0.0), kernel, strides)
        return means / shares


class GlobalPool(nn.Module):
    """The mean or the maximum over height and width."""

    def __init__(self, reduce: Literal["mean", "max"], keep_axes: bool) -> None:
        super().__init__()
        self.reduce = reduce
        self.keep_axes = keep_axes

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, C, H, W) → (N, C), or (N, C, 1, 1) where the axes are kept."""
        if self.reduce == "mean":
            return pictures.mean((2, 3), keepdim=self.keep_axes)
        return pictures.amax((2, 3), keepdim=self.keep_axes)


class ChannelsLastFlatten(nn.Module):
    """Flatten with the channels running fastest, as Keras does.

    A `Dense` after it therefore keeps its weights in the file's order.
    """

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, C, H, W) → (N, H·W·C)."""
        return pictures.permute(0, 2, 3, 1).flatten(1)


class ChannelsLastReshape(nn.Module):
    """Reshape in Keras' channels-last order.

    Attributes:
        target: (F,), (H, W) or (H, W, C); (H, W) is kept as one channel, (N, 1, H, W).
    """

    def __init__(self, target: tuple[int, ...]) -> None:
        super().__init__()
        self.target = target

    def forward(self, values: Tensor) -> Tensor:
        """Reshape vectors (N, F) or pictures (N, C, H, W) to the target."""
        if values.dim() == 4:
            values = values.permute(0, 2, 3, 1)
        if len(self.target) == 1:
            return values.reshape(-1, *self.target)
        height, width, channels = (*self.target, 1)[:3]
        return values.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


class Rescaling(nn.Module):
    """``values · scale + offset``, both broadcast; neither learns."""

    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, values: Tensor) -> Tensor:
        """Rescale values of any shape that `scale` broadcasts to."""
        return values * self.scale + self.offset


class Normalization(nn.Module):
    """``(values - mean) / max(√variance, 1e-7)``, or its inverse; neither learns."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, variance: Tensor, invert: bool) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", variance.sqrt().clamp(min=1e-7))
        self.invert = invert

    def forward(self, values: Tensor) -> Tensor:
        """Normalise values of any shape that `mean` broadcasts to."""
        if self.invert:
            return values * self.deviation + self.mean
        return (values - self.mean) / self.deviation


class ChannelPReLU(nn.Module):
    """``max(values, 0) + weight · min(values, 0)`` with one learnt slope for each place kept."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, values: Tensor) -> Tensor:
        """Apply to values of any shape that `weight` broadcasts to."""
        return values.clamp(min=0) + self.weight * values.clamp(max=0)


class BoundedReLU(nn.Module):
    """Keras' ReLU layer with all its settings.

    ``maximum`` above `maximum`, ``x`` down to `threshold`, ``slope · (x - threshold)`` below.
    """

    def __init__(self, maximum: float | None, slope: float, threshold: float) -> None:
        super().__init__()
        self.maximum = maximum
        self.slope = slope
        self.threshold = threshold

    def forward(self, values: Tensor) -> Tensor:
        """Apply to values of any shape."""
        below = self.slope * (values - self.threshold)
        result = torch.where(values > self.threshold, values, below)
        return result if self.maximum is None else result.clamp(max=self.maximum)


class Exponential(nn.Module):
    """``exp(x)``."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply to values of any shape."""
        return values.exp()


class HardSigmoid2(nn.Module):
    """Keras 2's hard sigmoid, ``clip(0.2 x + 0.5, 0, 1)``; Keras 3 and torch use ``x / 6``."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply to values of any shape."""
        return (0.2 * values + 0.5).clamp(0.0, 1.0)


def _average(*values: Tensor) -> Tensor:
    total: Tensor = functools.reduce(operator.add, values)
    return total / len(values)


MERGES: Mapping[str, Callable[..., Tensor]] = {
    "Add": lambda *values: functools.reduce(operator.add, values),
    "Average": _average,
    "Concatenate": lambda *values: torch.cat(values, 1),
    "Maximum": lambda *values: functools.reduce(torch.maximum, values),
    "Minimum": lambda *values: functools.reduce(torch.minimum, values),
    "Multiply": lambda *values: functools.reduce(operator.mul, values),
    "Subtract": operator.sub,
}


class Merge(nn.Module):
    """One of `MERGES`; `Concatenate` joins channels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *values: Tensor) -> Tensor:
        """Merge tensors of shapes that broadcast."""
        return MERGES[self.kind](*values)


@dataclass(frozen=True)
class Step:
    """One evaluation inside a `LayerGraph`.

    Attributes:
        module: The name of the module that is called.
        inputs: The values that it gets; 0 is the picture.
        output: The value that it makes.
    """

    module: str
    inputs: tuple[int, ...]
    output: int


class LayerGraph(nn.Module):
    """Named modules evaluated as a directed acyclic graph.

    Attributes:
        steps: In an order in which every value is made before it is used.
    """

    def __init__(self, modules: Mapping[str, nn.Module], steps: Sequence[Step]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.steps = tuple(steps)
        last_use = {value: place for place, step in enumerate(self.steps) for value in step.inputs}
        self._spent = [
            [value for value in set(step.inputs) if last_use[value] == place]
            for place, step in enumerate(self.steps)
        ]

    def forward(self, pictures: Tensor) -> Tensor:
        """The last step's value for pictures, shape (N, C, H, W)."""
        values = {0: pictures}
        result = pictures
        for step, spent in zip(self.steps, self._spent, strict=True):
            result = self.get_submodule(step.module)(*(values[value] for value in step.inputs))
            values[step.output] = result
            for value in spent:  # what nobody reads again need not stay in memory
                del values[value]
        return result
