"""Layer groups of a body that was not built here: timm's networks and any other module.

Whoever groups a network names an owner for each *parameter*; from that, `claimed_groups` finds the
modules that the groups own. What has no parameters of its own goes with what stands before it:
activations, poolings, dropout, and buffers such as position indices. BatchNorm's running statistics
are buffers of the module that holds its weights, and so always belong to the same group: a group
whose BatchNorm is kept in evaluation mode while it is frozen changes in no number.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import HEAD, LayerGroup

STEM, BLOCKS, NECK = "stem", "blocks", "neck"


def timm_owners(model: nn.Module) -> dict[str, str]:
    """The group of each parameter of a timm network, by timm's own coarse grouping.

    The groups are ``stem``, then ``blocks.0``, ``blocks.1`` … in the order of the network, whatever
    timm calls them inside. What timm leaves over behind the blocks is ``neck`` when it has weights
    of its own (VGG's dense layers, attention pooling); mere norms go to the group before them.
    Networks that timm does not group are grouped by `child_owners`.

    Args:
        model: A network of timm's, its classifier taken off.

    Returns:
        Parameter's qualified name → group, stem first.
    """
    matcher = getattr(model, "group_matcher", None)
    if matcher is None:
        return child_owners(model)
    from timm.models import group_parameters

    pattern = matcher(coarse=True)
    parameters = dict(model.named_parameters())
    groups: list[list[str]] = []
    for _, names in sorted(group_parameters(model, pattern).items()):
        if groups and all(parameters[name].ndim < 2 for name in names):
            groups[-1] += names
        else:
            groups.append(list(names))
    titles = [STEM, *(f"{BLOCKS}.{number}" for number in range(len(groups) - 1))]
    if len(groups) > 1 and not _is_matched(groups[-1][0], pattern):
        titles[-1] = NECK
    return {name: title for title, names in zip(titles, groups, strict=True) for name in names}


def child_owners(module: nn.Module) -> dict[str, str]:
    """The group of each parameter by the child of the module that holds it.

    A single child that holds everything is looked into. Children that have no name but a number are
    called ``layer_0``, ``layer_1`` …; parameters of the module itself go to the first group.

    Returns:
        Parameter's qualified name → group, in the module's own order.
    """
    prefix, current, children = "", module, _weighted_children(module)
    while len(children) == 1 and not list(current.parameters(recurse=False)):
        inside = _weighted_children(current.get_submodule(children[0]))
        if not inside:
            break
        prefix, current = f"{prefix}{children[0]}.", current.get_submodule(children[0])
        children = inside
    owners = {}
    for name, _ in module.named_parameters():
        first = name.removeprefix(prefix).split(".")[0]
        child = first if first in children else (children or [STEM])[0]
        owners[name] = _title(child)
    return owners


def claimed_groups(
    body: nn.Module, owners: Mapping[str, str], prefix: str = "body."
) -> tuple[LayerGroup, ...]:
    """The layer groups that own all of a body, as few and as large modules as possible.

    Args:
        body: The body.
        owners: Group of each parameter by its qualified name in the body; the groups come in the
            order in which they are named here.
        prefix: What to put before the qualified names.

    Raises:
        NetworkError: If a parameter has no owner.
    """
    named = {id(value): owners[key] for key, value in body.named_parameters() if key in owners}
    unowned = [key for key, value in body.named_parameters() if id(value) not in named]
    if unowned:
        raise NetworkError(*(f"no layer group claims {key!r}" for key in unowned))
    names = tuple(dict.fromkeys(owners.values())) or (STEM,)
    claims: dict[str, list[str]] = defaultdict(list)
    current = names[0]

    def visit(module: nn.Module, path: str) -> None:
        nonlocal current
        for key, value in module.named_parameters(path, recurse=False):
            current = named[id(value)]
            claims[current].append(key)
        for key, _ in module.named_buffers(path, recurse=False):
            claims[current].append(key)
        for name, child in module.named_children():
            full = f"{path}.{name}" if path else name
            inside = {named[id(value)] for value in child.parameters()}
            if len(inside) > 1:
                visit(child, full)
            else:
                current = inside.pop() if inside else current
                claims[current].append(full)

    visit(body, "")
    return tuple(
        LayerGroup(name, tuple(prefix + path for path in claims[name]))
        for name in names
        if claims[name]
    )


def _is_matched(name: str, pattern: Any) -> bool:
    """Whether timm's grouping names a parameter, rather than leaving it over."""
    if not isinstance(pattern, dict):
        return True
    expressions = [
        part[0] if isinstance(part, tuple | list) else part
        for entry in pattern.values()
        if entry is not None
        for part in (entry if isinstance(entry, tuple | list) else [entry])
    ]
    return any(re.match(expression, name) for expression in expressions)


def _weighted_children(module: nn.Module) -> list[str]:
    """The names of a module's children that hold parameters."""
    return [name for name, child in module.named_children() if list(child.parameters())]


def _title(child: str) -> str:
    """A group's name for a child module: numbers get a word, the head's own name is kept free."""
    if child.isdecimal():
        return f"layer_{child}"
    return NECK if child == HEAD else child
