"""Low-rank adapters (LoRA) in a body: put in for a phase, and merged into its weights after it.

Hu et al. 2022, *LoRA: low-rank adaptation of large language models*: W + (α/r) · B·A, of which only
A and B learn. The adapters are those of the package peft, which is only loaded where it is used.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import HEAD, Network
from headstart.networks.torchvision_guard import make_torchvision_importable
from headstart.settings import Count, Number, Settings

MISSING_EXTRA = "lora needs the package peft, which is not installed: pip install 'headstart[lora]'"

_ATTENTION = re.compile(r"(qkv|[qkv]|[qkv]_proj|query|key|value)")


Layers = dict[str, nn.Linear | nn.Conv2d]


class LowRank(Settings):
    """What adapters are put in.

    Attributes:
        rank: r, the rank of each change.
        alpha: α in the scale α/r.
        dropout: Share of an adapter's inputs that are dropped while training.
        targets: ``"attention"``: the projections to queries, keys and values; ``"all"``: every
            dense layer and convolution of the body; ``"auto"``: attention where there is any, else
            all.
    """

    rank: Count = 8
    alpha: Count = 16
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    targets: Literal["auto", "attention", "all"] = "auto"


def adapter_targets(network: Network, low_rank: LowRank) -> Layers:
    """The layers of the body that get adapters, by qualified name.

    Convolutions in groups (depthwise ones) are left as they are: their kernels have no rank to
    spare.
    """
    layers: Layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
        if name.startswith("body.")
    }
    attention: Layers = {
        name: module
        for name, module in layers.items()
        if isinstance(module, nn.Linear) and _ATTENTION.fullmatch(name.rpartition(".")[2])
    }
    if low_rank.targets == "attention" or (low_rank.targets == "auto" and attention):
        return attention
    return layers


def count_adapters(network: Network, low_rank: LowRank) -> int:
    """How many numbers the adapters hold together."""
    return sum(
        low_rank.rank * (layer.weight[0].numel() + layer.weight.shape[0])
        for layer in adapter_targets(network, low_rank).values()
    )


def adapted_parameters(network: Network, low_rank: LowRank) -> frozenset[str]:
    """The names of the parameters that learn: the head's, and the adapters'.

    Where the adapters are not in the network, those of the weights that they will be merged into.
    """
    names = [name for name, _ in network.named_parameters()]
    own = {name for name in names if ".lora_A." in name or ".lora_B." in name}
    if not own:
        own = {f"{layer}.weight" for layer in adapter_targets(network, low_rank)}
    return frozenset(own | {name for name in names if network.group_of(name) == HEAD})


def check_adapters(network: Network, low_rank: LowRank) -> None:
    """Refuse adapters that cannot be put into a network here.

    Raises:
        NetworkError: If no layer of the body takes one, or the package is not installed.
    """
    problems = []
    if not adapter_targets(network, low_rank):
        wanted = {"attention": "projections to queries, keys and values"}
        problems.append(
            f"lora finds no {wanted.get(low_rank.targets, 'dense layers or convolutions')} in the "
            'body: use targets = "all", or another strategy'
        )
    if importlib.util.find_spec("peft") is None:
        problems.append(MISSING_EXTRA)
    if problems:
        raise NetworkError(*problems)


def load_peft() -> ModuleType:
    """The package that adapters come from; loading it for the first time takes seconds."""
    make_torchvision_importable()
    return importlib.import_module("peft.tuners.lora")


@contextmanager
def adapted(network: Network, low_rank: LowRank | None) -> Iterator[None]:
    """Within it, the body has adapters; afterwards their changes are part of its weights.

    PyTorch's random state draws what they start from; B starts at 0, so the body answers as before.

    Args:
        network: Changed in place.
        low_rank: None for no adapters.

    Raises:
        NetworkError: If they cannot be put in.
    """
    if low_rank is None:
        yield
        return
    check_adapters(network, low_rank)
    lora = load_peft()
    names = [name.removeprefix("body.") for name in adapter_targets(network, low_rank)]
    settings = lora.LoraConfig(
        r=low_rank.rank,
        lora_alpha=low_rank.alpha,
        lora_dropout=low_rank.dropout,
        target_modules="|".join(map(re.escape, names)),
        bias="none",
    )
    tuned = lora.LoraModel(network.body, settings, "lora")
    try:
        yield
    finally:
        tuned.merge_and_unload()
