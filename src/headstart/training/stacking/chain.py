"""Chains: networks, or the rest of one, that are dense layers with what is usual between them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, fx, nn

from headstart.networks.groups import Network


@dataclass(frozen=True)
class Dense:
    """A dense layer.

    Attributes:
        module: Its place among the chain's modules.
        inputs: Numbers in.
        outputs: Numbers out.
        has_bias: Whether it adds a bias.
    """

    module: int
    inputs: int
    outputs: int
    has_bias: bool


@dataclass(frozen=True)
class Bend:
    """An activation.

    Attributes:
        name: Of its class in PyTorch.
        setting: Its one setting, where it has one.
    """

    name: str
    setting: float | str | None = None


@dataclass(frozen=True)
class Drop:
    """Dropout of a share of the numbers."""

    share: float


Link: TypeAlias = Dense | Bend | Drop
Model: TypeAlias = Callable[[Tensor], Tensor]

_SETTINGS: dict[type[nn.Module], str | None] = {
    nn.ReLU: None,
    nn.SELU: None,
    nn.Tanh: None,
    nn.Sigmoid: None,
    nn.SiLU: None,
    nn.ELU: "alpha",
    nn.GELU: "approximate",
    nn.LeakyReLU: "negative_slope",
}


def modules_of(model: Model) -> list[nn.Module] | None:
    """The modules that inputs go through one after the other; None if it is no such row."""
    if isinstance(model, Network):
        return _joined([model.body, model.head])
    if isinstance(model, fx.GraphModule):
        steps = list(_steps(model))
        return None if None in steps else _joined([each for each in steps if each is not None])
    return _joined([model]) if isinstance(model, nn.Module) else None


def _joined(parts: Sequence[nn.Module]) -> list[nn.Module] | None:
    """The parts, sequences taken apart; None if one of them is made of others in another way."""
    found: list[nn.Module] = []
    for part in parts:
        if _is_watched(part):
            return None
        if type(part) is nn.Sequential:
            inner = _joined(list(part))
            if inner is None:
                return None
            found += inner
        elif next(part.children(), None) is None:
            found.append(part)
        else:
            return None
    return found


def _is_watched(module: nn.Module) -> bool:
    """Whether something else looks at what goes through a module, or changes it."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _steps(model: fx.GraphModule) -> Iterator[nn.Module | None]:
    """The modules that a traced model calls in a row, and None for any other step."""
    before = None
    for node in model.graph.nodes:
        follows = list(node.args) == [before] and not node.kwargs
        if node.op == "placeholder" and before is None:
            before = node
        elif node.op == "call_module" and follows:
            before = node
            yield model.get_submodule(str(node.target))
        elif node.op != "output" or not follows:
            yield None


def links_of(modules: Sequence[nn.Module], dimensions: int) -> tuple[Link, ...] | None:
    """What a row of modules does, from inputs to logits; None if a stack cannot do that.

    Args:
        modules: From `modules_of`.
        dimensions: How many an input has, for one picture: 1 is a row of numbers.
    """
    links: list[Link] = []
    seen: set[nn.Module] = set()
    for place, module in enumerate(modules):
        kind = type(module)
        if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
            dimensions = 1
        elif type(module) is nn.Linear and dimensions == 1 and module not in seen:
            has_bias = module.bias is not None
            links.append(Dense(place, module.in_features, module.out_features, has_bias))
            seen.add(module)
        elif type(module) is nn.Dropout and module.p < 1:
            links += [Drop(module.p)] if module.p else []  # with 1, PyTorch draws nothing
        elif kind in _SETTINGS:
            name = _SETTINGS[kind]
            links.append(Bend(kind.__name__, None if name is None else getattr(module, name)))
        elif kind is not nn.Identity:
            return None
    return tuple(links) if _ends_well(links) else None


def drops_first(links: Sequence[Link]) -> bool:
    """Whether inputs are dropped out before the first dense layer."""
    first = next(place for place, link in enumerate(links) if isinstance(link, Dense))
    return any(isinstance(link, Drop) for link in links[:first])


def _ends_well(links: Sequence[Link]) -> bool:
    """Whether a dense layer gives the logits, and none is so narrow that it has no matrix."""
    if not links or not isinstance(links[-1], Dense):
        return False
    dense = [link for link in links if isinstance(link, Dense)]
    # Products with a single row or column go through other code, which looks at where numbers lie.
    return all(link.inputs > 1 for link in dense) and all(link.outputs > 1 for link in dense[:-1])
