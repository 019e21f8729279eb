"""Bodies trained elsewhere: the same numbers as where they come from, and a fair control."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from headstart.data.image_set import ImageSet
from headstart.data.transforms import Preprocessing
from headstart.errors import NetworkError
from headstart.networks.groups import HEAD, weights_hash
from headstart.networks.heads import HeadSettings, probabilities
from headstart.networks.keras_files import build_keras
from headstart.networks.layers import draw_again
from headstart.networks.ready_made import KerasBody, TimmBody
from headstart.study.pictures import brought_to_size, scaling_of
from headstart.study.records import TrialKey
from headstart.study.spec import study_from
from headstart.study.workplace import Workplace

# Keras 3.15 itself, when it saves variables of the torch backend with NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
SIDE = 40


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["KERAS_HOME"] = str(tmp_path_factory.mktemp("keras"))
    import keras

    return keras


@pytest.fixture(scope="module")
def vgg16(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """VGG16 without its top, as the notebook takes it, but with weights that were just drawn."""
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    path = tmp_path_factory.mktemp("vgg") / "vgg16.keras"
    model.save(path)
    return model, path


def pictures(count: int = 4) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("features", ["flattened", "pooled"])
def test_vgg16_from_keras_gives_keras_own_features(
    keras: Any, vgg16: tuple[Any, Path], features: Any
) -> None:
    model, path = vgg16
    body = KerasBody.load(path, None, features)
    assert body.keras.preprocessing_mode == "caffe"

    shown = keras.applications.vgg16.preprocess_input(pictures().astype(np.float32))
    layer = (
        keras.layers.Flatten() if features == "flattened" else keras.layers.GlobalAveragePooling2D()
    )
    expected = keras.ops.convert_to_numpy(layer(model(shown, training=False)))

    scaling = scaling_of(body.preprocessing)
    values = (pictures() - scaling.shift) / scaling.divisor
    with torch.inference_mode():
        network = body.pretrained(HeadSettings(), 2, 0).eval()
        found = network.body(torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2))
    assert body.features == expected.shape[1]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_vgg16_can_be_built_again_without_its_file(vgg16: tuple[Any, Path]) -> None:
    body = KerasBody.load(vgg16[1], None, "flattened")
    network = body.pretrained(HeadSettings(), 2, 0)
    again = build_keras(body.blueprint)
    again.body.load_state_dict(network.body.state_dict())
    assert [group.name for group in again.groups] == [group.name for group in network.groups]
    values = torch.rand(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.equal(again.eval().body(values), network.eval().body(values))


def test_the_notebooks_own_head_can_be_compared_on_it(
    vgg16: tuple[Any, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    shown = rng.normal(90 + 60 * labels[:, None, None, None], 30, (60, SIDE, SIDE, 3))
    images = ImageSet.from_arrays(shown.clip(0, 255).astype(np.uint8), labels)
    study = study_from(
        {
            "source": {"keras": str(vgg16[1]), "features": "flattened"},
            "head": {"hidden": [32, 32], "dropout": 0.5},
            "training": {"optimizer": "adam", "epochs": 3},
            "strategy": {"frozen": {}},
            "study": {"seeds": 1, "baseline": "frozen"},
        }
    )
    outcome = Workplace(study, lambda: images, tmp_path).fit_trial(TrialKey("frozen", 0, "all"))
    assert outcome.val_probabilities.shape[1] == 2
    assert outcome.trainable_parameters == 512 * 32 + 32 + 32 * 32 + 32 + 32 + 1


@pytest.mark.parametrize(
    ("units", "activation", "has_head"),
    [(3, "softmax", True), (1, "sigmoid", True), (3, "sigmoid", False), (None, None, False)],
)
def test_a_keras_source_brings_the_head_that_tells_its_classes_apart(
    keras: Any, units: int | None, activation: str | None, has_head: bool, tmp_path: Path
) -> None:
    layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(5)]
    if units is not None:
        layers.append(keras.layers.Dense(units, activation=activation))
    else:
        layers.append(keras.layers.Activation("relu"))
    model = keras.Sequential(layers)
    model.save(tmp_path / "one.keras")
    body = KerasBody.load(tmp_path / "one.keras", None)
    network = body.pretrained(HeadSettings(), 2, 0).eval()
    assert (network.source_head is not None) == has_head
    assert body.fresh(HeadSettings(), 2, 0).source_head is None
    if network.source_head is not None:
        values = torch.rand(4, 1, 6, 6)
        expected = keras.ops.convert_to_numpy(model(values.permute(0, 2, 3, 1).numpy()))
        with torch.inference_mode():
            said = probabilities(network.source_head.module(network.body(values)))
        found = said[:, -1:] if units == 1 else said
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_file_of_another_size_is_refused(vgg16: tuple[Any, Path]) -> None:
    with pytest.raises(NetworkError, match=r"takes pictures of 40 × 40, but data\.image_size"):
        KerasBody.load(vgg16[1], (64, 64))


def test_a_file_for_any_size_needs_one(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D()]
    )
    model.save(tmp_path / "any.keras")
    with pytest.raises(NetworkError, match="takes pictures of any size"):
        KerasBody.load(tmp_path / "any.keras", None)
    assert KerasBody.load(tmp_path / "any.keras", (12, 10)).features == 4


def test_the_control_has_weights_of_its_own_and_the_same_head(vgg16: tuple[Any, Path]) -> None:
    body = KerasBody.load(vgg16[1], None)
    before = weights_hash(body.keras.network.state_dict())
    trained, fresh, again = (
        body.pretrained(HeadSettings(), 2, 3),
        body.fresh(HeadSettings(), 2, 3),
        body.fresh(HeadSettings(), 2, 3),
    )
    assert (trained.pretrained, fresh.pretrained) == (True, False)
    assert weights_hash(fresh.state_dict()) == weights_hash(again.state_dict())
    assert weights_hash(body.keras.network.state_dict()) == before
    for name, value in fresh.state_dict().items():
        same = torch.equal(value, trained.state_dict()[name])
        assert same == (name.startswith(f"{HEAD}.") or name.endswith(".bias")), name


def test_timms_control_has_weights_of_its_own_and_the_same_head() -> None:
    body = TimmBody.load(
        "tf_efficientnet_lite0", weights=None, image_size=64, channels=3, features="pooled"
    )
    trained, fresh = (make(HeadSettings(), 3, 5) for make in (body.pretrained, body.fresh))
    other = body.fresh(HeadSettings(), 3, 6)
    assert trained.group_names == fresh.group_names
    assert torch.equal(
        trained.state_dict()["head.output.weight"], fresh.state_dict()["head.output.weight"]
    )
    stem = "body.conv_stem.weight"
    assert not torch.equal(trained.state_dict()[stem], fresh.state_dict()[stem])
    assert not torch.equal(other.state_dict()[stem], fresh.state_dict()[stem])
    assert body.sha256
    assert body.licence


def test_weights_are_drawn_again_as_keras_draws_them() -> None:
    body = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Linear(64, 200, bias=False))
    with torch.no_grad():
        for each in body.parameters():
            each.fill_(7)
    draw_again(body, np.random.default_rng(0))
    limit = (6 / (9 * 8 + 9 * 64)) ** 0.5
    first = body[0]
    assert isinstance(first, nn.Conv2d)
    weight = first.weight.detach()
    assert float(weight.abs().max()) <= limit
    assert float(weight.std()) == pytest.approx(limit / 3**0.5, rel=0.05)
    assert body[2].bias is None
    assert torch.equal(body[1].weight, torch.ones(64))


def test_what_cannot_be_drawn_again_is_told_by_name() -> None:
    with pytest.raises(NetworkError, match=r"odd \(GRU\).*leave scratch out"):
        draw_again(nn.ModuleDict({"odd": nn.GRU(2, 2)}), np.random.default_rng(0))


def test_pictures_that_a_keras_file_rescales_itself_are_not_scaled_before(
    keras: Any, tmp_path: Path
) -> None:
    inner = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D()],
        name="mobilenet_like",
    )
    model = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1), inner]
    )
    model.save(tmp_path / "rescaling.keras")
    body = KerasBody.load(tmp_path / "rescaling.keras", None)
    scaling = scaling_of(body.preprocessing)
    np.testing.assert_allclose(scaling.shift, 0, atol=1e-6)
    np.testing.assert_allclose(scaling.divisor, 1, rtol=1e-6)


def test_timms_control_is_built_from_the_same_arguments() -> None:
    body = TimmBody.load(
        "tf_efficientnet_lite0", weights=None, image_size=64, channels=1, features="flattened"
    )
    trained, fresh = (
        make(HeadSettings(), 3, 5).state_dict() for make in (body.pretrained, body.fresh)
    )
    assert {name: value.shape for name, value in trained.items()} == {
        name: value.shape for name, value in fresh.items()
    }


def test_pictures_of_the_right_size_are_cropped_as_all_others() -> None:
    images = ImageSet.from_arrays(pictures(6), np.arange(6) % 2)
    cropping = Preprocessing(height=SIDE, width=SIDE, crop_fraction=0.8)
    found = brought_to_size(images, cropping, images.class_names)
    shown = Image.fromarray(images.pictures[3])
    np.testing.assert_array_equal(found.pictures[3], cropping.apply(shown))
    plain = Preprocessing(height=SIDE, width=SIDE)
    assert brought_to_size(images, plain, images.class_names) is images
