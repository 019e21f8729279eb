"""Tapped networks, against hooks on the plain network and windows averaged one by one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.engine.cuts import find_cuts
from headstart.engine.taps import find_taps
from headstart.errors import NetworkError, StudyError
from headstart.networks.builders import build_network
from headstart.networks.groups import Network, chain
from headstart.networks.heads import HeadSettings
from headstart.networks.modules import from_module
from headstart.networks.pretrained import load_backbone
from headstart.networks.taps import Tap, TappedBody, Tapping, with_taps
from headstart.study.spec import study_from

SHAPE = (13, 10, 3)
LAYERS: tuple[dict[str, Any], ...] = (
    {"conv": 4},
    {"batch_norm": True},
    {"conv": 6},
    {"dropout": 0.5},
    {"pool": 2},
)


def built(head: dict[str, Any] | None = None, **network: Any) -> Network:
    study = study_from({"network": network, "strategy": {"scratch": {}}})
    assert study.network is not None
    return build_network(study.network, HeadSettings(**(head or {})), SHAPE, 3, 0).eval()


def cnn(*more: dict[str, Any]) -> Network:
    return built(kind="cnn", layers=[*LAYERS, *more])


def noise(count: int = 4, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand((count, shape[2], *shape[:2]), generator=generator)


def seen_by_hooks(network: Network, pictures: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """What each module of the body gives, by its name."""
    seen: dict[str, np.ndarray[Any, Any]] = {}

    def keep(name: str) -> Any:
        return lambda _module, _given, value: seen.update({name: value.numpy().copy()})

    hooks = [m.register_forward_hook(keep(name)) for name, m in network.body.named_modules()]
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    return seen


def averaged(maps: np.ndarray[Any, Any], counts: tuple[int, int]) -> np.ndarray[Any, Any]:
    """So many windows a side, of equal size, that cover a map (N, C, H, W); then of unit length."""
    columns = []
    starts = []
    for edge, count in zip(maps.shape[2:], counts, strict=True):
        size = edge - (count - 1) * (edge // count)
        starts.append([slice(k * (edge // count), k * (edge // count) + size)
                       for k in range(count)])  # fmt: skip
    for channel in range(maps.shape[1]):
        for rows in starts[0]:
            columns += [maps[:, channel, rows, each].mean(axis=(1, 2)) for each in starts[1]]
    return unit(np.stack(columns, axis=1))


@pytest.fixture(autouse=True)
def _the_same_weights_each_time() -> None:
    torch.manual_seed(0)


def unit(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    flat = values.reshape(len(values), -1)
    found: np.ndarray[Any, Any] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return found


def test_the_features_are_what_hooks_see_pooled_and_side_by_side() -> None:
    network = cnn({"dense": 7})
    seen = seen_by_hooks(network, noise())
    taps = find_taps(network, Tapping(40), SHAPE)
    assert [tap.name.removeprefix("body_") for tap in taps] == [
        "conv_1", "relu_1", "batch_norm_1", "conv_2", "relu_2", "pool_1", "dense_1", "relu_3",
    ]  # fmt: skip  # dropout changes nothing, nor does flattening
    three, two = (3, 3), (2, 2)
    expected = [
        *(averaged(seen[name], three) for name in ("conv_1", "relu_1", "batch_norm_1")),
        *(averaged(seen[name], two) for name in ("conv_2", "relu_2", "pool_1")),
        unit(seen["dense_1"]),
        unit(seen["relu_3"]),
    ]
    tapped = with_taps(network, taps)
    with torch.no_grad():
        found = tapped.body(noise()).numpy()
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-5)
    assert [tap.numbers for tap in taps] == [part.shape[1] for part in expected]


def test_the_last_tap_is_all_that_a_probe_sees() -> None:
    network = cnn()
    taps = find_taps(network, Tapping(8), SHAPE)
    assert (taps[-1].name, taps[-1].window) == ("body_flatten_1", ())
    with torch.no_grad():
        found, plain = with_taps(network, taps).body(noise()), network.body(noise())
    np.testing.assert_allclose(found[:, -taps[-1].numbers :], unit(plain.numpy()), atol=1e-6)


def test_dense_layers_are_tapped_whole_and_the_picture_is_not() -> None:
    taps = find_taps(built(kind="mlp", hidden=[9, 5]), Tapping(4), SHAPE)
    assert [(tap.name, tap.numbers) for tap in taps] == [
        ("body_dense_1", 9), ("body_relu_1", 9), ("body_dense_2", 5), ("body_relu_2", 5),
    ]  # fmt: skip


def test_a_tap_reads_before_a_step_works_in_place() -> None:
    body = {"one": nn.Linear(6, 5), "bend": nn.ReLU(inplace=True), "two": nn.Linear(5, 4)}
    network = chain(body, nn.Linear(4, 3), {"all": list(body)}).eval()
    pictures = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    taps = [Tap(name=f"body_{name}", numbers=each) for name, each in
            (("one", 5), ("bend", 5), ("two", 4))]  # fmt: skip
    with torch.no_grad():
        one = body["one"](pictures).numpy().copy()
        found = with_taps(network, taps).body(pictures).numpy()
    assert one.min() < 0
    np.testing.assert_allclose(found[:, :5], unit(one), atol=1e-6)
    np.testing.assert_allclose(found[:, 5:10], unit(one.clip(min=0)), atol=1e-6)


class Tokens(nn.Module):
    """A picture as tokens (N, T, D), mixed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """The mean token."""
        tokens = torch.relu(self.one(pictures.flatten(2).transpose(1, 2)))
        mixed: Tensor = self.two(tokens).mean(dim=1)
        return mixed


def test_tokens_are_averaged_and_have_their_channels_last() -> None:
    torch.manual_seed(0)
    network = from_module(
        nn.Sequential(Tokens(), nn.Linear(4, 3)), input_shape=(SHAPE[2], *SHAPE[:2])
    ).eval()
    taps = find_taps(network, Tapping(8), SHAPE)
    seen = seen_by_hooks(network, noise())
    first = next(value for name, value in seen.items() if name.endswith("one"))
    assert taps[0].channels_last
    with torch.no_grad():
        found = with_taps(network, taps).body(noise()).numpy()[:, :8]
    halves = [first[:, :65].mean(axis=1), first[:, 65:].mean(axis=1)]
    np.testing.assert_allclose(found, unit(np.stack(halves, axis=2)), atol=1e-5)


def test_a_real_backbone_is_tapped_all_over_and_says_the_same_where_it_ends() -> None:
    backbone = load_backbone("tf_efficientnet_lite0", image_size=64, head=HeadSettings(), classes=2)
    network = backbone.network.eval()
    shape = (64, 64, 3)
    taps = find_taps(network, Tapping(512), shape)
    names = {tap.name for tap in taps}
    assert len(taps) > 40
    assert {"body_conv_stem", "body_blocks_0_0_bn2", "add", "add_8", "body_conv_head"} <= names
    assert "body_bn2" not in names  # averaged, its map is what the body ends with
    assert all(tap.numbers <= 512 for tap in taps if "blocks_0" in tap.name)
    seen = seen_by_hooks(network, noise(2, shape))
    tapped = with_taps(network, taps)
    with torch.no_grad():
        parts = tapped.body(noise(2, shape)).split([tap.numbers for tap in taps], dim=1)
    told = dict(zip([tap.name for tap in taps], parts, strict=True))
    residual = averaged(seen["blocks.1.1"], (4, 4))
    np.testing.assert_allclose(told["add"].numpy(), residual, atol=1e-5)
    np.testing.assert_allclose(parts[-1].numpy(), unit(seen[""]), atol=1e-5)
    # All of it is behind one cut, so that one pass over the pictures keeps everything.
    cuts = find_cuts(tapped, shape)
    assert cuts.traced
    numbers = sum(tap.numbers for tap in taps)
    assert [cut.shape for cut in cuts.cuts if cut.group != "head"][-1] == (numbers,)


def test_weights_belong_to_the_groups_that_they_belonged_to() -> None:
    network = cnn({"dense": 7})
    before = {name: value.clone() for name, value in network.named_parameters()}
    tapped = with_taps(network, find_taps(network, Tapping(8), SHAPE))
    assert tapped.group_names == network.group_names
    assert isinstance(tapped.body, TappedBody)
    after = dict(tapped.named_parameters())
    for name, value in before.items():
        if name.startswith("body."):
            now = name.replace("body.", "body.steps.", 1)
            assert torch.equal(after[now], value)
            assert tapped.group_of(now) == network.group_of(name)
    assert not tapped.head.get_parameter("output.weight").any()


def test_one_place_is_refused_and_what_to_use_instead() -> None:
    body = {"flat": nn.Flatten(), "only": nn.Linear(int(np.prod(SHAPE)), 4)}
    network = chain(body, nn.Linear(4, 3), {"all": list(body)})
    with pytest.raises(StudyError, match=r"one place to tap \(body_only\).*use `probe`"):
        find_taps(network, Tapping(8), SHAPE)


class Winding(nn.Module):
    """Goes on as its input says, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(int(np.prod(SHAPE)), 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features."""
        found: Tensor = self.layer(pictures.flatten(1))
        return found if float(pictures.sum()) > 0 else -found


def test_what_cannot_be_followed_is_refused_with_the_reason() -> None:
    network = chain({"winding": Winding()}, nn.Linear(4, 3), {"all": ["winding"]})
    with pytest.raises(StudyError, match=r"could not be followed.*use `probe`"):
        find_taps(network, Tapping(8), SHAPE)
    with pytest.raises(NetworkError, match="cannot be followed"):
        with_taps(network, [Tap(name="body_winding", numbers=4)])


def test_taps_that_a_network_has_not_are_refused() -> None:
    network = cnn()
    with pytest.raises(NetworkError, match=r"no place 'body_conv_9' to tap.*body_conv_"):
        with_taps(network, [Tap(name="body_conv_9", numbers=4)])
    with pytest.raises(NetworkError, match="lies behind the body"):
        with_taps(network, [Tap(name="head_output", numbers=3)])
    with pytest.raises(NetworkError, match="no place"):
        with_taps(network, [])
    deep = built(kind="mlp", hidden=[4, 4], head={"hidden": [3]})
    with pytest.raises(NetworkError, match="one linear layer"):
        with_taps(deep, [Tap(name="body_dense_1", numbers=4)])
