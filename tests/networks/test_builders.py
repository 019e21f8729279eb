"""Built networks: the notebooks' own, counted and computed again by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional

from headstart.errors import NetworkError
from headstart.networks.builders import CnnSettings, MlpSettings, NetworkSettings, build_network
from headstart.networks.groups import Network, count_parameters
from headstart.networks.heads import HeadSettings
from headstart.settings import Settings, describe_problems

MLP_000 = {"kind": "mlp", "hidden": [300, 100, 50, 50, 50], "activation": "selu"}
MLP_001 = {"kind": "mlp", "hidden": [100, 100, 100], "init": "he_normal"}
MLP_002 = {"kind": "mlp", "hidden": [128, 64, 32, 16]}
CNN_003 = {
    "kind": "cnn",
    "layers": [{"conv": 32}, {"conv": 32}, {"pool": 2}, {"dropout": 0.25}],
}
HEAD_003 = {"hidden": [128], "dropout": 0.2}


class Table(Settings):
    network: NetworkSettings


def built(
    settings: dict[str, Any],
    *,
    shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 2,
    seed: int = 0,
    head: dict[str, Any] | None = None,
) -> Network:
    network: MlpSettings | CnnSettings = TypeAdapter(NetworkSettings).validate_python(settings)
    top = HeadSettings.model_validate(head or {})
    return build_network(network, top, shape, classes, seed)


def cnn(*layers: dict[str, Any], **options: Any) -> Network:
    return built({"kind": "cnn", "layers": list(layers)}, **options)


def per_group(network: Network) -> list[int]:
    return [count_parameters(network.group_parameters(g).values()) for g in network.group_names]


def linear(network: Network, layer: str, values: Tensor) -> Tensor:
    weights = dict(network.named_parameters())
    return values @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]


def convolved(network: Network, layer: str, values: Tensor, **options: int) -> Tensor:
    weights = dict(network.named_parameters())
    bias = weights[f"{layer}.bias"]
    return functional.conv2d(values, weights[f"{layer}.weight"], bias, **options)


def problems(settings: Any) -> tuple[str, ...]:
    values = {"network": settings}
    with pytest.raises(ValidationError) as caught:
        Table.model_validate(values)
    return describe_problems(caught.value, Table, values=values)


@pytest.mark.parametrize(
    ("settings", "head", "classes", "parameters"),
    [
        # Notebook 000's summary; it calls the whole 275,801, of which 51 are the head's.
        (MLP_000, None, 2, [235500, 30100, 5050, 2550, 2550, 51]),
        (MLP_000, None, 8, [235500, 30100, 5050, 2550, 2550, 408]),
        (MLP_001, None, 2, [78500, 10100, 10100, 101]),
        (MLP_002, None, 2, [100480, 8256, 2080, 528, 17]),
        (MLP_002, None, 10, [100480, 8256, 2080, 528, 170]),
        # Notebook 003's summary gives 320 and 9,248 for the convolutions.
        (CNN_003, HEAD_003, 5, [320, 9248, 589952 + 645]),
    ],
)
def test_the_notebooks_networks_have_their_parameters(
    settings: dict[str, Any], head: dict[str, Any] | None, classes: int, parameters: list[int]
) -> None:
    assert per_group(built(settings, classes=classes, head=head)) == parameters


def test_the_first_notebook_counts_its_parameters_right() -> None:
    assert count_parameters(built(MLP_000).parameters()) == 275_801


def test_an_mlp_computes_what_its_weights_say() -> None:
    network = built(MLP_000, classes=8, seed=3)
    assert network.group_names == ("dense_1", "dense_2", "dense_3", "dense_4", "dense_5", "head")
    pictures = torch.rand(4, 1, 28, 28)
    values = pictures.reshape(4, -1)
    for number in range(1, 6):
        values = functional.selu(linear(network, f"body.dense_{number}", values))
    assert torch.allclose(network(pictures), linear(network, "head.output", values), atol=1e-5)
    assert network.group_of("body.flatten") == "dense_1"
    assert network.group_of("body.selu_5") == "dense_5"


def test_a_cnn_computes_what_its_weights_say() -> None:
    network = built(CNN_003, head=HEAD_003, classes=5, seed=1).eval()
    assert network.group_names == ("conv_1", "conv_2", "head")
    pictures = torch.rand(3, 1, 28, 28)
    values = pictures
    for number in (1, 2):
        values = functional.relu(convolved(network, f"body.conv_{number}", values))
    values = functional.max_pool2d(values, 2).flatten(1)
    assert values.shape == (3, 12 * 12 * 32)
    values = functional.relu(linear(network, "head.dense_1", values))
    assert torch.allclose(network(pictures), linear(network, "head.output", values), atol=1e-5)


def test_a_layer_without_weights_belongs_to_the_group_before_it() -> None:
    network = cnn(
        {"conv": 4, "padding": "same", "activation": "elu"},
        {"batch_norm": True},
        {"pool": 2, "mode": "mean"},
        {"conv": 6, "kernel": 2, "stride": 2},
        {"dropout": 0.5},
        {"dense": 7, "activation": "tanh"},
        {"dense": 5},
        shape=(12, 10, 3),
        classes=4,
    ).eval()
    assert network.group_names == ("conv_1", "conv_2", "dense_1", "dense_2", "head")
    owners = {name: network.group_of(f"body.{name}") for name, _ in network.body.named_children()}
    assert owners == {
        "conv_1": "conv_1", "elu_1": "conv_1", "batch_norm_1": "conv_1", "pool_1": "conv_1",
        "conv_2": "conv_2", "relu_1": "conv_2", "dropout_1": "conv_2", "flatten_1": "conv_2",
        "dense_1": "dense_1", "tanh_1": "dense_1", "dense_2": "dense_2", "relu_2": "dense_2",
    }  # fmt: skip
    pictures = torch.rand(2, 3, 12, 10)
    values = functional.elu(convolved(network, "body.conv_1", pictures, padding=1))
    values = functional.avg_pool2d(values / np.sqrt(1 + 1e-5), 2)  # BatchNorm as it starts
    values = functional.relu(convolved(network, "body.conv_2", values, stride=2))
    assert values.shape == (2, 6, 3, 2)
    values = torch.tanh(linear(network, "body.dense_1", values.flatten(1)))
    values = functional.relu(linear(network, "body.dense_2", values))
    assert torch.allclose(network.body(pictures), values, atol=1e-5)
    assert network(pictures).shape == (2, 4)


def test_all_bodies_of_one_seed_have_the_same_initial_head() -> None:
    networks = [
        built({"kind": "mlp", "hidden": [12, 6]}, classes=3, seed=5),
        built({"kind": "mlp", "hidden": [9, 7, 6], "init": "he_normal"}, classes=3, seed=5),
        cnn({"conv": 2}, {"dense": 6}, classes=3, seed=5, shape=(9, 9, 3)),
    ]
    heads = [network.head.state_dict() for network in networks]
    for other in heads[1:]:
        for key, value in heads[0].items():
            assert torch.equal(value, other[key])
    another = built({"kind": "mlp", "hidden": [12, 6]}, classes=3, seed=6)
    assert not torch.equal(heads[0]["output.weight"], another.head.state_dict()["output.weight"])


@pytest.mark.parametrize("settings", [MLP_002, CNN_003])
def test_the_initial_body_depends_on_the_seed_and_not_on_the_head(
    settings: dict[str, Any],
) -> None:
    state = torch.get_rng_state()
    body = built(settings, seed=2).body.state_dict()
    same = built(settings, seed=2, classes=7, head={"hidden": [5]}).body.state_dict()
    other = built(settings, seed=3).body.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in body.items():
        assert torch.equal(value, same[key])
        assert torch.equal(value, other[key]) == key.endswith("bias")


def test_the_initial_scheme_reaches_every_layer() -> None:
    network = built({**CNN_003, "init": "he_normal"}, head=HEAD_003)
    state = network.state_dict()
    assert float(state["body.conv_2.weight"].var()) == pytest.approx(2 / (32 * 9), rel=0.1)
    assert float(state["head.dense_1.weight"].var()) == pytest.approx(2 / (4608 + 128), rel=0.1)


def test_a_fresh_network_has_nothing_to_transfer() -> None:
    assert not built(MLP_000).pretrained


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"conv": 2, "kernel": 9}],
         "network.layers: conv_1 cannot take features of 8 × 6 (a picture is 8 × 6): use a "
         "smaller kernel or fewer poolings"),
        ([{"conv": 2}, {"pool": 3}, {"pool": 2}],
         "network.layers: pool_2 cannot take features of 2 × 1 (a picture is 8 × 6)"),
        ([{"conv": 2}, {"pool": 2, "mode": "mean"}, {"conv": 2}],
         "network.layers: conv_2 cannot take features of 3 × 2 (a picture is 8 × 6)"),
        ([{"conv": 2}, {"pool": 5, "mode": "mean"}],
         "network.layers: pool_1 cannot take features of 6 × 4 (a picture is 8 × 6)"),
    ],
)  # fmt: skip
def test_a_picture_too_small_for_the_layers_is_told(
    layers: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(NetworkError) as caught:
        cnn(*layers, shape=(8, 6, 1))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"kind": "rnn"}, ["network: kind = 'rnn' is not known; did you mean 'cnn'? Known: cnn, "
                           "mlp"]),
        ({"kind": "mlp", "hidden": []}, ["network.hidden: tuple should have at least 1 item"]),
        ({"kind": "mlp", "hidden": [0], "activation": "rleu", "init": "he"},
         ["network.hidden.0: input should be greater than or equal to 1, got 0",
          "network.activation: 'rleu' is not known; did you mean 'relu'?",
          "network.init: 'he' is not known;"]),
        ({"kind": "mlp", "hidden": [3], "layers": []}, ["network.layers: unknown key;"]),
        ({"kind": "cnn", "layers": []}, ["network.layers: tuple should have at least 1 item"]),
        ({"kind": "cnn", "layers": [{"pool": 2}]},
         ["network: the first layer must be a convolution: {conv = N}"]),
        ({"kind": "cnn", "layers": [{"conv": 2}, {"dense": 3}, {"pool": 2}]},
         ["network: after a dense layer only dense layers and dropout can follow"]),
        ({"kind": "cnn", "layers": [{"conv": 2, "padding": "same", "stride": 2}]},
         ['network.layers.0: padding = "same" needs stride = 1']),
        ({"kind": "cnn", "layers": [{"conv": 0}, 5, {"cov": 3}, {"dropout": 1.0},
                                    {"batch_norm": False}, {"dense": 3, "units": 3}]},
         ["network.layers.0.conv: input should be greater than or equal to 1, got 0",
          "network.layers.1: a layer is one of {conv = N}, {pool = N}, {dropout = P}",
          "network.layers.2: a layer is one of {conv = N}, {pool = N}, {dropout = P}",
          "network.layers.3.dropout: input should be less than 1, got 1.0",
          "network.layers.4.batch_norm: ",
          "network.layers.5.units: unknown key; Known: activation, dense"]),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_built_are_refused(
    settings: dict[str, Any], messages: list[str]
) -> None:
    found = problems(settings)
    assert len(found) == len(messages)
    for sentence, message in zip(found, messages, strict=True):
        assert sentence.startswith(message)


@pytest.mark.parametrize("settings", [MLP_000, CNN_003])
def test_settings_survive_their_own_json(settings: dict[str, Any]) -> None:
    kind = TypeAdapter[Any](NetworkSettings)
    made = kind.validate_python(settings)
    assert kind.validate_json(kind.dump_json(made)) == made
    assert kind.validate_python(made) == made
