"""Tapped networks as models to take away: written, read without code, exported."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import headstart
from headstart.delivery.blueprints import Blueprint
from headstart.delivery.bundle import Bundle, probe, read_bundle, write_bundle
from headstart.delivery.exporting import export
from headstart.engine.taps import find_taps
from headstart.errors import NetworkError
from headstart.networks.taps import TappedBody, Tapping, with_taps


def tapped(bundle: Bundle, numbers: int = 6) -> Bundle:
    """A bundle with its network tapped, and some weights in its head."""
    shape = (bundle.preprocessing.height, bundle.preprocessing.width, 3)
    taps = find_taps(bundle.network, Tapping(numbers), shape)
    network = with_taps(bundle.network, taps).eval()
    with torch.no_grad():
        weight = network.get_parameter("head.output.weight")
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    blueprint = bundle.blueprint.model_copy(update={"taps": taps})
    return dataclasses.replace(bundle, network=network, blueprint=blueprint)


@pytest.fixture
def small(bundle: Bundle) -> Bundle:
    random = bundle.blueprint.build(len(bundle.class_names)).eval()
    return tapped(dataclasses.replace(bundle, network=random))


def test_it_is_read_back_as_it_was_from_numbers_and_json_alone(
    small: Bundle, tmp_path: Path
) -> None:
    folder = write_bundle(small, tmp_path / "model", "# A model\n")
    assert sorted(path.suffix for path in folder.iterdir()) == sorted(
        [".safetensors", ".json", ".txt", ".csv", ".md"]
    )
    again, config = read_bundle(folder)
    assert isinstance(again.network.body, TappedBody)
    assert again.network.body.taps == small.network.body.taps
    assert again.network.groups == small.network.groups
    state = again.network.state_dict()
    for name, value in small.network.state_dict().items():
        assert torch.equal(state[name], value)
    np.testing.assert_allclose(probe(again), probe(small), atol=1e-6)
    taps = json.loads((folder / "config.json").read_text())["network"]["taps"]
    assert [tap["name"] for tap in taps] == ["body_conv_1", "body_flatten_1"]
    assert config.network.taps == small.blueprint.taps


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_exported_files_answer_as_it_does(small: Bundle, tmp_path: Path, to: Any) -> None:
    model = headstart.load(write_bundle(small, tmp_path / "model", "# A model\n"))
    exported = export(model, to)
    assert exported.agreement == 1.0
    assert exported.difference < 1e-4


def test_a_real_backbone_is_delivered_with_all_its_depths(lite: Bundle, tmp_path: Path) -> None:
    bundle = tapped(lite, numbers=64)
    folder = write_bundle(bundle, tmp_path / "model", "# A model\n")
    model = headstart.load(folder)
    assert isinstance(model.bundle.network.body, TappedBody)
    assert len(model.bundle.network.body.taps) > 40
    exported = export(model, "onnx")
    assert exported.agreement == 1.0
    assert exported.difference < 1e-4


def test_taps_of_another_network_are_refused(small: Bundle) -> None:
    blueprint = small.blueprint
    other = blueprint.taps[0].model_copy(update={"name": "body_conv_7"})
    with pytest.raises(NetworkError, match="no place 'body_conv_7' to tap"):
        blueprint.model_copy(update={"taps": (other,)}).build(3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"numbers": 0},
        {"numbers": 10**9},
        {"window": [2, 2, 2]},
        {"window": [0, 1]},
        {"name": "x" * 501},
        {"code": "import os"},
    ],
)
def test_what_is_no_tap_is_refused(small: Bundle, wrong: dict[str, Any]) -> None:
    values = small.blueprint.model_dump(mode="json")
    values["taps"][0].update(wrong)
    with pytest.raises(ValidationError, match="taps"):
        Blueprint.model_validate(values)
