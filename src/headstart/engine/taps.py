"""Where a body is tapped: at every cut that says something new."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.engine.cuts import Cut, Cuts, find_cuts
from headstart.errors import StudyError
from headstart.networks.groups import HEAD, Network
from headstart.networks.taps import Tap, Tapping
from headstart.training.evaluate import evaluating

_INSTEAD = "use `probe`, which sees the same"
_ROUNDING = 1e-5  # of numbers up to 1


def find_taps(
    network: Network, tapping: Tapping, picture_shape: tuple[int, int, int]
) -> tuple[Tap, ...]:
    """The taps of a network, stem first: its cuts, but for those that add nothing.

    Left out are cuts before which nothing was computed, and those of which a tap gives the same
    numbers as of the next one (in front of a dropout, of a flattening, of a pooling). Maps are
    averaged over windows, as fine as leaves `numbers`; the last tap gives what the body puts out,
    as it is: what a probe sees.

    Args:
        network: On any device; left as it is.
        tapping: How much a tap gives.
        picture_shape: Height, width, channels.

    Raises:
        StudyError: If there are not two places to tap.
    """
    cuts = find_cuts(network, picture_shape)
    if not cuts.traced:
        raise StudyError(
            f"the network could not be followed step by step ({cuts.reason}), so there is no place "
            f"to tap but the end of its body: {_INSTEAD}"
        )
    taps = _new_taps(network, cuts, tapping, _noise(network, picture_shape))
    if len(taps) < 2:
        only = taps[0].name if taps else "none"
        raise StudyError(f"the body has one place to tap ({only}), its end: {_INSTEAD}")
    return taps


def _new_taps(network: Network, cuts: Cuts, tapping: Tapping, pictures: Tensor) -> tuple[Tap, ...]:
    """The taps, told apart by what they give of some pictures."""
    maps_last = any(getattr(e, "output_fmt", "NCHW") == "NHWC" for e in network.body.modules())
    found: list[_Found] = []
    end, raw = found, torch.zeros(0)
    with evaluating(network), torch.inference_mode(mode=False), torch.no_grad():
        for cut, value in cuts.values(network, pictures):
            if cut.group == HEAD or not cut.flops:
                continue
            flat = value.flatten(1).clone()
            whole = Tap(name=cut.name, numbers=flat.shape[1])
            end = [_Found(whole, whole.of(value), flat.shape[1])]
            if not torch.equal(raw, flat):
                tap = _tap(cut, tapping.numbers, maps_last=maps_last)
                found = _with(found, _Found(tap, tap.of(value), flat.shape[1]))
            raw = flat
    return tuple(each.tap for each in _with(found[:-1], *end)) if end else ()


@dataclass(frozen=True)
class _Found:
    """A tap, what it gives, and how many numbers lie at its place."""

    tap: Tap
    told: Tensor
    numbers: int


def _with(found: list[_Found], more: _Found) -> list[_Found]:
    """One tap more, in the place of the one before where that gives the same of a larger map.

    Of maps of one size both stay: a norm that has learned nothing yet changes nothing, either.
    """
    last = found[-1] if found else None
    if last and last.numbers > more.numbers and last.told.shape == more.told.shape:
        same = torch.allclose(last.told, more.told, rtol=0, atol=_ROUNDING)
        found = found[:-1] if same else found
    return [*found, more]


def _noise(network: Network, picture_shape: tuple[int, int, int]) -> Tensor:
    height, width, channels = picture_shape
    noise = torch.rand((2, channels, height, width), generator=torch.Generator().manual_seed(0))
    return noise.to(next(iter(network.parameters())).device)


def _tap(cut: Cut, numbers: int, *, maps_last: bool) -> Tap:
    """A tap that averages a map, or tokens, over windows; a row of numbers is taken as it is.

    Windows cover the map, and are of one size, so they overlap where it cannot be divided.
    """
    shape = cut.shape
    if len(shape) not in (2, 3):
        return Tap(name=cut.name, numbers=math.prod(shape))
    channels_last = maps_last or len(shape) == 2  # tokens are
    channels, edges = (shape[-1], shape[:-1]) if channels_last else (shape[0], shape[1:])
    most = max(1, math.floor((numbers / channels) ** (1 / len(edges)) + _ROUNDING))
    counts = [min(edge, most) for edge in edges]
    step = tuple(edge // count for edge, count in zip(edges, counts, strict=True))
    window = tuple(
        edge - (count - 1) * each for edge, count, each in zip(edges, counts, step, strict=True)
    )
    if max(window) == 1 and not channels_last:
        window = step = ()
    return Tap(
        name=cut.name,
        window=window,
        step=step,
        channels_last=channels_last,
        numbers=channels * math.prod(counts),
    )
