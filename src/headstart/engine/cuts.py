"""Cuts: places where everything flows through one tensor, so that a network can be split there.

A network is traced by `torch.fx`. Up to a cut it is the prefix, which only computes; behind it the
suffix, which may learn. The suffix is made of the network's own modules, so what it learns the
network has.

Where tracing fails, or does not give the same network again, one cut remains for every network:
between body and head.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from headstart.engine.flops import CountedFlops
from headstart.networks.groups import HEAD, Network
from headstart.networks.tracing import DRAWS, copied, trace
from headstart.strategies.plan import Phase
from headstart.training.evaluate import evaluating

_TOLERANCE = 1e-4  # of the largest logit: what a split network may differ from the whole one
_RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)


@dataclass(frozen=True)
class Cut:
    """A place to split a network.

    Attributes:
        name: Of the step whose output goes on, by `torch.fx`; ``"features"`` between body and head.
        position: Its place among the steps of the trace, from 0 (the pictures); −1 between body and
            head of a network that is not traced.
        shape: Of one picture's tensor there.
        group: The layer group of the last weights before it.
        flops: Floating-point operations that a picture takes up to here.
    """

    name: str
    position: int
    shape: tuple[int, ...]
    group: str
    flops: int

    @property
    def saving(self) -> float:
        """Seconds that a picture saves when its features are read instead of computed, roughly.

        One core of a plain processor does 2e10 operations a second on convolutions, and reads 1 GB
        a second of features that lie about in pages.
        """
        return self.flops / 2e10 - 4 * math.prod(self.shape) / 1e9


@dataclass(frozen=True)
class Halves:
    """A network in two.

    Attributes:
        prefix: Pictures (N, channels, height, width) → (N, *cut.shape); only to compute with.
        suffix: (N, *cut.shape) → logits; shares its modules with the network.
        code: What the prefix does, as text: the same for the same computation.
    """

    prefix: nn.Module
    suffix: Callable[[Tensor], Tensor]
    code: str


@dataclass(frozen=True)
class Cuts:
    """The cuts of a network, stem first, and how to split every network of the same making.

    Attributes:
        cuts: In order; the last one lies nearest to the logits.
        traced: Whether the whole network could be traced.
        reason: Why not, in words.
    """

    cuts: tuple[Cut, ...]
    traced: bool
    reason: str = ""
    _graph: fx.Graph | None = field(default=None, repr=False)

    def before(self, network: Network, phase: Phase, most: float = math.inf) -> Cut | None:
        """The cut that a phase had best enter behind; None if no cut saves anything.

        Everything before it must give the same numbers for the same picture all through the phase:
        it lies before the first part that trains, draws random numbers (dropout, stochastic depth)
        or keeps live BatchNorm statistics.

        Args:
            network: Of the making that was traced.
            phase: What it will go through.
            most: Numbers a picture that there is room for.
        """
        return self._best(
            network, lambda name: phase.trains(network.group_of(name)), most, random=True
        )

    def unchanged(
        self, network: Network, trained: frozenset[str], most: float = math.inf
    ) -> Cut | None:
        """The best cut before anything that belongs to layer groups that were trained.

        For a network in evaluation mode, in which nothing is random.
        """
        return self._best(
            network, lambda name: network.group_of(name) in trained, most, random=False
        )

    def _best(
        self, network: Network, changes: Callable[[str], bool], most: float, *, random: bool
    ) -> Cut | None:
        roomy = [cut for cut in self.cuts if math.prod(cut.shape) <= most]
        if self._graph is None:
            parts = [name for name, _ in _tensors(network.body, "body")]
            free = not any(changes(name) for name in parts)
            noisy = random and any(_is_random(module) for module in network.body.modules())
            return roomy[0] if roomy and free and not noisy else None
        border = len(self._graph.nodes)
        for position, node in enumerate(self._graph.nodes):
            if _is_live(network, node, changes, random=random):
                border = position
                break
        fitting = [cut for cut in roomy if cut.position < border and cut.saving > 0]
        return max(fitting, key=lambda cut: (cut.saving, cut.position)) if fitting else None

    def split(self, network: Network, cut: Cut) -> Halves:
        """Split a network of the same making as the one that was traced.

        Args:
            network: Its modules go into both halves.
            cut: One of `cuts`.
        """
        if self._graph is None:
            return Halves(network.body, network.head, f"body of {network.body}")
        prefix, suffix = _split_graph(self._graph, cut.position)
        prefix_module = fx.GraphModule(network, prefix, "Prefix")
        suffix_module = fx.GraphModule(network, suffix, "Suffix")
        # What surrounds shared modules is new in a GraphModule; their own modes stay untouched.
        code = "\n".join([prefix_module.code, *_settings(prefix_module, prefix)])
        return Halves(prefix_module, suffix_module, code)

    def between(self, network: Network, first: Cut, last: Cut) -> nn.Module:
        """What lies between two cuts of a network that was traced.

        Args:
            network: Its modules do the work.
            first: Where it begins, (N, *first.shape) …
            last: … and ends, (N, *last.shape).
        """
        assert self._graph is not None
        nodes, part = list(self._graph.nodes), fx.Graph()
        copies = {nodes[first.position]: part.placeholder("features")}
        part.output(copied(nodes[last.position], part, copies))
        return fx.GraphModule(network, part, "Between")

    def values(self, network: Network, pictures: Tensor) -> Iterator[tuple[Cut, Tensor]]:
        """What lies at each cut of a network that was traced, in order, on its way through.

        A later step may work in place: a value has to be looked at before the next one is asked
        for.

        Args:
            network: In evaluation mode.
            pictures: Shape (N, channels, height, width).
        """
        assert self._graph is not None
        steps = fx.Interpreter(network, graph=self._graph)
        steps.args_iter = iter([pictures])
        cuts = {cut.position: cut for cut in self.cuts}
        for position, node in enumerate(self._graph.nodes):
            steps.env[node] = steps.run_node(node)
            if position in cuts:
                yield cuts[position], steps.env[node]


def find_cuts(network: Network, picture_shape: tuple[int, int, int]) -> Cuts:
    """Find every place where a network can be split.

    Args:
        network: On any device; left as it is.
        picture_shape: Height, width, channels of the pictures it takes.
    """
    device = next(iter(network.parameters())).device
    height, width, channels = picture_shape
    pictures = torch.rand(
        (2, channels, height, width), generator=torch.Generator().manual_seed(0)
    ).to(device)
    try:
        graph = trace(network)
        cuts = tuple(_cuts_of(network, graph, pictures))
        found = Cuts(cuts, traced=True, _graph=graph)
        problem = _disagreement(network, found, pictures) if cuts else "it has no cut"
    except Exception as error:  # tracing runs a network's own code, which may raise anything
        problem = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    if not problem:
        return found
    with evaluating(network), torch.no_grad(), CountedFlops() as counted:
        features, again = network.body(pictures), network.body(pictures)
    if not (isinstance(features, Tensor) and torch.equal(features, again)):
        # Nothing may be kept: there is not one tensor to keep, or it is another one every time.
        return Cuts((), traced=False, reason=problem)
    shape = tuple(features.shape[1:])
    groups = [group.name for group in network.groups if group.name != HEAD]
    flops = counted.total // (2 * len(pictures))
    cut = Cut("features", -1, shape, groups[-1] if groups else HEAD, flops)
    return Cuts((cut,), traced=False, reason=problem)


def _cuts_of(network: Network, graph: fx.Graph, pictures: Tensor) -> Iterator[Cut]:
    """The nodes that are the only live tensor which depends on the pictures."""
    nodes = list(graph.nodes)
    place = {node: position for position, node in enumerate(nodes)}
    depends: set[fx.Node] = set()
    last_use: dict[fx.Node, int] = {}
    for node in nodes:
        if node.op == "placeholder" or any(each in depends for each in node.all_input_nodes):
            depends.add(node)
        for each in node.all_input_nodes:
            last_use[each] = place[node]
    values = _Shapes(network, graph)
    with evaluating(network), torch.inference_mode(mode=False), torch.no_grad():
        values.follow(pictures)
    group = network.group_names[0]
    for position, node in enumerate(nodes):
        group = _group_of(network, node) or group
        if node.op in ("placeholder", "output", "get_attr") or node not in depends:
            continue
        live = [each for each in nodes[: position + 1] if last_use.get(each, -1) > position]
        shape = values.shapes.get(node)
        if [each for each in live if each in depends] == [node] and shape:
            yield Cut(node.name, position, shape, group, values.flops[node] // len(pictures))


class _Shapes(fx.Interpreter):
    """Notes the shape of what each step gives, and the operations made up to it."""

    def __init__(self, network: Network, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.flops: dict[fx.Node, int] = {}
        self._flops = 0

    def follow(self, pictures: Tensor) -> None:
        """Take every step; `run` would also make a progress bar, with locks between processes."""
        self.args_iter = iter([pictures])
        for node in self.graph.nodes:
            self.env[node] = self.run_node(node)

    def run_node(self, n: fx.Node) -> object:
        with CountedFlops() as counted:
            value: object = super().run_node(n)
        self._flops += counted.total
        self.flops[n] = self._flops
        if isinstance(value, Tensor) and value.dim() > 1 and value.is_floating_point():
            self.shapes[n] = tuple(value.shape[1:])
        return value


def _group_of(network: Network, node: fx.Node) -> str | None:
    """The layer group of a step's weights; None if it has none."""
    if node.op not in ("call_module", "get_attr"):
        return None
    names = [name for name, _ in _tensors_at(network, node)]
    return network.group_of(names[-1]) if names else None


def _is_live(
    network: Network, node: fx.Node, changes: Callable[[str], bool], *, random: bool
) -> bool:
    """Whether a step may give other numbers for the same picture later on."""
    if node.op == "call_function":
        return random and node.target in (nn.functional.dropout, torch.dropout, torch.bernoulli)
    if node.op not in ("call_module", "get_attr"):
        return False
    if any(changes(name) for name, _ in _tensors_at(network, node)):
        return True
    if node.op == "get_attr" or not random:
        return False
    module = network.get_submodule(str(node.target))
    return any(_is_random(each) for each in module.modules())


def _is_random(module: nn.Module) -> bool:
    """Whether a module draws random numbers in training mode."""
    if isinstance(module, _RANDOM) or type(module).__name__ in DRAWS:
        share = getattr(module, "p", getattr(module, "drop_prob", getattr(module, "prob", None)))
        return share is None or share > 0
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return bool(module.dropout)
    # Attention of timm's own keeps its share beside the module that would apply it.
    return bool(getattr(module, "attn_drop_p", 0) or getattr(module, "drop_prob", 0))


def _tensors_at(network: Network, node: fx.Node) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a step, by qualified name."""
    target = str(node.target)
    if node.op == "get_attr":
        owner, _, name = target.rpartition(".")
        value = getattr(network.get_submodule(owner), name)
        if isinstance(value, Tensor) and _is_owned(network.get_submodule(owner), name):
            yield target, value
        return
    yield from _tensors(network.get_submodule(target), target)


def _is_owned(module: nn.Module, name: str) -> bool:
    return name in module._parameters or name in module._buffers


def _tensors(module: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(prefix=prefix, remove_duplicate=False)
    yield from module.named_buffers(prefix=prefix, remove_duplicate=False)


def _split_graph(graph: fx.Graph, position: int) -> tuple[fx.Graph, fx.Graph]:
    """The steps up to a position, and those behind it."""
    nodes = list(graph.nodes)
    prefix, suffix = fx.Graph(), fx.Graph()
    pictures = next(node for node in nodes if node.op == "placeholder")
    before = {pictures: prefix.node_copy(pictures)}
    prefix.output(copied(nodes[position], prefix, before))
    behind = {nodes[position]: suffix.placeholder("features")}
    for node in nodes[position + 1 :]:  # in their order, so that in-place steps keep theirs
        if node.op != "output":
            copied(node, suffix, behind)
    suffix.node_copy(nodes[-1], lambda each: behind[each])
    return prefix, suffix


def _settings(module: fx.GraphModule, graph: fx.Graph) -> Iterator[str]:
    """What the modules of a graph are, with their settings, as text."""
    for target in sorted({str(node.target) for node in graph.nodes if node.op == "call_module"}):
        yield f"{target}: {module.get_submodule(target)!r}"


def _disagreement(network: Network, cuts: Cuts, pictures: Tensor) -> str:
    """What is wrong with the halves at some cuts; empty if they give the whole network's logits."""
    last = len(cuts.cuts) - 1
    with evaluating(network):
        whole = network(pictures)
        scale = float(whole.abs().max()) or 1.0
        again = network(pictures)
        if not torch.equal(whole, again):
            return "it gives other numbers the second time"
        for number in sorted({0, last // 2, last}):
            halves = cuts.split(network, cuts.cuts[number])
            off = float((halves.suffix(halves.prefix(pictures)) - whole).abs().max())
            if not off <= _TOLERANCE * scale:
                return f"split at {cuts.cuts[number].name} its logits differ by {off:.2g}"
    return ""
