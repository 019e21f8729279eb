"""What cannot be read exactly, or must not be read at all, is refused with a way out."""

import copy
import io
import json
import pickle
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from headstart.errors import NetworkError
from headstart.networks.keras_files import load_keras

DATA = Path(__file__).parent / "data"
PLAIN, NESTED = DATA / "plain_215.h5", DATA / "nested_215.keras"
Architecture = dict[str, Any]


def edited(folder: Path, change: Callable[[Architecture], object], source: Path = PLAIN) -> Path:
    """A copy of an HDF5 file whose architecture was changed."""
    path = folder / source.name
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        architecture = json.loads(file.attrs["model_config"])
        change(architecture)
        file.attrs["model_config"] = json.dumps(architecture)
    return path


def rezipped(
    folder: Path, change: Callable[[dict[str, bytes]], object], compress: bool = False
) -> Path:
    """A copy of a zip file whose members were changed."""
    path = folder / NESTED.name
    with zipfile.ZipFile(NESTED) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def layer(architecture: Architecture, name: str) -> Architecture:
    """One layer of an architecture, to be changed."""
    layers = architecture["config"]["layers"]
    found: Architecture = next(one for one in layers if one["config"]["name"] == name)
    return found


def setting(name: str, **settings: Any) -> Callable[[Architecture], None]:
    """A change of one layer's settings."""
    return lambda architecture: layer(architecture, name)["config"].update(settings)


def assert_refused(path: Path, *parts: str) -> None:
    with pytest.raises(NetworkError) as caught:
        load_keras(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


def test_code_and_unknown_layers_are_all_named_at_once(tmp_path: Path) -> None:
    def change(architecture: Architecture) -> None:
        layer(architecture, "leaky_re_lu").update(class_name="Lambda")
        layer(architecture, "max_pooling2d").update(class_name="MyPool")
        layer(architecture, "dropout").update(registered_name="Mine>Dropout", module="mine")
        layer(architecture, "conv2d").update(class_name="Conv2DTranspose")
        layer(architecture, "flatten").update(class_name="TFOpLambda")

    path = edited(tmp_path, change)
    assert_refused(
        path,
        "layer 'leaky_re_lu' (Lambda) holds Python code, and code in a file is never run",
        "layer 'max_pooling2d' (MyPool) is a layer that cannot be read",
        "layer 'dropout' (Dropout) is a layer of the user's own",
        "layer 'conv2d' (Conv2DTranspose)",
        "layer 'flatten' (TFOpLambda) is an operation written into the model",
        "save that",
        "layers that can be read: Activation,",
    )


def test_a_lambdas_code_is_not_even_decoded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    code = {"class_name": "__lambda__", "config": {"code": pickle.dumps(Trap()).hex()}}

    def change(members: dict[str, bytes]) -> None:
        architecture = json.loads(members["config.json"])
        layer(architecture, "flip").update(class_name="Lambda")
        layer(architecture, "flip")["config"]["function"] = code
        members["config.json"] = json.dumps(architecture).encode()

    assert_refused(rezipped(tmp_path, change), "layer 'flip' (Lambda)")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (setting("conv2d", data_format="channels_first"), ["'conv2d' (Conv2D)", "channels_last"]),
        (setting("conv2d", dilation_rate=[2, 2]), ["strides and dilation_rate"]),
        (setting("conv2d", padding="causal"), ["padding must be one of valid, same", "'causal'"]),
        (setting("conv2d", filters=10**9), ["filters must be a whole number from 1 to 65,536"]),
        (setting("conv2d", filters=5), ["(3, 3, 3, 4)", "(3, 3, 3, 5)", "do not belong together"]),
        (setting("conv2d", kernel_size=[3, 0]), ["kernel_size must be a whole number"]),
        (setting("conv2d", groups=2), ["2 groups do not divide 3 channels"]),
        (setting("conv2d", activation="mine"), ["activation 'mine'", "code in a file", "mish"]),
        (setting("conv2d", activation="rellu"), ["did you mean 'relu'"]),
        (setting("conv2d", spectral=True), ["spectral=True is not known here"]),
        (
            setting("conv2d", activation={"class_name": "function", "config": "mine"}),
            ["activation 'mine' is not one of Keras' own"],
        ),
        (
            setting("conv2d", activation={"class_name": "Mine", "config": {}}),
            ["activation 'Mine' is not one of Keras' own"],
        ),
        (setting("depthwise_conv2d", strides=[2, 1]), ["strides must be equal on both axes"]),
        (setting("batch_normalization", axis=[1]), ["axis must be the channels", "[1]"]),
        (setting("batch_normalization", renorm=True), ["renorm=True trains otherwise"]),
        (setting("batch_normalization", epsilon=float("nan")), ["epsilon must be a finite"]),
        (setting("rescaling", scale="big"), ["scale must be finite numbers, found 'big'"]),
        (setting("rescaling", scale=[1, 2]), ["scale of shape (2,) does not fit"]),
        (setting("average_pooling2d", padding="valid", pool_size=99), ["window of 99", "fit"]),
        (setting("dropout", rate=2), ["rate must be from 0 to 1"]),
        (setting("flatten", data_format="channels_first"), ["'flatten' (Flatten)"]),
        (setting("leaky_re_lu", alpha=True), ["alpha must be a finite number"]),
        (setting("rescaling_input", batch_input_shape=[None, 88]), ["flattened pictures"]),
        (setting("rescaling_input", batch_input_shape=[None, 5, 5, 5, 3]), ["(5, 5, 5, 3)"]),
        (setting("rescaling_input", batch_input_shape=[None, 11, 8, None]), ["channels must be"]),
        (setting("rescaling_input", batch_input_shape=[None, 10**9, 8, 3]), ["1 to 65,536"]),
        (setting("rescaling_input", batch_input_shape=[None, 65_000, 65_000, 3]), ["numbers of"]),
        (setting("rescaling_input", batch_input_shape=[None, None, 8, 3]), ["of known size"]),
        (lambda raw: raw.update(class_name="MyModel"), ["MyModel", "functional model"]),
        (lambda raw: raw["config"].update(layers=[]), ["has no layers"]),
        (lambda raw: raw["config"].update(layers=3), ["no list of layers"]),
        (lambda raw: raw["config"]["layers"].append(3), ["holds '3' where a layer was expected"]),
    ],
)  # fmt: skip
def test_settings_without_an_exact_counterpart(
    change: Callable[[Architecture], object], parts: list[str], tmp_path: Path
) -> None:
    assert_refused(edited(tmp_path, change), *parts)


def test_a_model_that_does_not_say_how_large_its_pictures_are(tmp_path: Path) -> None:
    def change(architecture: Architecture) -> None:
        del architecture["config"]["layers"][0]
        for one in architecture["config"]["layers"]:
            one["config"].pop("batch_input_shape", None)

    assert_refused(edited(tmp_path, change), "keras.Input(shape=(height, width, channels))")


def graph(change: Callable[[Architecture], object], folder: Path) -> Path:
    return edited(folder, change, DATA / "nested_215.h5")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda raw: raw["config"].update(output_layers=[["dense", 0, 0], ["add", 0, 0]]),
            ["has 2 outputs", "keras.Model(one_input, one_output)"],
        ),
        (
            lambda raw: raw["config"].update(input_layers=[["input_1", 0, 0], ["two", 0, 0]]),
            ["has 2 inputs"],
        ),
        (
            lambda raw: raw["config"].update(output_layers={"a": ["dense", 0, 0], "b": 3}),
            ["has 2 outputs"],
        ),
        (
            lambda raw: layer(raw, "add").update(inbound_nodes=[[["nowhere", 0, 0, {}]]]),
            ["cannot be reached"],
        ),
        (
            lambda raw: layer(raw, "add").update(inbound_nodes=[[["add", 0, 0, {}]] * 2]),
            ["cannot be reached"],
        ),
        (
            lambda raw: layer(raw, "inside").update(
                inbound_nodes=[[["flip", 0, 0, {"training": True}]]]
            ),
            ["layer 'inside' (Sequential) is called", "'training': True"],
        ),
        (
            lambda raw: layer(raw, "add").update(inbound_nodes=[[["flip", 0, 1, {}]] * 2]),
            ["no single layer's output"],
        ),
        (
            lambda raw: layer(raw, "p_re_lu").update(inbound_nodes=[[["add", 0, 0, {}]] * 2]),
            ["takes one input, and the file gives it 2"],
        ),
    ],
)
def test_graphs_that_are_not_one_picture_to_one_output(
    change: Callable[[Architecture], object], parts: list[str], tmp_path: Path
) -> None:
    assert_refused(graph(change, tmp_path), *parts)


def test_models_inside_models_cannot_be_piled_up(tmp_path: Path) -> None:
    """Each calls the one inside six times: a small file that asks for 6⁶ layers."""

    def pile(architecture: Architecture) -> None:
        inner = layer(architecture, "inside")
        for level in range(6):
            nodes = [[["input", 0, 0, {}]], *([["inside", one, 0, {}]] for one in range(5))]
            shape = {"batch_input_shape": [None, 6, 7, 3], "name": "input"}
            layers = [
                {"class_name": "InputLayer", "config": shape, "name": "input"},
                {**inner, "name": "inside", "inbound_nodes": nodes},
            ]
            ends = {"input_layers": ["input", 0, 0], "output_layers": ["inside", 5, 0]}
            config = {"name": f"level{level}", "layers": layers, **ends}
            inner = {"class_name": "Functional", "config": config}
        architecture.update(inner)

    path = graph(pile, tmp_path)
    with h5py.File(path, "r+") as file:
        for place in range(6):
            file[f"model_weights/level{place}"] = file["model_weights/inside"]
    assert_refused(path, "calls more than 5,000 layers")


def test_models_may_not_lie_too_deep(tmp_path: Path) -> None:
    def nest(architecture: Architecture) -> None:
        inner = copy.deepcopy(architecture)
        for _ in range(30):
            inner = {"class_name": "Sequential", "config": {"name": "m", "layers": [inner]}}
        architecture.update(inner)

    assert_refused(graph(nest, tmp_path), "more than 20 models deep")


def test_weights_without_an_architecture(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv", b"dense"]
    assert_refused(path, "weights alone", "model.save('model.keras')")


def test_missing_and_surplus_arrays(tmp_path: Path) -> None:
    missing, surplus = tmp_path / "missing.h5", tmp_path / "surplus.h5"
    for path in (missing, surplus):
        shutil.copy(PLAIN, path)
    with h5py.File(missing, "r+") as file:
        del file["model_weights/conv2d"]
    with h5py.File(surplus, "r+") as file:
        names = list(file["model_weights/conv2d"].attrs["weight_names"])
        file["model_weights/conv2d"].attrs["weight_names"] = [*names, names[0]]
    assert_refused(missing, "layer 'conv2d' (Conv2D) asks for 2 arrays, and the file holds 0")
    assert_refused(surplus, "layer 'conv2d' (Conv2D) asks for 2 arrays, and the file holds more")


def test_arrays_of_another_layer_in_a_zip(tmp_path: Path) -> None:
    """Newer files write the layer's name beside its arrays, a check that costs nothing."""

    def change(members: dict[str, bytes]) -> None:
        data = io.BytesIO(members["model.weights.h5"])
        with h5py.File(data, "r+") as file:
            file["layers/dense/vars"].attrs["name"] = "other"
        members["model.weights.h5"] = data.getvalue()

    assert_refused(rezipped(tmp_path, change), "layer 'dense'", "holds those of 'other'")


def test_arrays_inside_a_model_whose_names_contradict_their_order(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    shutil.copy(DATA / "nested_215.h5", path)
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights/inside"].attrs
        attributes["weight_names"] = list(attributes["weight_names"])[::-1]
    assert_refused(path, "was expected, found", "save it as .keras")


def with_array(folder: Path, make: Callable[[h5py.Group, str], object]) -> Path:
    """A copy in which the first kernel was replaced by something else."""
    path = folder / "model.h5"
    shutil.copy(PLAIN, path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/conv2d/conv2d"]
        del group["kernel:0"]
        make(group, "kernel:0")
    return path


SHAPE = (3, 3, 3, 4)


def virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", SHAPE)
    group.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda g, n: g.__setitem__(n, h5py.ExternalLink("other.h5", "/x")), "lead out of the"),
        (lambda g, n: g.__setitem__(n, h5py.SoftLink("/model_weights")), "lead out of the file"),
        (virtual, "not stored as a plain array"),
        (
            lambda g, n: g.create_dataset(n, SHAPE, "f4", external=[("/etc/passwd", 0, 432)]),
            "not stored as a plain array",
        ),
        (
            lambda g, n: g.create_dataset(n, (10**6, 10**6), "f4", chunks=(100, 100)),
            "not stored as a plain array of shape (1000000, 1000000)",
        ),
        (lambda g, n: g.create_dataset(n, SHAPE, "f4", compression="gzip"), "plain array"),
        (lambda g, n: g.create_dataset(n, data=np.zeros(SHAPE, "i4")), "is int32"),
        (lambda g, n: g.create_dataset(n, data=np.zeros(SHAPE, "c8")), "is complex64"),
        (lambda g, n: g.create_dataset(n, SHAPE, h5py.ref_dtype), "is object"),
        (lambda g, n: g.create_dataset(n, SHAPE, h5py.string_dtype()), "is object"),
        (lambda g, n: g.create_dataset(n, SHAPE, h5py.vlen_dtype("f4")), "is object"),
        (
            lambda g, n: g.create_dataset(n, data=np.frombuffer(pickle.dumps({}), "u1")),
            "is uint8",
        ),
        (lambda g, n: g.create_group(n), "is no array"),
        (lambda g, n: None, "there is no"),
        (lambda g, n: g.create_dataset(n, data=np.zeros((3, 3, 3, 5), "f4")), "(3, 3, 3, 5)"),
    ],
)
def test_only_plain_arrays_inside_the_file_are_read(
    make: Callable[[h5py.Group, str], object], part: str, tmp_path: Path
) -> None:
    assert_refused(with_array(tmp_path, make), part)


def test_a_link_in_place_of_all_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    shutil.copy(PLAIN, path)
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(str(PLAIN), "/model_weights")
    assert_refused(path, "'model_weights' is a link that may lead out of the file")


def test_many_names_for_the_same_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    def change(architecture: Architecture) -> None:
        layers = architecture["config"]["layers"]
        dense = next(one for one in layers if one["class_name"] == "Dense")
        for place in range(50):
            layers.append(copy.deepcopy(dense))
            layers[-1]["config"].update(name=f"again{place}", units=3)

    path = edited(tmp_path, change)
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        weights["large"] = np.zeros(20_000, "f4")
        for place in range(50):
            group = weights.create_group(f"again{place}")
            group["kernel"] = group["bias"] = weights["large"]
            group.attrs["weight_names"] = [b"kernel", b"bias"]
    assert_refused(path, "claim more bytes than the file has")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../b", "C:\\evil", "..\\evil"])
def test_zip_members_that_lead_out_of_the_zip(name: str, tmp_path: Path) -> None:
    path = rezipped(tmp_path, lambda members: members.update({name: b"x"}))
    assert_refused(path, "a path that leads out of it")


def test_zip_bombs(tmp_path: Path) -> None:
    def text(members: dict[str, bytes]) -> None:
        members["config.json"] = b" " * 20_000_000

    def weights(members: dict[str, bytes]) -> None:
        members["model.weights.h5"] += bytes(20_000_000)

    for change in (text, weights):
        assert_refused(rezipped(tmp_path, change, compress=True), "would take", "bytes, from")


def test_a_zip_that_holds_a_name_twice(tmp_path: Path) -> None:
    path = rezipped(tmp_path, lambda members: None)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("config.json", b"{}")
    assert_refused(path, "holds a name twice")


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_zip_that_lacks_a_member(name: str, tmp_path: Path) -> None:
    path = rezipped(tmp_path, lambda members: members.pop(name))
    assert_refused(path, f"lacks {name}", "save the whole model")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"3", b'{"class_name": 3}', b"{}"]
)
def test_json_that_is_no_architecture(text: bytes, tmp_path: Path) -> None:
    path = rezipped(tmp_path, lambda members: members.update({"config.json": text}))
    assert_refused(path, "damaged")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", pickle.dumps({"model": 1}), b"a text"],
    ids=["empty", "start of a zip", "start of an HDF5", "pickle", "text"],
)
def test_files_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert_refused(path, "cannot be read as a Keras file", "model.save('model.keras')")


@pytest.mark.parametrize("source", [PLAIN, NESTED], ids=["h5", "keras"])
def test_files_cut_short(source: Path, tmp_path: Path) -> None:
    content = source.read_bytes()
    path = tmp_path / source.name
    for length in range(0, len(content) - 1, 1499):
        path.write_bytes(content[:length])
        assert_refused(path, "copy the file again")


def test_folders_and_missing_files(tmp_path: Path) -> None:
    assert_refused(tmp_path / "gone.keras", "there is no such file")
    assert_refused(tmp_path, "is a folder", ".keras or .h5 file was expected")
    (tmp_path / "saved_model.pb").touch()
    assert_refused(tmp_path, "TensorFlow SavedModel folder", ".save('model.keras')")


def test_without_h5py_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert_refused(PLAIN, "h5py, which is not installed", "pip install h5py")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


JUNK: list[Any] = [
    None, True, -1, 0, 10**9, 10**400, 1.5, float("nan"), "", "same", [], {}, [1], [None, 4, 4, 3],
    ["a", 0, 0], [["a", 0, 0, {}]], {"a": 1}, [[1, 2], [3, 4]], {"class_name": "x", "config": {}},
    {"class_name": "Dense", "config": []},
]  # fmt: skip


@pytest.mark.parametrize("source", ["plain_215.h5", "nested_215.h5"])
def test_nonsense_anywhere_in_the_architecture_is_refused_or_harmless(
    source: str, tmp_path: Path
) -> None:
    rng = random.Random(0)
    refused = 0

    def spoil(architecture: Architecture) -> None:
        path = rng.choice(list(places(architecture)))
        inside: Any = architecture
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = copy.deepcopy(rng.choice(JUNK))

    for _ in range(60):
        path = edited(tmp_path, spoil, DATA / source)
        try:
            load_keras(path)
        except NetworkError:
            refused += 1
    assert refused > 10
