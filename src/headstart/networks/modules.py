"""A network from Python: any `torch.nn.Module`, its head found or pointed at, its groups derived.

The module is copied. In the copy the head is replaced by an identity, which gives the body; whether
body and head together still compute what the module does is checked on random pictures, since a
module may do anything with its head's output (a softmax behind it, a second use of it).
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from headstart.errors import NetworkError, nearest
from headstart.networks.body_groups import child_owners, claimed_groups
from headstart.networks.groups import HEAD, LayerGroup, Network


def from_module(
    module: nn.Module,
    *,
    input_shape: tuple[int, int, int],
    groups: Mapping[str, Sequence[str]] | None = None,
    head: str | None = None,
    pretrained: bool = True,
) -> Network:
    """A network from any module that takes pictures and gives logits.

    Args:
        module: Takes pictures (N, channels, height, width), gives logits (N, units); copied to the
            CPU, never changed.
        input_shape: Channels, height, width of one picture.
        groups: Group → qualified names of its modules or parameters in `module`, stem first, the
            head left out. By the module's children, in their order, when omitted.
        head: Qualified name of the head in `module`; its last linear layer when omitted.
        pretrained: Whether the body's weights were trained; if not, there is nothing to transfer.

    Raises:
        NetworkError: If there is no such head or group, a weight is left out or claimed twice, or
            the module is not a body with the head on top.
    """
    whole = _copy(module)
    name = _last_linear(whole) if head is None else _checked_head(whole, head)
    top = whole.get_submodule(name)
    picture = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0))
    expected = _output(whole, picture, "the module")
    parent, _, child = name.rpartition(".")
    setattr(whole.get_submodule(parent), child, nn.Identity())
    if groups is None:
        claimed = claimed_groups(whole, child_owners(whole))
    else:
        claimed = claimed_groups(whole, _owners(whole, groups))
    network = Network(whole, top, [*claimed, LayerGroup(HEAD, (HEAD,))], pretrained=pretrained)
    _check_head(network, name, picture, expected)
    return network


def _check_head(network: Network, name: str, picture: Tensor, expected: Tensor) -> None:
    """Refuse a head that is not all that stands on top of a row of features."""
    try:
        features = _output(network.body, picture, "the module without it")
        found = _output(network, picture, "the head on top of the rest")
    except NetworkError as error:
        raise NetworkError(f"{name!r} is not the head of this module: {error}") from error
    if features.ndim != 2:
        raise NetworkError(
            f"{name!r} is not the head of this module: it takes features of shape "
            f"{tuple(features.shape[1:])} a picture, expected one row"
        )
    if found.shape != expected.shape or not torch.allclose(found, expected, 1e-4, 1e-5):
        raise NetworkError(
            f"{name!r} is not the head of this module: put on top of the rest, it does not give "
            "what the module gives. If something follows it (a softmax, say), leave that out, as "
            "headstart works on logits; else point at the head by its qualified name"
        )


def _copy(module: nn.Module) -> nn.Module:
    try:
        whole = copy.deepcopy(module).cpu()
    except (RuntimeError, TypeError) as error:
        raise NetworkError(f"the module cannot be copied: {error}") from error
    if any(isinstance(value, nn.UninitializedParameter) for value in whole.parameters()):
        raise NetworkError(
            "the module has layers that take their size from the first picture: show it one before"
        )
    return whole


def _last_linear(module: nn.Module) -> str:
    """The qualified name of the module's last linear layer."""
    linear = [name for name, each in module.named_modules() if isinstance(each, nn.Linear)]
    if not linear or linear == [""]:
        raise NetworkError(
            "the module has no linear layer inside that could be its head: point at the head by "
            f"its qualified name. {_children(module)}"
        )
    return str(linear[-1])


def _checked_head(module: nn.Module, head: str) -> str:
    names = [name for name, _ in module.named_modules() if name]
    if head not in names:
        raise NetworkError(
            f"the module has no part {head!r} to be its head: {nearest(head, names)}"
        )
    return head


def _owners(body: nn.Module, groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The group of each parameter, from the names of modules that the groups own.

    A parameter below several named modules belongs to the one that is named most closely.
    """
    parameters = [name for name, _ in body.named_parameters()]
    known = [name for name, _ in body.named_modules() if name] + parameters
    claims = [(path, group) for group, paths in groups.items() for path in paths]
    problems = [
        f"layer group {group!r}: the module has no part {path!r}: {nearest(path, known)}"
        for path, group in claims
        if path not in known
    ]
    paths = [path for path, _ in claims]
    problems += [
        f"{path!r} is claimed by two layer groups"
        for path in sorted({path for path in paths if paths.count(path) > 1})
    ]
    if HEAD in groups:
        problems.append(f"the name {HEAD!r} is kept for the head's own group: leave it out")
    problems += [
        f"layer group {group!r} owns no parameters: leave it out"
        for group, names in groups.items()
        if not any(_is_below(name, path) for path in names for name in parameters)
    ]
    if problems:
        raise NetworkError(*problems)
    nested = sorted(claims, key=lambda claim: len(claim[0]))
    found = {name: group for path, group in nested for name in parameters if _is_below(name, path)}
    order = {group: number for number, group in enumerate(groups)}
    return dict(sorted(found.items(), key=lambda owned: order[owned[1]]))


def _is_below(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def _output(module: nn.Module, picture: Tensor, what: str) -> Tensor:
    """What a module makes of pictures in evaluation mode; the modes are put back."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            output = module(picture)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise NetworkError(
            f"{what} does not take pictures of shape {tuple(picture.shape[1:])} "
            f"(channels, height, width): {error}"
        ) from error
    finally:
        for each, mode in modes.items():
            each.training = mode
    if not isinstance(output, Tensor):
        raise NetworkError(f"{what} gives a {type(output).__name__}, expected one tensor of logits")
    return output


def _children(module: nn.Module) -> str:
    names = [name for name, _ in module.named_children()]
    return f"Its parts: {', '.join(names) if names else '(none)'}"
