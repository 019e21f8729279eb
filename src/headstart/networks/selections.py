"""Selections: which of the body's parameters may learn, finer than a layer group.

BitFit trains the biases of a network (Ben-Zaken, Goldberg & Ravfogel 2022), others only what scales
and shifts its normalised features (Frankle, Schwab & Morcos 2021). The head is new, so all of it
always belongs to a selection.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from torch import nn

from headstart.networks.groups import HEAD, Network

Selection = Literal["everything", "norms_and_biases", "norms", "biases"]

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)


def selected(network: Network, selection: Selection) -> frozenset[str]:
    """The qualified names of the parameters of a selection.

    Args:
        network: Whose parameters.
        selection: ``"biases"``: every parameter called ``bias`` or ``…_bias``, those of
            normalisation included; ``"norms"``: all parameters of normalisation layers;
            ``"norms_and_biases"``: both; ``"everything"``.
    """
    if selection == "everything":
        return frozenset(name for name, _ in network.named_parameters())
    norms = {
        f"{name}.{own}"
        for name, module in network.named_modules()
        if is_norm(module)
        for own, _ in module.named_parameters(recurse=False)
    }
    takes_norms = selection in ("norms", "norms_and_biases")
    takes_biases = selection in ("biases", "norms_and_biases")
    return frozenset(
        name
        for name, _ in network.named_parameters()
        if network.group_of(name) == HEAD
        or (takes_norms and name in norms)
        or (takes_biases and _is_bias(name))
    )


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: PyTorch's own, what keeps running statistics, or a namesake.

    Libraries write normalisations of their own; those are known by their class's name, where their
    parameters are one number a channel.
    """
    if isinstance(module, _NORMS) or has_statistics(module):
        return True
    own = [parameter for _, parameter in module.named_parameters(recurse=False)]
    named = "norm" in type(module).__name__.casefold()
    return named and bool(own) and all(parameter.ndim == 1 for parameter in own)


def has_statistics(module: nn.Module) -> bool:
    """Whether a module keeps running statistics, as BatchNorm does in all its forms."""
    return any(name.startswith("running_") for name, _ in module.named_buffers(recurse=False))


def paced_statistics(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Those of some modules whose running statistics move by a momentum, as BatchNorm's do."""
    return (module for module in modules if has_statistics(module) and hasattr(module, "momentum"))


def _is_bias(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last == "bias" or last.endswith("_bias")
