"""Layer calls and arrays → a network with its body, head and layer groups."""

import keyword
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from headstart.networks.groups import HEAD, LayerGroup, Network
from headstart.networks.keras_geometry import Shape
from headstart.networks.keras_graph import Call, Entry, Path
from headstart.networks.keras_layers import translate
from headstart.networks.keras_modules import LayerGraph, Step
from headstart.networks.keras_options import LayerOptions
from headstart.networks.keras_weights import Array

# Normalisations and activations with weights belong to the layer before them, as everywhere.
_STARTS_GROUP = ("Conv2D", "Dense", "DepthwiseConv2D", "SeparableConv2D")
_OUTPUTS: Mapping[type[nn.Module], str] = {
    nn.LogSoftmax: "log_softmax",
    nn.Sigmoid: "sigmoid",
    nn.Softmax: "softmax",
}
_TAKEN = frozenset(dir(LayerGraph({}, ())))


@dataclass(frozen=True)
class Assembly:
    """A network and where its parts came from.

    Attributes:
        network: Body, head and groups.
        units: How many logits the head gives; None where the head is an identity.
        output_activation: What was taken off the head, if anything.
        head_layer: The layer that became the head, if any.
        entries: All layers, in the order of their first call.
        layer_names: Their names.
    """

    network: Network
    units: int | None
    output_activation: str | None
    head_layer: str | None
    entries: tuple[Entry, ...]
    layer_names: tuple[str, ...]

    @property
    def first_layers(self) -> tuple[Entry, ...]:
        """The layers before the first that has a layer group of its own."""
        starts = [entry.kind in _STARTS_GROUP for entry in self.entries]
        return self.entries[: starts.index(True)] if any(starts) else self.entries


@dataclass
class _Parts:
    """Modules and steps as they are collected.

    Attributes:
        modules: By the name that they will have in the body.
        layers: The label of the layer that each module came from.
        steps: In order of evaluation; the last gives the output.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def assemble(
    calls: Sequence[Call],
    shape: Shape,
    weights: Mapping[Path, Mapping[str, Array]],
    keras: int,
) -> Assembly:
    """The network that evaluates the calls.

    Args:
        calls: In an order in which every value is made before it is used; the last is the output.
        shape: Of the input, without the batch.
        weights: The arrays of each layer.
        keras: The major version of Keras that wrote the file.

    Raises:
        NetworkError: If a layer cannot be given with exactly Keras' numbers.
    """
    entries = {call.entry.path: call.entry for call in calls}
    labels = _labels(list(entries.values()))
    parts = _translated(calls, labels, shape, weights, keras)
    head_step, activation = _head(parts)
    steps = parts.steps if head_step is None else parts.steps[:head_step]
    used = {step.module: parts.modules[step.module] for step in steps}
    groups = _groups(used, parts, {labels[path]: entry for path, entry in entries.items()})
    name = None if head_step is None else parts.steps[head_step].module
    head = nn.Identity() if name is None else parts.modules[name]
    network = Network(_body(used, steps), head, groups, pretrained=True)
    return Assembly(
        network=network,
        units=head.out_features if isinstance(head, nn.Linear) else None,
        output_activation=activation,
        head_layer=None if name is None else parts.layers[name],
        entries=tuple(entries.values()),
        layer_names=tuple(labels.values()),
    )


def _labels(entries: Sequence[Entry]) -> dict[Path, str]:
    """What to call each layer: its name, after those of the models around it if that helps."""
    counts = Counter(entry.name for entry in entries)
    return {
        entry.path: entry.name if counts[entry.name] == 1 else "/".join(entry.path)
        for entry in entries
    }


def _translated(
    calls: Sequence[Call],
    labels: Mapping[Path, str],
    shape: Shape,
    weights: Mapping[Path, Mapping[str, Array]],
    keras: int,
) -> _Parts:
    """Every call as steps; a layer that is called again keeps its modules."""
    parts = _Parts()
    shapes: dict[int, Shape] = {0: shape}
    values, made = {0: 0}, dict[Path, list[str]]()
    for call in calls:
        path, label = call.entry.path, labels[call.entry.path]
        options = LayerOptions(call.entry.kind, label, call.entry.config, keras)
        result = translate(options, [shapes[value] for value in call.inputs], weights[path])
        if path not in made:
            made[path] = [_add(parts, label, suffix, part) for suffix, part in result.modules]
        inputs = tuple(values[value] for value in call.inputs)
        for name in made[path]:
            step = Step(name, inputs, len(parts.steps) + 1)
            parts.steps.append(step)
            inputs = (step.output,)
        values[call.output], shapes[call.output] = inputs[0], result.shape
    return parts


def _add(parts: _Parts, label: str, suffix: str, module: nn.Module) -> str:
    """Keep a module under a name that torch takes: no dots, nothing that modules already have."""
    name = f"{label}_{suffix}" if suffix else label
    name = name.replace(".", "_") or "layer"
    while name in parts.modules or name in _TAKEN or keyword.iskeyword(name):
        name += "_"
    parts.modules[name] = module
    parts.layers[name] = label
    return name


def _head(parts: _Parts) -> tuple[int | None, str | None]:
    """The step of the last Dense, if only a softmax or the like follows, and what follows."""
    activation = None
    calls = Counter(step.module for step in parts.steps)
    for place in range(len(parts.steps) - 1, -1, -1):
        name = parts.steps[place].module
        module = parts.modules[name]
        if isinstance(module, nn.Linear) and calls[name] == 1 and place > 0:
            return place, activation
        if type(module) in _OUTPUTS and activation is None:
            activation = _OUTPUTS[type(module)]
        elif not isinstance(module, nn.Identity):
            break
    return None, None


def _body(modules: Mapping[str, nn.Module], steps: Sequence[Step]) -> nn.Module:
    """A plain sequence where every step takes what the one before gave, otherwise a graph."""
    chained = all(step.inputs == (place,) for place, step in enumerate(steps))
    if not chained or len(modules) != len(steps):
        return LayerGraph(modules, steps)
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def _groups(
    modules: Mapping[str, nn.Module], parts: _Parts, entries: Mapping[str, Entry]
) -> list[LayerGroup]:
    """One group for each layer that starts one, with all that follows it, stem first."""
    starts = [name for name in modules if entries[parts.layers[name]].kind in _STARTS_GROUP]
    group = parts.layers[next(iter(starts or modules))]  # what comes before it belongs to it
    claims: dict[str, list[str]] = {}
    for name in modules:
        if name in starts:
            group = parts.layers[name]
        claims.setdefault(group, []).append(f"body.{name}")
    named = [
        LayerGroup(f"{HEAD}_" if name == HEAD else name, tuple(claimed))
        for name, claimed in claims.items()
    ]
    return [*named, LayerGroup(HEAD, (HEAD,))]
