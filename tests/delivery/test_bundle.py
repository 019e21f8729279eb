"""Bundles: written whole, read without trust."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.delivery import bundle as bundles
from headstart.delivery.blueprints import Blueprint, TimmBody
from headstart.delivery.bundle import Bundle, check_place, read_bundle, write_bundle
from headstart.delivery.config import BundleConfig, read_config, sealed_text
from headstart.errors import HeadstartError, NetworkError, RecordsError
from headstart.networks.groups import weights_hash
from headstart.networks.weights import file_sha256

Make = Callable[..., Bundle]


def answers(bundle: Bundle) -> torch.Tensor:
    shape = bundle.preprocessing
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (4, shape.height, shape.width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        result: torch.Tensor = bundle.pipeline().eval()(pixels)
    return result


def resealed(folder: Path, **changes: Any) -> None:
    """Change what a bundle says of itself, and seal it again, as a liar would."""
    values = json.loads((folder / "config.json").read_text())
    values.pop("seal")
    config = BundleConfig.model_validate({**values, **changes})
    (folder / "config.json").write_text(sealed_text(config))


class TestRoundTrip:
    def test_all_comes_back_as_it_was(self, bundle: Bundle, folder: Path) -> None:
        again, config = read_bundle(folder)
        assert torch.equal(answers(again), answers(bundle))
        assert weights_hash(again.network.state_dict()) == weights_hash(bundle.network.state_dict())
        assert again.network.groups == bundle.network.groups
        assert again.class_names == ("blue", "green", "red")
        assert again.splits == bundle.splits
        assert again.training == bundle.training
        assert config.made_with["torch"] == torch.__version__
        assert (folder / "classes.txt").read_text() == "blue\ngreen\nred\n"

    def test_a_real_backbone_comes_back_with_its_source(
        self, lite: Bundle, lite_folder: Path
    ) -> None:
        again, config = read_bundle(lite_folder)
        assert torch.equal(answers(again), answers(lite))
        assert config.source.kind == "package"
        assert config.source.sha256 == lite.source.sha256 != ""
        assert "Apache-2.0" in (config.source.licence or "")
        assert config.preprocessing["interpolation"] == "bicubic"
        assert config.preprocessing["mean"] == [0.5, 0.5, 0.5]
        assert config.preprocessing["std"] == [0.5, 0.5, 0.5]

    def test_scaling_of_each_pixel_is_kept(self, bundle: Bundle, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        shift = rng.uniform(0, 255, (16, 16, 3)).astype(np.float32)
        scaling = dataclasses.replace(bundle.scaling, shift=shift)
        own = dataclasses.replace(bundle, scaling=scaling)
        again, config = read_bundle(write_bundle(own, tmp_path / "m", ""))
        assert torch.equal(answers(again), answers(own))
        assert "mean" not in config.preprocessing

    def test_names_in_any_script_come_back(self, with_classes: Make, tmp_path: Path) -> None:
        names = ("çay", "two\nlines", "猫")
        folder = write_bundle(with_classes(*names), tmp_path / "m", "")
        assert read_bundle(folder)[0].class_names == names
        assert (folder / "classes.txt").read_text(encoding="utf-8").splitlines()[1] == "two\\nlines"

    def test_a_keras_network_comes_back_without_keras(self, bundle: Bundle, tmp_path: Path) -> None:
        own = keras_bundle(bundle, tmp_path)
        again, _ = read_bundle(write_bundle(own, tmp_path / "m", ""))
        assert torch.equal(answers(again), answers(own))
        assert again.network.groups == own.network.groups


def keras_bundle(like: Bundle, tmp_path: Path) -> Bundle:
    """A network as Keras 2 wrote it, made with h5py alone."""
    from headstart.delivery.blueprints import KerasBody
    from headstart.networks.keras_files import load_keras

    path = tmp_path / "notebook.h5"
    layers = [
        {
            "class_name": "Conv2D",
            "config": {
                "name": "conv", "filters": 4, "kernel_size": [3, 3], "activation": "relu",
                "batch_input_shape": [None, 16, 16, 3],
            },
        },
        {"class_name": "Flatten", "config": {"name": "flat"}},
        {"class_name": "Dense", "config": {"name": "top", "units": 3, "activation": "softmax"}},
    ]  # fmt: skip
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    rng = np.random.default_rng(0)
    arrays = {"conv": [(3, 3, 3, 4), (4,)], "top": [(14 * 14 * 4, 3), (3,)], "flat": []}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = "2.15.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, shapes in arrays.items():
            group = root.create_group(name)
            names = [f"{name}/kernel:0", f"{name}/bias:0"][: len(shapes)]
            group.attrs["weight_names"] = np.array([each.encode() for each in names], dtype="S20")
            for each, shape in zip(names, shapes, strict=True):
                group.create_dataset(each, data=rng.normal(0, 0.1, shape).astype("f4"))
    loaded = load_keras(path)
    blueprint = Blueprint(body=KerasBody(description=loaded.description), head=None)
    return dataclasses.replace(like, network=loaded.network, blueprint=blueprint)


class TestPlaces:
    def test_an_older_bundle_is_kept_aside(self, bundle: Bundle, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        write_bundle(bundle, folder, "# The second\n")
        assert (folder / "README.md").read_text() == "# The second\n"
        (aside,) = (path for path in folder.parent.glob("model.*") if path.is_dir())
        assert (aside / "notes.txt").read_text() == "mine"
        assert read_bundle(aside)[0].class_names == bundle.class_names

    def test_what_is_no_bundle_is_left_alone(self, bundle: Bundle, tmp_path: Path) -> None:
        place = tmp_path / "thesis"
        place.mkdir()
        (place / "chapter.tex").write_text("x")
        with pytest.raises(RecordsError, match="not empty and holds no bundle"):
            write_bundle(bundle, place, "")
        assert [path.name for path in place.iterdir()] == ["chapter.tex"]
        with pytest.raises(RecordsError, match="is a file"):
            check_place(place / "chapter.tex")

    def test_nothing_half_written_is_left(
        self, bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(bundles, "save_file", full)
        with pytest.raises(RecordsError, match="No space left on device"):
            write_bundle(bundle, folder, "")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert [path.name for path in folder.parent.iterdir()] == ["model"]

    def test_a_network_that_is_not_the_blueprints_is_never_delivered(
        self, bundle: Bundle, lite: Bundle, tmp_path: Path
    ) -> None:
        wrong = dataclasses.replace(bundle, network=lite.network)
        with pytest.raises(NetworkError, match="other layer groups"):
            write_bundle(wrong, tmp_path / "m", "")
        assert not (tmp_path / "m").exists()


class TestDamage:
    @pytest.mark.parametrize("name", ["model.safetensors", "classes.txt", "splits.csv"])
    @pytest.mark.parametrize("harm", ["changed", "cut short", "gone"])
    def test_a_damaged_file_is_named(self, folder: Path, name: str, harm: str) -> None:
        path = folder / name
        content = path.read_bytes()
        if harm == "gone":
            path.unlink()
        else:
            cut = content[:-1] if harm == "cut short" else content[:-1] + bytes([content[-1] ^ 1])
            path.write_bytes(cut)
        expected = "cannot be read" if harm == "gone" else "damaged or was changed"
        with pytest.raises(NetworkError, match=re.escape(name)) as caught:
            read_bundle(folder)
        assert expected in str(caught.value)
        assert "restore the bundle" in str(caught.value)

    def test_a_changed_class_order_is_noticed(self, folder: Path) -> None:
        path = folder / "config.json"
        text = path.read_text()
        path.write_text(text.replace('"blue"', '"x"').replace('"red"', '"blue"'))
        with pytest.raises(NetworkError, match="was changed after it was written"):
            read_bundle(folder)

    def test_layout_alone_does_not_break_the_seal(self, folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
        assert read_bundle(folder)[0].class_names == ("blue", "green", "red")

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "cannot be read"),
            (b"\xff\xfe", "cannot be read"),
            (b"[" * 100_000, "cannot be read"),
            (b"[]", "was not written by headstart"),
            (b'{"seal": ""}', "was not written by headstart"),
            (b'{"format": 2, "seal": ""}', "reads format 1"),
        ],
    )
    def test_what_is_no_config_is_refused(
        self, folder: Path, content: bytes, expected: str
    ) -> None:
        (folder / "config.json").write_bytes(content)
        with pytest.raises(NetworkError, match=expected):
            read_config(folder)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_byte_of_the_config_can_be_changed_unnoticed(
        self, folder: Path, data: st.DataObject
    ) -> None:
        path = folder / "config.json"
        content = path.read_bytes()
        at = data.draw(st.integers(0, len(content) - 1))
        byte = data.draw(st.integers(0, 255))
        changed = content[:at] + bytes([byte]) + content[at + 1 :]
        try:
            path.write_bytes(changed)
            try:
                same = json.loads(changed) == json.loads(content)
            except ValueError:
                same = False
            if same:
                read_config(folder)
            else:
                with pytest.raises(HeadstartError):
                    read_config(folder)
        finally:
            path.write_bytes(content)

    @pytest.mark.parametrize(
        ("place", "expected"), [("nowhere", "there is no bundle"), (".", "so it is no bundle")]
    )
    def test_a_wrong_place_is_told(self, tmp_path: Path, place: str, expected: str) -> None:
        with pytest.raises(NetworkError, match=expected):
            read_bundle(tmp_path / place)


class TestLies:
    """Bundles whose hashes and seal fit, but that were made to harm or to mislead."""

    def test_a_pickle_is_not_read(self, folder: Path) -> None:
        ran = folder / "ran"

        class Harm:
            def __reduce__(self) -> Any:
                return (Path.touch, (ran,))

        torch.save({"a": Harm()}, folder / "model.safetensors")
        self.hash_again(folder)
        with pytest.raises(NetworkError, match="not a readable safetensors file"):
            read_bundle(folder)
        assert not ran.exists()

    def test_other_weights_are_refused(self, folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "model.safetensors")
        state["head.output.weight"] = torch.zeros(5, 3)
        save_file(state, folder / "model.safetensors")
        self.hash_again(folder)
        with pytest.raises(NetworkError, match="not those of the network"):
            read_bundle(folder)

    @pytest.mark.parametrize("name", ["scaling.shift", "scaling.divisor"])
    @pytest.mark.parametrize("harm", ["gone", "zero", "shape", "nan"])
    def test_unusable_scaling_is_refused(self, folder: Path, name: str, harm: str) -> None:
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "model.safetensors")
        values = {"zero": torch.zeros(1, 1, 1), "shape": torch.ones(2, 1, 1)}
        state[name] = values.get(harm, torch.full((1, 1, 1), float("nan")))
        if harm == "gone":
            del state[name]
        save_file(state, folder / "model.safetensors")
        self.hash_again(folder)
        if (name, harm) == ("scaling.shift", "zero"):
            assert read_bundle(folder)
        else:
            with pytest.raises(NetworkError, match=re.escape(name)):
                read_bundle(folder)

    def test_versions_that_answer_otherwise_are_told(self, folder: Path) -> None:
        resealed(
            folder, probe=(0.9, 0.05, 0.05), made_with={"torch": "1.0", "numpy": np.__version__}
        )
        with pytest.raises(NetworkError, match=r"torch 1\.0 there, 2\.\S+ here") as caught:
            read_bundle(folder)
        assert "answers otherwise" in str(caught.value)
        assert "numpy" not in str(caught.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"checkpoint_path": "weights.pth"},
            {"pretrained": True},
            {"cache_dir": "x"},
            {"img_size": "../../secret"},
            {"act_layer": {"code": 1}},
        ],
    )
    def test_arguments_that_open_files_are_refused(
        self, lite: Bundle, arguments: dict[str, Any]
    ) -> None:
        assert isinstance(lite.blueprint.body, TimmBody)
        changed = {**lite.blueprint.body.architecture.model_dump(), "arguments": arguments}
        with pytest.raises(ValidationError, match="not an argument of an architecture"):
            TimmBody.model_validate({"architecture": changed})

    def test_a_name_that_leads_to_a_hub_is_refused(self, lite: Bundle) -> None:
        assert isinstance(lite.blueprint.body, TimmBody)
        architecture = lite.blueprint.body.architecture.model_copy(
            update={"name": "hf-hub:someone/something"}
        )
        body = lite.blueprint.body.model_copy(update={"architecture": architecture})
        blueprint = lite.blueprint.model_copy(update={"body": body})
        with pytest.raises(NetworkError, match="has no network"):
            blueprint.build(3)

    @staticmethod
    def hash_again(folder: Path) -> None:
        names = ("model.safetensors", "classes.txt", "splits.csv")
        resealed(folder, files={name: file_sha256(folder / name) for name in names})
