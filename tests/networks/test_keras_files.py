"""What real Keras 3 saves must come out of `load_keras` with the same numbers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.keras_files import KerasNetwork, load_keras

Layers = Callable[[Any], list[Any]]

# Keras 3.15 itself, when it saves variables of the torch backend with NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["KERAS_HOME"] = str(tmp_path_factory.mktemp("keras"))
    import keras

    return keras


def filled(model: Any, seed: int = 0) -> Any:
    """The model with numbers in every array that cannot be taken for another's."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "normalization/" in weight.path and "batch" not in weight.path:
            continue
        positive = "variance" in weight.name or "gamma" in weight.name
        low, high = (0.5, 1.5) if positive else (-0.6, 0.6)
        weight.assign(rng.uniform(low, high, tuple(weight.shape)).astype(np.float32))
    return model


def outputs(loaded: KerasNetwork, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """The loaded network's outputs in Keras' layout, with the activation put back."""
    channels = pictures if pictures.ndim == 4 else pictures[..., None]
    with torch.no_grad():
        result = loaded.network(torch.from_numpy(channels).permute(0, 3, 1, 2))
    if loaded.output_activation == "softmax":
        result = result.softmax(1)
    elif loaded.output_activation == "sigmoid":
        result = result.sigmoid()
    return np.asarray(result.permute(0, 2, 3, 1) if result.dim() == 4 else result)


def assert_same(model: Any, loaded: KerasNetwork, seed: int = 0) -> None:
    """Within 1e-5 of the largest output."""
    sizes = [size or 10 for size in model.input_shape[1:]]
    pictures = np.random.default_rng(seed).uniform(-2, 3, (3, *sizes)).astype(np.float32)
    expected = model(pictures, training=False).detach().numpy()
    actual = outputs(loaded, pictures)
    assert actual.shape == expected.shape
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def saved(model: Any, path: Path) -> KerasNetwork:
    model.save(path)
    return load_keras(path)


PICTURE = (9, 8, 3)
EVERY_LAYER: dict[str, tuple[tuple[int, ...], Layers]] = {
    "dense": ((5, 4), lambda L: [L.Flatten(), L.Dense(4), L.Dense(2)]),
    "dense without bias": (PICTURE, lambda L: [L.Flatten(), L.Dense(3, use_bias=False)]),
    "dense on pictures": (PICTURE, lambda L: [L.Dense(4, activation="tanh"), L.Flatten()]),
    "conv": (PICTURE, lambda L: [L.Conv2D(4, (3, 2))]),
    "conv without bias": (PICTURE, lambda L: [L.Conv2D(4, 3, use_bias=False)]),
    "conv of even kernel": (PICTURE, lambda L: [L.Conv2D(4, (2, 4), padding="same")]),
    "conv dilated": (PICTURE, lambda L: [L.Conv2D(4, 3, dilation_rate=(2, 1), padding="same")]),
    "conv in groups": ((6, 6, 4), lambda L: [L.Conv2D(6, 3, groups=2, strides=2)]),
    "depthwise": (PICTURE, lambda L: [L.DepthwiseConv2D(3, depth_multiplier=2)]),
    "depthwise strided": (PICTURE, lambda L: [L.DepthwiseConv2D(3, strides=2, padding="same")]),
    "separable": (PICTURE, lambda L: [L.SeparableConv2D(5, 3, depth_multiplier=2)]),
    "separable strided": (
        PICTURE,
        lambda L: [L.SeparableConv2D(5, 3, strides=2, padding="same", activation="relu")],
    ),
    "batchnorm": (PICTURE, lambda L: [L.BatchNormalization(epsilon=0.1)]),
    "batchnorm of vectors": (PICTURE, lambda L: [L.Flatten(), L.BatchNormalization(axis=1)]),
    "batchnorm without scale": (PICTURE, lambda L: [L.BatchNormalization(scale=False)]),
    "batchnorm without center": (PICTURE, lambda L: [L.BatchNormalization(center=False)]),
    "batchnorm with neither": (
        PICTURE,
        lambda L: [L.BatchNormalization(center=False, scale=False)],
    ),
    "max pooling": (PICTURE, lambda L: [L.MaxPooling2D(2)]),
    "max pooling same": (PICTURE, lambda L: [L.MaxPooling2D(3, strides=2, padding="same")]),
    "average pooling": (PICTURE, lambda L: [L.AveragePooling2D((3, 2), strides=1)]),
    "average pooling same": ((7, 9, 3), lambda L: [L.AveragePooling2D(3, 2, padding="same")]),
    "global average": (PICTURE, lambda L: [L.GlobalAveragePooling2D(), L.Dense(2)]),
    "global average kept": (PICTURE, lambda L: [L.GlobalAveragePooling2D(keepdims=True)]),
    "global max": (PICTURE, lambda L: [L.GlobalMaxPooling2D()]),
    "reshape": (PICTURE, lambda L: [L.Reshape((4, -1, 6)), L.Conv2D(2, 2)]),
    "reshape of gray": ((6, 5), lambda L: [L.Reshape((6, 5, 1)), L.Conv2D(2, 2)]),
    "reshape to vectors": (PICTURE, lambda L: [L.Reshape((-1,)), L.Dense(2)]),
    "zero padding": (PICTURE, lambda L: [L.ZeroPadding2D(2)]),
    "zero padding uneven": (PICTURE, lambda L: [L.ZeroPadding2D(((0, 1), (2, 3)))]),
    "zero padding of pairs": (PICTURE, lambda L: [L.ZeroPadding2D((1, 2))]),
    "rescaling": (PICTURE, lambda L: [L.Rescaling(1 / 127.5, offset=-1)]),
    "rescaling by channel": (PICTURE, lambda L: [L.Rescaling([1.0, 2, 3], offset=[0, 1.0, 2])]),
    "rescaling of gray": ((6, 5), lambda L: [L.Rescaling(0.1), L.Flatten(), L.Dense(2)]),
    "normalization": (
        PICTURE,
        lambda L: [L.Normalization(mean=[1.0, 2, 3], variance=[0.5, 1, 2])],
    ),
    "normalization by one": (PICTURE, lambda L: [L.Normalization(None, mean=2.0, variance=3.0)]),
    "normalization inverted": (
        PICTURE,
        lambda L: [L.Normalization(mean=[1.0, 2, 3], variance=[0.5, 1, 2], invert=True)],
    ),
    "prelu": (PICTURE, lambda L: [L.PReLU()]),
    "prelu by channel": (PICTURE, lambda L: [L.PReLU(shared_axes=[1, 2])]),
    "prelu of vectors": (PICTURE, lambda L: [L.Flatten(), L.PReLU()]),
    "leaky": (PICTURE, lambda L: [L.LeakyReLU(negative_slope=0.2), L.LeakyReLU()]),
    "leaky as activation": (PICTURE, lambda L: [L.Conv2D(2, 1, activation=L.LeakyReLU(0.1))]),
    "relu": (PICTURE, lambda L: [L.ReLU()]),
    "relu of six": (PICTURE, lambda L: [L.ReLU(max_value=6)]),
    "relu bent": (
        PICTURE,
        lambda L: [L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)],
    ),
    "elu": (PICTURE, lambda L: [L.ELU(alpha=0.7)]),
    "softmax of channels": (PICTURE, lambda L: [L.Softmax(), L.Conv2D(2, 2)]),
    "dropouts": (
        PICTURE,
        lambda L: [L.Dropout(0.5), L.SpatialDropout2D(0.3), L.AlphaDropout(0.1), L.Flatten()],
    ),
    "augmentation": (
        PICTURE,
        lambda L: [L.RandomFlip(), L.RandomRotation(0.1), L.GaussianNoise(0.1), L.Flatten()],
    ),
}


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_every_layer_gives_the_numbers_of_keras(
    name: str, ending: str, keras: Any, tmp_path: Path
) -> None:
    shape, make = EVERY_LAYER[name]
    model = filled(keras.Sequential([keras.Input(shape), *make(keras.layers)]))
    assert_same(model, saved(model, tmp_path / f"model.{ending}"))


ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "tanh_shrink",
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_gives_the_numbers_of_keras(name: str, keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    inner = [layers.Conv2D(3, 2, activation=name), layers.Conv2D(2, 1), layers.Activation("elu")]
    model = filled(keras.Sequential([keras.Input((5, 4, 3)), *inner]))
    assert_same(model, saved(model, tmp_path / "model.keras"))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (7, 10)])
def test_same_padding_with_strides_is_tensorflows(
    kernel: int, size: tuple[int, int], keras: Any, tmp_path: Path
) -> None:
    stride = {"strides": 2, "padding": "same"}
    layers = [
        keras.layers.Conv2D(3, kernel, **stride),
        keras.layers.MaxPooling2D(kernel, **stride),
    ]
    for layer in layers:
        model = filled(keras.Sequential([keras.Input((*size, 2)), layer]))
        assert_same(model, saved(model, tmp_path / "model.keras"))


def test_same_padding_of_three_by_three_on_four_pixels_by_hand(keras: Any, tmp_path: Path) -> None:
    """Stride 2 on 4 pixels pads 0 before and 1 after; torch's own padding would be 1 and 1."""
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 3, strides=2, padding="same")]
    )
    model.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    pictures = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    grid = outputs(saved(model, tmp_path / "model.keras"), pictures)[0, :, :, 0]
    plain = pictures[0, :, :, 0]
    by_hand = [
        [plain[:3, :3].sum(), plain[:3, 2:].sum()],
        [plain[2:, :3].sum(), plain[2:, 2:].sum()],
    ]
    np.testing.assert_array_equal(grid, by_hand)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_average_pooling_same_takes_the_mean_of_what_is_there(
    kernel: int, strides: int, keras: Any, tmp_path: Path
) -> None:
    """By hand: where one side is padded more, Keras' torch backend repeats the edge instead."""
    pool = keras.layers.AveragePooling2D(kernel, strides, padding="same")
    loaded = saved(keras.Sequential([keras.Input((7, 8, 2)), pool]), tmp_path / "model.keras")
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 7, 8, 2)).astype(np.float32)

    def slices(size: int) -> list[slice]:
        count = -(-size // strides)
        before = max((count - 1) * strides + kernel - size, 0) // 2
        starts = [place * strides - before for place in range(count)]
        return [slice(max(start, 0), start + kernel) for start in starts]

    rows = [
        np.stack([pictures[:, row, column].mean((1, 2)) for column in slices(8)], axis=1)
        for row in slices(7)
    ]
    expected = np.stack(rows, axis=1)
    np.testing.assert_allclose(outputs(loaded, pictures), expected, rtol=0, atol=1e-6)


def test_flattening_keeps_the_order_of_keras_weights(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = filled(
        keras.Sequential(
            [
                keras.Input((4, 5, 3)),
                layers.Conv2D(6, 2),
                layers.Flatten(),
                layers.Dense(7, activation="relu", name="hidden"),
                layers.Dense(4, activation="softmax"),
            ]
        )
    )
    loaded = saved(model, tmp_path / "model.keras")
    hidden = loaded.network.get_parameter("body.hidden.weight")
    np.testing.assert_array_equal(
        hidden.detach().numpy().T, model.get_layer("hidden").kernel.value.detach()
    )
    assert_same(model, loaded)


def test_head_groups_and_record(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = filled(
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Rescaling(1 / 255, name="scale"),
                layers.Conv2D(4, 3, padding="same", activation="relu", name="first"),
                layers.BatchNormalization(name="norm"),
                layers.MaxPooling2D(name="pool"),
                layers.SeparableConv2D(4, 3, name="second"),
                layers.GlobalAveragePooling2D(name="mean"),
                layers.Dropout(0.5, name="drop"),
                layers.Dense(5, name="classes"),
                layers.Activation("softmax", name="probabilities"),
            ],
            name="mine",
        )
    )
    loaded = saved(model, tmp_path / "model.keras")
    assert loaded.network.group_names == ("first", "second", "head")
    modules = {group.name: group.modules for group in loaded.network.groups}
    assert modules["first"] == tuple(
        f"body.{name}" for name in ("scale", "first", "first_relu", "norm", "pool")
    )
    assert modules["second"] == tuple(
        f"body.{name}" for name in ("second_depthwise", "second", "mean", "drop")
    )
    assert isinstance(loaded.network.head, nn.Linear)
    assert loaded.network.pretrained
    assert not loaded.network.training
    assert (loaded.name, loaded.input_shape, loaded.units) == ("mine", (8, 8, 3), 5)
    assert (loaded.output_activation, loaded.head_layer) == ("softmax", "classes")
    assert loaded.class_count == 5
    assert loaded.layer_names == tuple(layer.name for layer in model.layers)
    assert loaded.keras_version == keras.__version__
    assert loaded.preprocessing_mode == "raw"
    assert "'scale'" in loaded.preprocessing
    assert loaded.warnings == ()
    assert_same(model, loaded)


def test_a_model_without_a_dense_top_has_an_identity_for_a_head(keras: Any, tmp_path: Path) -> None:
    inner = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalMaxPooling2D()]
    model = filled(keras.Sequential([keras.Input((6, 6, 3)), *inner]))
    loaded = saved(model, tmp_path / "model.keras")
    assert isinstance(loaded.network.head, nn.Identity)
    assert (loaded.units, loaded.head_layer, loaded.class_count) == (None, None, None)
    assert loaded.network.group_names[-1] == "head"
    assert any("no Dense at its end" in warning for warning in loaded.warnings)


def test_a_last_dense_with_another_activation_stays_in_the_body(keras: Any, tmp_path: Path) -> None:
    inner = [keras.layers.Flatten(), keras.layers.Dense(4, activation="relu", name="code")]
    model = filled(keras.Sequential([keras.Input((6, 6)), *inner]))
    loaded = saved(model, tmp_path / "model.keras")
    assert loaded.network.group_names == ("code", "head")
    assert loaded.head_layer is None
    assert_same(model, loaded)


@pytest.mark.filterwarnings(r"ignore:[\s\S]*using a softmax over axis:UserWarning")
@pytest.mark.parametrize(
    ("units", "activation", "classes", "warning"),
    [
        (1, "softmax", 2, "softmax over one unit"),
        (1, "sigmoid", 2, None),
        (3, "sigmoid", 3, "several labels of one picture"),
        (3, "softmax", 3, None),
    ],
)
def test_what_the_output_means(
    units: int, activation: str, classes: int, warning: str | None, keras: Any, tmp_path: Path
) -> None:
    inner = [keras.layers.Flatten(), keras.layers.Dense(units, activation=activation)]
    model = filled(keras.Sequential([keras.Input((6, 6)), *inner]))
    loaded = saved(model, tmp_path / "model.h5")
    assert (loaded.units, loaded.class_count) == (units, classes)
    assert loaded.output_activation == activation
    assert len(loaded.warnings) == (warning is not None)
    if warning:
        assert warning in loaded.warnings[0]
    assert_same(model, loaded)


def test_layers_for_training_alone_are_left_out_with_a_warning(keras: Any, tmp_path: Path) -> None:
    inner = [keras.layers.RandomFlip(name="flip"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = filled(keras.Sequential([keras.Input((6, 6, 1)), *inner]))
    assert "'flip' (RandomFlip)" in saved(model, tmp_path / "model.keras").warnings[0]


def residual(keras: Any) -> Any:
    layers = keras.layers
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(picture)
    for block in (1, 2):
        y = layers.BatchNormalization(name=f"norm{block}")(x)
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"conv{block}")(y)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(4, 1, activation="sigmoid", name=f"gate{block}")(gate)
        x = layers.Add()([x, layers.Multiply()([y, gate])])
    x = layers.Concatenate()([x, layers.Average()([x, y]), layers.Maximum()([x, y])])
    x = layers.Subtract()([x, layers.Minimum()([x, layers.ReLU()(x)])])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(3, activation="softmax", name="top")(x))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_graph_with_residuals_of_any_picture_size(
    ending: str, keras: Any, tmp_path: Path
) -> None:
    model = filled(residual(keras))
    loaded = saved(model, tmp_path / f"model.{ending}")
    assert loaded.input_shape == (None, None, 3)
    groups = ("stem", "conv1", "gate1", "conv2", "gate2", "head")
    assert loaded.network.group_names == groups
    traced = torch.fx.symbolic_trace(loaded.network)
    for size in ((9, 8), (12, 15)):
        pictures = np.random.default_rng(1).uniform(0, 1, (2, *size, 3)).astype(np.float32)
        expected = model(pictures).detach().numpy()
        np.testing.assert_allclose(outputs(loaded, pictures), expected, rtol=0, atol=1e-5)
        again = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        torch.testing.assert_close(traced(again), loaded.network(again))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_models_inside_models_and_shared_layers(ending: str, keras: Any, tmp_path: Path) -> None:
    layers = keras.layers

    def twin(name: str) -> Any:
        inside = [
            layers.Conv2D(3, 3, padding="same", name="same_name"),
            layers.BatchNormalization(),
        ]
        return keras.Sequential([keras.Input((6, 6, 3)), *inside], name=name)

    left, right = twin("left"), twin("right")
    right.trainable = False
    left.layers[0].trainable = False
    shared = layers.Conv2D(3, 1, name="shared")
    picture = keras.Input((6, 6, 3))
    x = layers.Add()([left(picture), right(shared(picture), training=False)])
    x = layers.Flatten()(shared(left(x)))
    model = filled(keras.Model(picture, layers.Dense(2)(x)))
    loaded = saved(model, tmp_path / f"model.{ending}")
    assert loaded.network.group_names == ("shared", "left/same_name", "right/same_name", "head")
    assert_same(model, loaded)
    count = sum(parameter.numel() for parameter in loaded.network.parameters())
    assert count + 2 * 2 * 3 == model.count_params()  # two batchnorms' moving statistics


def test_the_sum_of_two_outputs_written_as_an_operation(keras: Any, tmp_path: Path) -> None:
    picture = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(3, 3, padding="same")(picture)
    model = filled(keras.Model(picture, keras.layers.Flatten()(x + picture)))
    assert_same(model, saved(model, tmp_path / "model.keras"))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_vgg16_without_its_top_and_with_the_notebooks_head(
    ending: str, keras: Any, tmp_path: Path
) -> None:
    body = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    x = keras.layers.Flatten()(body.output)
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(16, activation="relu", name="fc")(x))
    top = keras.layers.Dense(1, activation="sigmoid", name="prediction")(x)
    whole = keras.Model(body.input, top, name="vgg16_cats")
    for layer in whole.layers[:10]:
        layer.trainable = False
    loaded = saved(whole if ending == "h5" else body, tmp_path / f"model.{ending}")
    assert_same(whole if ending == "h5" else body, loaded)
    names = loaded.network.group_names
    convolutions = [name for name in loaded.layer_names if "conv" in name]
    assert len(convolutions) == 13
    assert names[:13] == tuple(convolutions)
    assert names[13:] == (("fc", "head") if ending == "h5" else ("head",))
    assert loaded.preprocessing_mode == "caffe"
    assert "103.939" in loaded.preprocessing
    assert "'vgg16" in loaded.preprocessing


@pytest.mark.parametrize("top", [False, True])
def test_vgg_weights_of_keras_applications_hold_no_architecture(
    top: bool, keras: Any, tmp_path: Path
) -> None:
    """As in ~/.keras/models: Keras 1's names, ``block1_conv1/block1_conv1_W_1:0``."""
    layers, size = keras.layers, 224 if top else None
    stack = [keras.Input((size, size, 3), name="input_1")]
    for block in range(1, 6):
        for place in (1, 2):
            settings = {"padding": "same", "activation": "relu"}
            stack.append(layers.Conv2D(block + 1, 3, name=f"block{block}_conv{place}", **settings))
        stack.append(layers.MaxPooling2D(name=f"block{block}_pool"))
    if top:
        stack += [
            layers.Flatten(name="flatten"),
            layers.Dense(8, activation="relu", name="fc1"),
            layers.Dense(8, activation="relu", name="fc2"),
            layers.Dense(5, activation="softmax", name="predictions"),
        ]
    model = filled(keras.Sequential(stack))
    path = tmp_path / "vgg_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        names = ["input_1", *(layer.name for layer in model.layers)]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group = file.create_group(name)
            arrays = (
                {}
                if name == "input_1"
                else dict(zip("Wb", model.get_layer(name).get_weights(), strict=False))
            )
            group.attrs["weight_names"] = [f"{name}_{letter}_1:0".encode() for letter in arrays]
            for letter, array in arrays.items():
                group[f"{name}_{letter}_1:0"] = array
    loaded = load_keras(path)
    assert loaded.input_shape == (size, size, 3)
    assert loaded.head_layer == ("predictions" if top else None)
    assert loaded.keras_version is None
    pictures = np.random.default_rng(0).uniform(
        -2, 2, (1, 224 if top else 64, 224 if top else 64, 3)
    )
    expected = model(pictures.astype(np.float32)).detach().numpy()
    actual = outputs(loaded, pictures.astype(np.float32))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_adapted_normalization_is_read_from_its_arrays(keras: Any, tmp_path: Path) -> None:
    layer = keras.layers.Normalization(axis=[1, -1], name="learnt")
    layer.adapt(np.random.default_rng(0).normal(3, 2, (20, 5, 4, 3)).astype(np.float32))
    model = filled(keras.Sequential([keras.Input((5, 4, 3)), layer, keras.layers.Flatten()]))
    for ending in ("keras", "h5"):
        loaded = saved(model, tmp_path / f"model.{ending}")
        assert_same(model, loaded)
        assert "'learnt' normalises" in loaded.preprocessing


def test_batchnorm_goes_on_learning_as_in_keras(keras: Any, tmp_path: Path) -> None:
    norm = keras.layers.BatchNormalization(momentum=0.9)
    model = filled(keras.Sequential([keras.Input((6, 5, 3)), norm, keras.layers.Flatten()]))
    network = saved(model, tmp_path / "model.keras").network.train()
    pictures = np.random.default_rng(0).normal(2, 3, (8, 6, 5, 3)).astype(np.float32)
    expected = model(pictures, training=True).detach().numpy()
    actual = network(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=1e-5)
    means = network.get_buffer(
        "body.batch_normalization.running_mean".replace("batch_normalization", norm.name)
    )
    np.testing.assert_allclose(means.numpy(), norm.moving_mean.numpy(), atol=1e-6)


def test_optimiser_state_and_frozen_flags_change_nothing(keras: Any, tmp_path: Path) -> None:
    dense = [keras.layers.Dense(4, name="frozen", trainable=False), keras.layers.Dense(3)]
    model = filled(keras.Sequential([keras.Input((5, 5)), keras.layers.Flatten(), *dense]))
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    for ending in ("keras", "h5"):
        loaded = saved(model, tmp_path / f"model.{ending}")
        assert_same(model, loaded)
        assert all(parameter.requires_grad for parameter in loaded.network.parameters())


def test_layers_may_be_named_after_what_modules_already_have(keras: Any, tmp_path: Path) -> None:
    names = ("forward", "class", "head", "training", "steps")
    inner = [keras.layers.Conv2D(2, 1, name=name) for name in names]
    model = filled(keras.Sequential([keras.Input((4, 4, 3)), *inner, keras.layers.Flatten()]))
    loaded = saved(model, tmp_path / "model.keras")
    assert loaded.network.group_names == (
        "forward",
        "class",
        "head_",
        "training",
        "steps",
        "head",
    )
    assert_same(model, loaded)
    pictures = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(
        torch.fx.symbolic_trace(loaded.network)(pictures), loaded.network(pictures)
    )


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_model_that_was_built_by_its_first_pictures(
    ending: str, keras: Any, tmp_path: Path
) -> None:
    model = keras.Sequential([keras.layers.Conv2D(2, 2), keras.layers.Flatten()])
    model(np.zeros((1, 5, 4, 3), dtype=np.float32))
    loaded = saved(filled(model), tmp_path / f"model.{ending}")
    assert loaded.input_shape == (5, 4, 3)
    assert_same(model, loaded)


def test_a_model_that_was_never_built_says_so(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "model.keras")
    with pytest.raises(NetworkError, match=r"asks for 2 arrays, and the file holds 0.*built"):
        load_keras(tmp_path / "model.keras")


def test_weights_alone_are_refused_with_the_way_out(keras: Any, tmp_path: Path) -> None:
    model = filled(keras.Sequential([keras.Input((5, 4)), keras.layers.Flatten()]))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(NetworkError, match=r"weights alone.*model\.save\('model\.keras'\)"):
        load_keras(tmp_path / "model.weights.h5")


def test_mixed_precision_is_computed_in_full_and_told(keras: Any, tmp_path: Path) -> None:
    layers = [keras.layers.Flatten(dtype="float32"), keras.layers.Dense(3, dtype="mixed_float16")]
    model = filled(keras.Sequential([keras.Input((5, 4)), *layers], name="mixed"))
    (warning,) = saved(model, tmp_path / "model.keras").warnings
    assert "1 layers computed in 16 bit" in warning
    assert repr(model.layers[-1].name) in warning


def test_loading_leaves_the_random_stream_alone(keras: Any, tmp_path: Path) -> None:
    filled(residual(keras)).save(tmp_path / "model.keras")
    before = torch.random.get_rng_state()
    load_keras(tmp_path / "model.keras")
    assert torch.equal(torch.random.get_rng_state(), before)


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], Layers]:
    """A small picture and some layers that may follow each other on it."""
    size = (draw(st.integers(5, 11)), draw(st.integers(5, 11)), draw(st.integers(1, 3)))
    window = st.fixed_dictionaries(
        {"strides": st.integers(1, 3), "padding": st.sampled_from(["same", "valid"])}
    )
    kernels, numbers = st.integers(1, 4), st.integers(1, 4)
    names = st.sampled_from(["linear", "relu", "elu", "selu", "gelu", "swish", "tanh", "softplus"])
    step = st.one_of(
        st.tuples(st.just("Conv2D"), numbers, kernels, window, names),
        st.tuples(st.just("SeparableConv2D"), numbers, kernels, window, names),
        st.tuples(st.just("DepthwiseConv2D"), st.none(), kernels, window, names),
        st.tuples(st.just("MaxPooling2D"), st.none(), kernels, window, st.none()),
        st.tuples(st.just("AveragePooling2D"), st.none(), kernels, st.just({}), st.none()),
        st.tuples(st.just("ZeroPadding2D"), st.none(), kernels, st.just({}), st.none()),
        st.tuples(st.just("BatchNormalization"), *[st.none()] * 2, st.just({}), st.none()),
        st.tuples(st.just("PReLU"), *[st.none()] * 2, st.just({}), st.none()),
    )
    steps = draw(st.lists(step, max_size=4))
    end = draw(st.sampled_from(["Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"]))
    output = draw(st.sampled_from(["softmax", "sigmoid", "linear"]))
    units = draw(st.integers(2, 4))

    def make(layers: Any) -> list[Any]:
        made = [
            getattr(layers, kind)(
                *(argument for argument in (number, kernel) if argument is not None),
                **settings,
                **({"activation": name} if name else {}),
            )
            for kind, number, kernel, settings, name in steps
        ]
        return [*made, getattr(layers, end)(), layers.Dense(units, activation=output)]

    return size, make


@given(chain=chains(), ending=st.sampled_from(["keras", "h5"]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_any_chain_gives_the_numbers_of_keras(
    chain: tuple[tuple[int, ...], Layers],
    ending: str,
    seed: int,
    keras: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shape, make = chain
    try:
        model = keras.Sequential([keras.Input(shape), *make(keras.layers)])
    except ValueError:  # a window that is larger than what is left of the picture
        assume(False)
    path = tmp_path_factory.mktemp("chain") / f"model.{ending}"
    assert_same(filled(model, seed), saved(model, path), seed)
