"""The architecture in a Keras file: its JSON → an ordered list of layer calls.

Keras writes a model as layers, each with the nodes at which it was called. Models inside models
are unfolded here, so that what comes out is one graph of plain layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headstart.errors import NetworkError
from headstart.networks.keras_layers import KNOWN
from headstart.networks.keras_nodes import Reference, calls_in, reference

_SEQUENTIAL = "Sequential"
_FUNCTIONAL = ("Functional", "Model")
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod")
_DEEPEST = 20  # models inside models
_MOST_CALLS = 5_000  # the largest of Keras' own applications has some 1,200

Path = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One layer of a model, or a model in its place.

    Attributes:
        path: Its name, after the names of the models around it.
        kind: The Keras class.
        config: Its settings.
        nodes: For each call, what it is given.
        inner: The layers inside, where it is a model.
    """

    path: Path
    kind: str
    config: Mapping[str, Any]
    nodes: tuple[tuple[Reference, ...], ...]
    inner: "Model | None" = None

    @property
    def name(self) -> str:
        """Its name in the model that it is in."""
        return self.path[-1]

    @property
    def trainable(self) -> bool:
        """Keras' flag, which decides in what order old files hold the weights."""
        return self.config.get("trainable", True) is not False


@dataclass(frozen=True)
class Model:
    """A model with one input and one output.

    Attributes:
        name: The model's name.
        entries: Its layers in the file's order, without the input.
        source: Where its input comes in.
        target: What it gives.
        shape: Of its input, without the batch; None where the file does not say.
    """

    name: str
    entries: tuple[Entry, ...]
    source: Reference
    target: Reference
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Call:
    """One evaluation of a layer; value 0 is the picture."""

    entry: Entry
    inputs: tuple[int, ...]
    output: int


def read_model(raw: Mapping[str, Any]) -> Model:
    """The model that a file's JSON describes.

    Raises:
        NetworkError: If it has layers that cannot be read, several inputs or outputs, or is not a
            description of a Sequential or functional model.
    """
    refused = list(_unreadable(raw, 0))
    if refused:
        raise NetworkError(*refused, f"layers that can be read: {', '.join(sorted(KNOWN))}")
    return _model(raw, ())


def calls_of(model: Model) -> tuple[list[Call], int]:
    """The calls of all layers, each after what it needs, and the value that is the output.

    Raises:
        NetworkError: If the layers do not form a graph from the input to the output.
    """
    calls: list[Call] = []
    output = _unfold(model, 0, calls)
    needed = {output}
    for call in reversed(calls):
        if call.output in needed:
            needed.update(call.inputs)
    return [call for call in calls if call.output in needed], output


def _unreadable(raw: Any, depth: int) -> Iterator[str]:
    """A sentence for every layer that cannot be read, in the file's order."""
    kind, name = _kind(raw), _name(raw)
    if depth > _DEEPEST:
        yield f"model {name!r} lies more than {_DEEPEST} models deep: take it out and save it alone"
    elif kind == _SEQUENTIAL or kind in _FUNCTIONAL:
        for layer in _layers(raw):
            yield from _unreadable(layer, depth + 1)
    elif depth == 0:
        yield (
            f"model {name!r} is a {kind}, and the file holds no layers for it, only the name of"
            " Python code: rebuild it as a Sequential or functional model, and save that"
        )
    elif kind == "Lambda":
        yield (
            f"layer {name!r} (Lambda) holds Python code, and code in a file is never run: rebuild"
            " the model without it (Rescaling, Normalization and Activation cover the usual"
            " uses), copy the weights into it, and save that"
        )
    elif kind in _OPERATIONS or (_module(raw).startswith("keras.src.ops") and kind not in KNOWN):
        yield (
            f"layer {name!r} ({kind}) is an operation written into the model, such as"
            " preprocess_input or an index: rebuild the model without it, or with a layer in its"
            " place, copy the weights into it, and save that"
        )
    elif kind not in KNOWN or not _keras_own(raw):
        own = " of the user's own" if not _keras_own(raw) else ""
        yield (
            f"layer {name!r} ({kind}) is a layer{own} that cannot be read: rebuild the model"
            " without it, copy the weights into it, and save that"
        )


def _keras_own(raw: Mapping[str, Any]) -> bool:
    registered = raw.get("registered_name")
    root = _module(raw).partition(".")[0]
    return root in ("", "keras", "tf_keras", "tensorflow") and ">" not in str(registered)


def _model(raw: Mapping[str, Any], path: Path) -> Model:
    entries = _sequence(raw, path) if _kind(raw) == _SEQUENTIAL else _graph(raw, path)
    inputs = [entry for entry in entries if entry.kind == "InputLayer"]
    layers = tuple(entry for entry in entries if entry.kind != "InputLayer")
    where = f"model {_name(raw)!r}"
    if not layers:
        raise NetworkError(f"{where} has no layers: save a model that has some")
    if _kind(raw) == _SEQUENTIAL:
        source = entries[0].nodes[0][0] if entries[0].nodes else (entries[0].name, 0)
        target = (layers[-1].name, 0)
    else:
        source = _only(raw, "input_layers", where)
        target = _only(raw, "output_layers", where)
    if len(inputs) > 1:
        raise NetworkError(
            f"{where} has {len(inputs)} inputs, {_names(inputs)}, and one picture is all there"
            " is: save a model with one input"
        )
    shape = _input_shape(raw, inputs, layers)
    return Model(_name(raw), layers, source, target, shape)


def _sequence(raw: Mapping[str, Any], path: Path) -> list[Entry]:
    """A Sequential model's layers, each called with the one before."""
    entries: list[Entry] = []
    before: Reference = ("", 0)
    for layer in _layers(raw):
        entry = _entry(layer, path, ((before,),))
        if entry.kind == "InputLayer":
            entry = replace(entry, nodes=())
        entries.append(entry)
        before = (entry.name, 0)
    return entries


def _graph(raw: Mapping[str, Any], path: Path) -> list[Entry]:
    """A functional model's layers with their nodes."""
    return [
        _entry(layer, path, calls_in(layer.get("inbound_nodes"), _where(layer)))
        for layer in _layers(raw)
    ]


def _entry(raw: Mapping[str, Any], path: Path, nodes: tuple[tuple[Reference, ...], ...]) -> Entry:
    kind, own = _kind(raw), (*path, _name(raw))
    config = raw["config"] if isinstance(raw["config"], Mapping) else {}
    if kind == _SEQUENTIAL or kind in _FUNCTIONAL:
        return Entry(own, kind, config, nodes, _model(raw, own))
    return Entry(own, kind, config, nodes)


def _only(raw: Mapping[str, Any], key: str, where: str) -> Reference:
    """The one input or output of a functional model."""
    value = raw["config"].get(key)
    while isinstance(value, list | Mapping) and len(value) == 1:
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    if isinstance(value, list) and value and isinstance(value[0], str):
        return reference(value, where)
    count = len(value) if isinstance(value, list | Mapping) else 0
    word = key.removesuffix("_layers")
    raise NetworkError(
        f"{where} has {count} {word}s, and a picture and its class ask for one of each: save"
        f" keras.Model(one_input, one_output)"
    )


def _input_shape(
    raw: Mapping[str, Any], inputs: Sequence[Entry], layers: Sequence[Entry]
) -> tuple[int | None, ...] | None:
    """The shape of a model's input, from wherever this version of Keras wrote it."""
    built = raw.get("build_config")
    for config in (
        *(entry.config for entry in inputs),
        layers[0].config,
        raw["config"] if isinstance(raw["config"], Mapping) else {},
        built if isinstance(built, Mapping) else {},
    ):
        for key in ("batch_shape", "batch_input_shape", "build_input_shape", "input_shape"):
            shape = config.get(key)
            if isinstance(shape, list) and len(shape) > 1:
                return tuple(shape[1:])
    return layers[0].inner.shape if layers[0].inner else None


def _unfold(model: Model, picture: int, calls: list[Call]) -> int:
    """Append the calls of a model that is given the value `picture`; its output's value."""
    values = {model.source: picture}
    first = _first_nodes(model)
    waiting = [
        (entry, (entry.name, first[entry.name] + place), node)
        for entry in model.entries
        for place, node in enumerate(entry.nodes)
    ]
    while waiting and len(waiting) <= _MOST_CALLS:
        blocked = []
        for entry, key, node in waiting:
            if not all(source in values for source in node):
                blocked.append((entry, key, node))
                continue
            given = tuple(values[source] for source in node)
            if entry.inner is not None:
                if len(given) != 1:
                    raise NetworkError(f"model {entry.name!r} takes one input, not {len(given)}")
                values[key] = _unfold(entry.inner, given[0], calls)
                continue
            if len(calls) >= _MOST_CALLS:
                raise NetworkError(f"model {model.name!r} calls more than {_MOST_CALLS:,} layers")
            calls.append(Call(entry, given, len(calls) + 1))
            values[key] = len(calls)
        if len(blocked) == len(waiting):
            break
        waiting = blocked
    if model.target not in values:
        raise NetworkError(
            f"model {model.name!r}: its output {model.target[0]!r} cannot be reached from its"
            " input: the file is damaged, save it again"
        )
    return values[model.target]


def _first_nodes(model: Model) -> dict[str, int]:
    """The number of each layer's first call: 1 for models inside Keras 2's models, otherwise 0.

    The last call of a layer is always used by something, so the largest number tells.
    """
    used: dict[str, int] = {}
    given = [source for entry in model.entries for node in entry.nodes for source in node]
    for name, number in (model.target, *given):
        used[name] = max(used.get(name, 0), number)
    return {
        entry.name: max(used.get(entry.name, 0) - len(entry.nodes) + 1, 0)
        for entry in model.entries
    }


def _layers(raw: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The layers of a model; the first Keras 2 wrote a Sequential's config as a bare list."""
    config = raw["config"]
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if not isinstance(layers, list):
        raise NetworkError(f"model {_name(raw)!r} has no list of layers: the file is damaged")
    if len(layers) > _MOST_CALLS:
        raise NetworkError(f"model {_name(raw)!r} has more than {_MOST_CALLS:,} layers")
    return layers


def _kind(raw: Any) -> str:
    if (
        isinstance(raw, Mapping)
        and isinstance(raw.get("class_name"), str)
        and isinstance(raw.get("config"), Mapping | list)
    ):
        return str(raw["class_name"])
    raise NetworkError(
        f"the architecture holds {str(raw)[:60]!r} where a layer was expected: the file is"
        " damaged, save it again"
    )


def _name(raw: Mapping[str, Any]) -> str:
    config = raw["config"]
    inner = config.get("name") if isinstance(config, Mapping) else None
    return str(raw.get("name") or inner or raw["class_name"])


def _where(raw: Mapping[str, Any]) -> str:
    return f"layer {_name(raw)!r} ({_kind(raw)})"


def _module(raw: Mapping[str, Any]) -> str:
    return str(raw.get("module") or "")


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(repr(entry.name) for entry in entries)
