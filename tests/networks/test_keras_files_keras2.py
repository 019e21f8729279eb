"""Files of Keras 2, made with the real one (see data/make_keras2_files.py) and as it once wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from headstart.networks.keras_files import KerasNetwork, load_keras

DATA = Path(__file__).parent / "data"


def assert_as_keras_computed(loaded: KerasNetwork, name: str) -> None:
    truth = np.load(DATA / f"{name}.npz")
    pictures = truth["pictures"]
    channels = pictures if pictures.ndim == 4 else pictures[..., None]
    with torch.no_grad():
        logits = loaded.network(torch.from_numpy(channels).permute(0, 3, 1, 2))
    activations = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid()}
    actual = activations[str(loaded.output_activation)].numpy()
    np.testing.assert_allclose(actual, truth["outputs"], rtol=0, atol=1e-5)


def edited(path: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of an HDF5 file whose architecture was changed."""
    copy = folder / path.name
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        architecture = json.loads(file.attrs["model_config"])
        change(architecture)
        file.attrs["model_config"] = json.dumps(architecture)
    return copy


@pytest.mark.parametrize(
    "name",
    ["plain_215.h5", "nested_215.h5", "nested_215.keras", "nested_213.keras", "notebook_215.h5"],
)
def test_the_numbers_are_those_of_keras_2(name: str) -> None:
    loaded = load_keras(DATA / name)
    assert_as_keras_computed(loaded, Path(name).stem)
    assert (loaded.keras_version or "").startswith(f"2.{name.split('_')[1][1:3]}")


def test_a_frozen_model_inside_a_model_gets_its_own_arrays() -> None:
    """HDF5 lists what learns first, so that freezing changes the order in the file."""
    from_zip, from_hdf5 = (load_keras(DATA / f"nested_215.{end}") for end in ("keras", "h5"))
    state = from_zip.network.state_dict()
    assert from_hdf5.network.state_dict().keys() == state.keys()
    for key, tensor in from_hdf5.network.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    assert from_zip.network.group_names == ("conv2d_1", "conv2d_2", "shared", "head")
    assert any("'flip' (RandomFlip)" in warning for warning in from_zip.warnings)


def test_the_first_notebooks_constant_output_is_told() -> None:
    loaded = load_keras(DATA / "notebook_215.h5")
    assert (loaded.units, loaded.output_activation) == (1, "softmax")
    assert loaded.input_shape == (6, 5, 1)
    (warning,) = loaded.warnings
    assert "softmax over one unit" in warning
    assert "one unit needs a sigmoid" in warning
    assert loaded.head_layer is not None
    assert repr(loaded.head_layer) in warning


def test_the_record_of_a_keras_2_file() -> None:
    loaded = load_keras(DATA / "plain_215.h5")
    assert loaded.name == "plain"
    assert loaded.input_shape == (11, 8, 3)
    assert loaded.layer_names[0] == "rescaling"
    assert loaded.layer_names[-1] == loaded.head_layer == "classes"
    norm = loaded.network.get_submodule("body.batch_normalization")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.eps == pytest.approx(1e-3)
    assert norm.momentum == pytest.approx(0.1)
    assert len(loaded.source_sha256) == 64


def test_the_bare_list_of_layers_of_the_first_keras_2(tmp_path: Path) -> None:
    """Up to Keras 2.2.2 a Sequential's config was its layers, the first with the input's shape."""

    def bare(architecture: dict[str, Any]) -> None:
        first, *layers = architecture["config"]["layers"]
        layers[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
        for layer in layers:
            for later in ("groups", "registered_name", "module", "build_config"):
                layer.pop(later, None)
                layer["config"].pop(later, None)
        architecture["config"] = layers

    path = edited(DATA / "plain_215.h5", tmp_path, bare)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = b"2.1.6"
        file["model_weights"].attrs["keras_version"] = b"2.1.6"
    loaded = load_keras(path)
    assert_as_keras_computed(loaded, "plain_215")
    assert loaded.keras_version == "2.1.6"
    assert loaded.input_shape == (11, 8, 3)


def test_the_old_name_of_functional_models(tmp_path: Path) -> None:
    path = edited(DATA / "nested_215.h5", tmp_path, lambda raw: raw.update(class_name="Model"))
    assert_as_keras_computed(load_keras(path), "nested_215")


def test_names_that_were_made_unique_by_an_older_tensorflow(tmp_path: Path) -> None:
    """``conv2d_1_3/kernel:0``: the order says which is which, the last word confirms it."""
    copy = tmp_path / "model.h5"
    shutil.copy(DATA / "nested_215.h5", copy)
    with h5py.File(copy, "r+") as file:
        inside = file["model_weights/inside"]
        names = [name.decode() for name in inside.attrs["weight_names"].astype("S")]
        renamed = [name.replace("/", "_3/").replace(":0", "_2:0") for name in names]
        for old, new in zip(names, renamed, strict=True):
            inside.move(old, new)
        inside.attrs["weight_names"] = [name.encode() for name in renamed]
    assert_as_keras_computed(load_keras(copy), "nested_215")


def test_lists_of_names_that_were_cut_into_pieces(tmp_path: Path) -> None:
    """HDF5 attributes hold 64 kB; Keras cuts longer lists into numbered ones."""
    copy = tmp_path / "model.h5"
    shutil.copy(DATA / "nested_215.h5", copy)
    with h5py.File(copy, "r+") as file:
        attributes = file["model_weights/inside"].attrs
        names = list(attributes["weight_names"])
        del attributes["weight_names"]
        for place, start in enumerate(range(0, len(names), 4)):
            attributes[f"weight_names{place}"] = names[start : start + 4]
    assert_as_keras_computed(load_keras(copy), "nested_215")


def test_layer_names_with_dots_and_slashes(tmp_path: Path) -> None:
    """Keras 2 allowed both; torch's module names must not hold a dot."""

    def rename(architecture: dict[str, Any]) -> None:
        for layer in architecture["config"]["layers"]:
            if layer["config"]["name"] == "conv2d":
                layer["config"]["name"] = "stage.1/conv"

    path = edited(DATA / "plain_215.h5", tmp_path, rename)
    with h5py.File(path, "r+") as file:
        file["model_weights"].move("conv2d", "stage.1/conv")
    loaded = load_keras(path)
    assert_as_keras_computed(loaded, "plain_215")
    assert loaded.network.group_names[0] == "stage.1/conv"


def test_the_hard_sigmoid_of_keras_2_is_another_than_that_of_keras_3(tmp_path: Path) -> None:
    copy = tmp_path / "model.h5"
    shutil.copy(DATA / "plain_215.h5", copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["keras_version"] = "3.0.0"
    with pytest.raises(AssertionError):
        assert_as_keras_computed(load_keras(copy), "plain_215")
