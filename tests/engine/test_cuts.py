"""Where networks can be split, against what is known of them and against the whole network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.engine.cuts import Cuts, find_cuts
from headstart.networks.builders import build_network
from headstart.networks.groups import Network, chain
from headstart.networks.heads import HeadSettings
from headstart.networks.modules import from_module
from headstart.networks.pretrained import load_backbone
from headstart.strategies import STRATEGIES
from headstart.strategies.plan import Phase
from headstart.study.spec import study_from
from headstart.training.fit import set_modes

SHAPE = (12, 12, 1)


def cnn(*layers: dict[str, Any]) -> Network:
    """A network of some layers with a head for three classes."""
    study = study_from(
        {"network": {"kind": "cnn", "layers": list(layers)}, "strategy": {"scratch": {}}}
    )
    assert study.network is not None
    return build_network(study.network, HeadSettings(), SHAPE, 3, 0)


def phase(network: Network, *trained: str, **changes: Any) -> Phase:
    """A phase in which some groups learn."""
    rates = {name: 0.1 if name in trained else None for name in network.group_names}
    return STRATEGIES["scratch"].model_validate(changes).phase("one", rates)


def pictures(count: int = 5, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.rand((count, shape[2], *shape[:2]), generator=torch.Generator().manual_seed(1))


def logits(network: Network, values: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network.eval()(values)
    return result


def split_logits(network: Network, cuts: Cuts, number: int, values: Tensor) -> Tensor:
    with torch.inference_mode():
        halves = cuts.split(network.eval(), cuts.cuts[number])
        features = halves.prefix(values)
        assert tuple(features.shape[1:]) == cuts.cuts[number].shape
        return halves.suffix(features)


LAYERS: tuple[dict[str, Any], ...] = (
    {"conv": 4},
    {"batch_norm": True},
    {"pool": 2},
    {"conv": 6},
    {"dropout": 0.5},
    {"dense": 10},
)


def test_a_chain_can_be_split_behind_each_of_its_steps() -> None:
    network = cnn(*LAYERS)
    cuts = find_cuts(network, SHAPE)
    assert cuts.traced
    assert len(cuts.cuts) >= len(LAYERS)
    for number in range(len(cuts.cuts)):
        torch.testing.assert_close(
            split_logits(network, cuts, number, pictures()), logits(network, pictures())
        )


class Skipping(nn.Module):
    """A stem, a block with a way round it, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(4, 3)

    def forward(self, values: Tensor) -> Tensor:
        first = self.stem(values)
        result: Tensor = self.fc((first + self.block(first)).mean((2, 3)))
        return result


def test_there_is_no_cut_beside_a_way_round() -> None:
    network = from_module(Skipping(), input_shape=(1, 12, 12))
    names = [cut.name for cut in find_cuts(network, SHAPE).cuts]
    assert names == ["body_stem", "add", "mean", "body_fc", "head"]  # body_fc: an identity now


class Moody(nn.Module):
    """Looks at its numbers to decide what to do, which cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, values: Tensor) -> Tensor:
        first = self.stem(values)
        if first.sum() > 0:
            first = first * 2
        result: Tensor = self.fc(first.mean((2, 3)))
        return result


def test_between_body_and_head_every_network_can_be_split() -> None:
    network = from_module(Moody(), input_shape=(1, 12, 12))
    cuts = find_cuts(network, SHAPE)
    assert (cuts.traced, [cut.name for cut in cuts.cuts]) == (False, ["features"])
    assert cuts.reason
    torch.testing.assert_close(
        split_logits(network, cuts, 0, pictures()), logits(network, pictures())
    )
    assert cuts.before(network, phase(network, "head")) == cuts.cuts[0]
    assert cuts.before(network, phase(network, "stem", "head")) is None


def test_a_network_that_acts_otherwise_in_training_is_split_at_its_head() -> None:
    class Sly(Moody):
        def forward(self, values: Tensor) -> Tensor:
            first = self.stem(values)
            first = first * 2 if self.training else first
            result: Tensor = self.fc(first.mean((2, 3)))
            return result

    cuts = find_cuts(from_module(Sly(), input_shape=(1, 12, 12)), SHAPE)
    assert not cuts.traced
    assert "while training" in cuts.reason


@pytest.mark.parametrize(
    ("layers", "trained", "last"),
    [
        (LAYERS, ("head",), "conv_2"),  # its dropout stands before the dense layer
        ([*LAYERS[:4], LAYERS[5]], ("head",), "dense_1"),
        (LAYERS, ("dense_1", "head"), "conv_2"),
        ([{"conv": 32, "kernel": 5}, *LAYERS[1:]], ("conv_2", "head"), "conv_1"),
    ],
)
def test_a_phase_enters_before_what_learns_or_draws(
    layers: list[dict[str, Any]], trained: tuple[str, ...], last: str
) -> None:
    network = cnn(*layers)
    cut = find_cuts(network, SHAPE).before(network, phase(network, *trained))
    assert cut is not None
    assert cut.group == last


def test_a_phase_that_trains_the_stem_enters_at_the_pictures() -> None:
    network = cnn(*LAYERS)
    cuts = find_cuts(network, SHAPE)
    assert cuts.before(network, phase(network, *network.group_names)) is None


def test_without_training_dropout_is_no_border() -> None:
    network = cnn(*LAYERS)
    cut = find_cuts(network, SHAPE).unchanged(network, frozenset({"head"}))
    assert cut is not None
    assert cut.group == "dense_1"


def test_what_the_suffix_learns_the_network_has() -> None:
    network = cnn(*LAYERS)
    cuts = find_cuts(network, SHAPE)
    one = phase(network, "dense_1", "head")
    set_modes(network, one)
    cut = cuts.before(network, one)
    assert cut is not None
    halves = cuts.split(network, cut)
    with torch.no_grad():
        features = halves.prefix(pictures())
    halves.suffix(features).sum().backward()  # type: ignore[no-untyped-call]
    learnt = {name for name, each in network.named_parameters() if each.grad is not None}
    assert learnt == {
        n for n in dict(network.named_parameters()) if "conv" not in n and "norm" not in n
    }


def test_real_backbones_can_be_followed() -> None:
    backbone = load_backbone("tf_efficientnet_lite0", image_size=64, head=HeadSettings(), classes=2)
    cuts = find_cuts(backbone.network, (64, 64, 3))
    assert cuts.traced
    assert len(cuts.cuts) > 50
    cut = cuts.before(backbone.network, phase(backbone.network, "head"))
    assert cut is not None
    assert cut.shape == (1280,)
    shown = pictures(3, (64, 64, 3))
    number = cuts.cuts.index(cut)
    torch.testing.assert_close(
        split_logits(backbone.network, cuts, number, shown), logits(backbone.network, shown)
    )


def test_finding_cuts_leaves_no_trace() -> None:
    network = cnn(*LAYERS)
    set_modes(network, phase(network, "head"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random_state = torch.get_rng_state()
    find_cuts(network, SHAPE)
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(random_state, torch.get_rng_state())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_layers_are_named_by_their_group() -> None:
    network = chain(
        {"a": nn.Conv2d(1, 2, 3), "b": nn.Flatten(), "c": nn.Linear(200, 4)},
        nn.Linear(4, 3),
        {"stem": ["a"], "top": ["c"]},
    )
    assert [cut.group for cut in find_cuts(network, SHAPE).cuts] == ["stem", "stem", "top", "head"]
