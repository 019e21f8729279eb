"""A network from any module: equal to the module, which stays as it was."""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from headstart.errors import NetworkError
from headstart.networks.groups import weights_hash
from headstart.networks.modules import from_module

SHAPE = (3, 12, 12)


class Own(nn.Module):
    """What somebody may have written: blocks, norms, a classifier in the middle of the names."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.classify = nn.Linear(6, 5)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.last = nn.ReLU()

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.blocks(torch.relu(self.norm(self.conv(pictures * self.scale))))
        logits: Tensor = self.classify(self.last(features).mean((2, 3)))
        return logits


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.softmax(self.inner(pictures), dim=1)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    own = Own()
    own(torch.rand(8, *SHAPE))  # so that BatchNorm's statistics are not the initial ones
    return own.train()


def test_the_network_gives_what_the_module_gives(module: nn.Module) -> None:
    before, state = weights_hash(module.state_dict()), torch.get_rng_state()
    network = from_module(module, input_shape=SHAPE)
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    assert network.training
    assert isinstance(network.head, nn.Linear)
    assert network.pretrained
    pictures = torch.rand(4, *SHAPE)
    assert torch.equal(network.eval()(pictures), module.eval()(pictures))
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    assert weights_hash(module.state_dict()) == before
    traced = fx.symbolic_trace(network)
    assert torch.equal(traced(pictures), network(pictures))


def test_groups_are_derived_from_the_children_in_order(module: nn.Module) -> None:
    network = from_module(module, input_shape=SHAPE)
    assert network.group_names == ("conv", "norm", "blocks", "head")
    assert network.group_of("body.scale") == "conv"
    assert network.group_of("body.norm.running_mean") == "norm"
    assert network.group_of("body.last") == "blocks"
    assert network.group_of("head.weight") == "head"


def test_a_single_child_is_looked_into_and_numbers_get_a_word() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 8),
                          nn.Linear(8, 2))  # fmt: skip
    network = from_module(nn.Sequential(nn.Sequential(inner)), input_shape=SHAPE)
    assert network.group_names == ("layer_0", "layer_3", "head")
    assert network.head.out_features == 2


def test_groups_can_be_named(module: nn.Module) -> None:
    network = from_module(
        module,
        input_shape=SHAPE,
        groups={"low": ["conv", "norm", "scale"], "middle": ["blocks"], "top": ["blocks.1"]},
    )
    assert network.group_names == ("low", "middle", "top", "head")
    assert set(network.group_parameters("middle")) == {"body.blocks.0.weight", "body.blocks.0.bias"}
    assert set(network.group_parameters("top")) == {"body.blocks.1.weight", "body.blocks.1.bias"}
    assert network.group_of("body.blocks.1.running_var") == "top"


def test_a_head_can_be_pointed_at() -> None:
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 4, 3))
    module.add_module("flatten", nn.Flatten())
    module.add_module("top", nn.Sequential(nn.Linear(400, 8), nn.ReLU(), nn.Linear(8, 2)))
    network = from_module(module, input_shape=SHAPE, head="top")
    assert network.group_names == ("conv", "head")
    assert len(network.group_parameters("head")) == 4
    pictures = torch.rand(2, *SHAPE)
    assert torch.equal(network(pictures), module(pictures))


def test_every_parameter_left_out_is_named(module: nn.Module) -> None:
    with pytest.raises(NetworkError) as caught:
        from_module(module, input_shape=SHAPE, groups={"low": ["conv"], "high": ["blocks"]})
    assert caught.value.problems == (
        "no layer group claims 'scale'",
        "no layer group claims 'norm.weight'",
        "no layer group claims 'norm.bias'",
    )


def test_mistakes_in_groups_are_told_all_at_once(module: nn.Module) -> None:
    groups = {"low": ["convv", "norm"], "high": ["norm"], "none": ["last"], "head": ["blocks"]}
    with pytest.raises(NetworkError) as caught:
        from_module(module, input_shape=SHAPE, groups=groups)
    message = str(caught.value)
    assert "layer group 'low': the module has no part 'convv': did you mean 'conv'?" in message
    assert "'norm' is claimed by two layer groups" in message
    assert "layer group 'none' owns no parameters" in message
    assert "the name 'head' is kept for the head's own group" in message


def test_a_softmax_behind_the_head_is_refused(module: nn.Module) -> None:
    with pytest.raises(NetworkError, match=r"(?s)'inner.classify' is not the head.*softmax"):
        from_module(Wrapped(module), input_shape=SHAPE)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("clasify", "has no part 'clasify' to be its head: did you mean 'classify'?"),
        ("conv", "'conv' is not the head of this module"),
    ],
)
def test_a_wrong_head_is_refused(module: nn.Module, head: str, message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        from_module(module, input_shape=SHAPE, head=head)
    assert message in str(caught.value)


def test_modules_that_cannot_be_networks_are_refused(module: nn.Module) -> None:
    with pytest.raises(NetworkError, match="no linear layer inside that could be its head"):
        from_module(nn.Sequential(nn.Conv2d(3, 4, 3)), input_shape=SHAPE)
    with pytest.raises(NetworkError, match=r"does not take pictures of shape \(1, 12, 12\)"):
        from_module(module, input_shape=(1, 12, 12))
    with pytest.raises(NetworkError, match="take their size from the first picture"):
        from_module(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), input_shape=SHAPE)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(module)

        def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner(pictures), pictures

    with pytest.raises(NetworkError, match="gives a tuple, expected one tensor of logits"):
        from_module(Pair(), input_shape=SHAPE)


def test_an_untrained_module_has_nothing_to_transfer(module: nn.Module) -> None:
    assert not from_module(module, input_shape=SHAPE, pretrained=False).pretrained
