"""What each call of a Keras layer is given, in the spellings of Keras 2 and Keras 3.

Keras 2 names a tensor as ``["conv", 0, 0, {…}]``: the output 0 of the first call of the layer
*conv*, and what else the call was given. Keras 3 spells the call out, with ``__keras_tensor__``
among its arguments, and ``["conv", 0, 0]`` in the tensor's history.
"""

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from headstart.errors import NetworkError

Reference = tuple[str, int]  # a layer's name and the number of its call


def calls_in(nodes: Any, where: str) -> tuple[tuple[Reference, ...], ...]:
    """The tensors that each call of a layer is given.

    Args:
        nodes: The layer's ``inbound_nodes``.
        where: The layer, for messages.

    Raises:
        NetworkError: If a call takes anything but single outputs of layers, or asks for what only
            training does.
    """
    return tuple(_call(node, where) for node in _listed(nodes, where))


def reference(item: Any, where: str) -> Reference:
    """One tensor.

    Raises:
        NetworkError: If it is not the single output of a layer.
    """
    match item:
        case [str() as name, int() as node, int() as tensor, *_] if tensor == 0:
            return name, node
    raise NetworkError(f"{where} takes {str(item)[:60]!r}, which is no single layer's output")


def _call(node: Any, where: str) -> tuple[Reference, ...]:
    if isinstance(node, Mapping):
        found, settings = list(_tensors(node.get("args"), where)), [node.get("kwargs")]
    else:
        bare = isinstance(node, list) and node and isinstance(node[0], str)
        items = [node] if bare else _listed(node, where)
        found = [reference(item, where) for item in items]
        settings = [item[3] for item in items if len(item) > 3]
    told = [pair for one in settings if isinstance(one, Mapping) for pair in one.items()]
    unknown = {key: value for key, value in told if value not in (None, False)}
    if unknown or not found:
        raise NetworkError(
            f"{where} is called in a way that cannot be followed, with {unknown or 'nothing'}: call"
            " it with tensors alone, and save the model again"
        )
    return tuple(found)


def _tensors(value: Any, where: str) -> Iterator[Reference]:
    """The tensors among Keras 3's arguments, in order; nothing else may be there."""
    if isinstance(value, list):
        for item in value:
            yield from _tensors(item, where)
        return
    config = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(config, Mapping) or "keras_history" not in config:
        raise NetworkError(
            f"{where} is called with {str(value)[:60]!r}, which is no layer's output: use a layer"
            " such as Rescaling for constants, and save the model again"
        )
    yield reference(config["keras_history"], where)


def _listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | NoneType):
        raise NetworkError(
            f"{where} is called with {str(value)[:60]!r}, where a list was expected: the file is"
            " damaged, save the model again"
        )
    return value or []
