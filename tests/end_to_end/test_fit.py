"""From a folder of pictures to a model and its predictions, as a first-time user goes."""

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import headstart
from headstart.cli import app
from headstart.delivery.delivering import Fitted
from headstart.errors import DataError, HeadstartError, NetworkError, RecordsError, StudyError
from headstart.study.progress import Progress

DIGITS = ("0", "1", "4")

# The damaged file is meant.
pytestmark = pytest.mark.filterwarnings(r"ignore:1 file\(s\) are left out:UserWarning")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_digits(root: Path, each: int = 40) -> Path:
    """Class folders of scikit-learn's digits, one file of them damaged."""
    digits = load_digits()
    for name in DIGITS:
        (root / name).mkdir(parents=True)
        for number in np.flatnonzero(digits.target == int(name))[:each]:
            pixels = (digits.images[number] * 15.9375).astype(np.uint8)
            Image.fromarray(pixels).resize((24, 24)).save(root / name / f"{number:04}.png")
    (root / "0" / "damaged.jpg").write_bytes(b"\xff\xd8\xff and no more")
    return root


def write_keras_file(path: Path) -> Path:
    """A small network as Keras 2 wrote it, its convolutions random."""
    conv = {"kernel_size": [3, 3], "activation": "relu"}
    layers = [
        ("Rescaling", {"name": "scale", "scale": 1 / 255, "offset": 0.0,
                       "batch_input_shape": [None, 16, 16, 3]}),
        ("Conv2D", {"name": "conv_1", "filters": 8, **conv}),
        ("MaxPooling2D", {"name": "pool", "pool_size": [2, 2]}),
        ("Conv2D", {"name": "conv_2", "filters": 16, **conv}),
        ("Flatten", {"name": "flat"}),
        ("Dense", {"name": "top", "units": 10, "activation": "softmax"}),
    ]  # fmt: skip
    entries = [{"class_name": kind, "config": config} for kind, config in layers]
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": entries}}
    shapes = {
        "scale": [], "conv_1": [(3, 3, 3, 8), (8,)], "pool": [],
        "conv_2": [(3, 3, 8, 16), (16,)], "flat": [], "top": [(400, 10), (10,)],
    }  # fmt: skip
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = "2.15.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, own in shapes.items():
            group = root.create_group(name)
            names = [f"{name}/kernel:0", f"{name}/bias:0"][: len(own)]
            group.attrs["weight_names"] = np.array([each.encode() for each in names], dtype="S20")
            for each, shape in zip(names, own, strict=True):
                scale = 0.2 if len(shape) > 1 else 0.0
                group.create_dataset(each, data=rng.normal(0, scale, shape).astype("f4"))
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "pictures")


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keras_file(tmp_path_factory.mktemp("keras") / "notebook.h5")


@pytest.fixture(scope="module")
def fitted(pictures: Path, keras_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A model that was chosen among all of the short list."""
    output = tmp_path_factory.mktemp("models") / "digits"
    return headstart.fit(
        pictures, output, model=str(keras_file), seeds=3, epochs=8, jobs=1, device="cpu"
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestAuto:
    def test_it_chooses_by_validation_and_says_why(self, fitted: Fitted) -> None:
        choice = fitted.choice
        assert set(choice.measured) == {"scratch", "probe", "lp_ft", "fine_tune"}
        assert choice.measured[choice.strategy] == max(choice.measured.values())
        assert choice.corrected is not None
        assert "rule of thumb" in choice.rule_of_thumb
        assert fitted.left_out == 1
        assert fitted.evaluation.metrics["accuracy"].mean > 0.8

    def test_the_delivered_network_is_the_one_that_was_scored(
        self, fitted: Fitted, pictures: Path
    ) -> None:
        config = json.loads((fitted.folder / "config.json").read_text())
        assert config["training"]["same_bits_as_the_scored_trial"] is True
        splits = rows_of(fitted.folder / "splits.csv")
        tested = [row["filename"] for row in splits if row["split"] == "test"]
        records = fitted.results.records
        answers = records.answers[fitted.choice.strategy, "all"].at([fitted.choice.seed])
        model = headstart.load(fitted.folder)
        found = model.predict_proba([pictures / name for name in tested])
        np.testing.assert_allclose(found, answers.probabilities[0], atol=1e-5)

    def test_the_bundle_says_all_that_it_should(self, fitted: Fitted, pictures: Path) -> None:
        config = json.loads((fitted.folder / "config.json").read_text())
        assert config["classes"] == list(DIGITS)
        assert config["source"]["where"] == "a Keras file"
        assert len(config["source"]["sha256"]) == 64
        assert config["training"]["seeds"] == [0, 1, 2]
        assert [group["name"] for group in config["groups"]] == ["conv_1", "conv_2", "head"]
        names = {row["filename"] for row in rows_of(fitted.folder / "splits.csv")}
        assert len(names) == 120
        assert names <= {path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png")}
        card = (fitted.folder / "README.md").read_text()
        for part in ("How good it is", "Why this strategy", "What it learned from", "Limits",
                     "95% interval", "rule of thumb", "licence: not known"):  # fmt: skip
            assert part in card
        assert str(pictures.parent) not in card + json.dumps(config)

    def test_prediction_needs_neither_pictures_nor_keras_file(
        self, fitted: Fitted, keras_file: Path, tmp_path: Path
    ) -> None:
        loose = write_digits(tmp_path / "new", each=10)
        told = CliRunner().invoke(
            app, ["predict", str(fitted.folder), str(loose), "-o", str(tmp_path / "out.csv")]
        )
        assert told.exit_code == 0, told.output
        rows = rows_of(tmp_path / "out.csv")
        assert len(rows) == 30
        assert np.mean([row["label"] == row["pred"] for row in rows]) > 0.8
        assert rows_of(tmp_path / "out.unreadable.csv")[0]["filename"] == "0/damaged.jpg"


def test_a_real_backbone_is_adapted_from_the_command_line(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    told = CliRunner().invoke(
        app,
        ["fit", str(pictures), "--strategy", "probe", "--img-size", "32", "--seeds", "1",
         "--jobs", "1", "--device", "cpu", "--output", str(output)],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    said = " ".join(told.stdout.split())
    assert "probe was asked for" in said
    assert f"model: {output}" in said
    config = json.loads((output / "config.json").read_text())
    assert config["source"]["kind"] == "package"
    assert config["preprocessing"]["height"] == 32
    found = headstart.evaluate(output, pictures)
    assert found.metrics["accuracy"].mean > 0.6
    assert len(found.left_out) == 1


@pytest.mark.parametrize("strategy", ["knn", "frozen", "freeze_then_thaw", "multi_depth_probe"])
def test_other_strategies_are_delivered_when_asked_for(
    pictures: Path, keras_file: Path, tmp_path: Path, strategy: str
) -> None:
    fitted = headstart.fit(
        pictures, tmp_path / "m", model=str(keras_file), strategy=strategy, seeds=1, epochs=3,
        jobs=1, device="cpu",
    )  # fmt: skip
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["training"]["same_bits_as_the_scored_trial"] is True
    found = headstart.evaluate(tmp_path / "m", pictures)
    assert found.metrics["accuracy"].mean >= fitted.evaluation.metrics["accuracy"].mean - 0.2


def test_an_image_set_from_python_will_do(keras_file: Path, tmp_path: Path) -> None:
    digits = load_digits()
    rows = np.isin(digits.target, (0, 1))
    pixels = (digits.images[rows][..., None] * 15.9375).astype(np.uint8).repeat(3, axis=3)
    images = headstart.ImageSet.from_arrays(pixels, digits.target[rows], class_names=["o", "l"])
    fitted = headstart.fit(
        images, tmp_path / "m", model=str(keras_file), strategy="frozen", seeds=2, epochs=5,
        jobs=1, device="cpu",
    )  # fmt: skip
    assert (
        headstart.load(fitted.folder).score(pixels, np.array(["o", "l"])[digits.target[rows]]) > 0.9
    )


def test_an_interrupted_fit_goes_on(pictures: Path, keras_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "model": str(keras_file), "strategy": "frozen", "seeds": 2, "epochs": 3, "jobs": 1,
        "device": "cpu",
    }  # fmt: skip

    def interrupt(progress: Progress) -> None:
        if "again" in progress.doing:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        headstart.fit(pictures, tmp_path / "m", listener=interrupt, **options)
    assert not (tmp_path / "m").exists()
    trained: list[str] = []
    fitted = headstart.fit(
        pictures, tmp_path / "m", listener=lambda p: trained.append(p.said or ""), **options
    )
    assert not any(trained)
    assert headstart.load(fitted.folder).classes_.tolist() == list(DIGITS)
    again = headstart.fit(pictures, tmp_path / "m", **options)
    assert len(list(tmp_path.glob("m.2*"))) == 1  # the first bundle is kept
    assert again.choice == fitted.choice


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"strategy": "frosen"}, StudyError, "did you mean 'frozen'"),
        ({"model": "tf_efficientnet_light0"}, HeadstartError, "tf_efficientnet_lite0"),
        ({"model": "nowhere.h5"}, NetworkError, "nowhere.h5"),
        ({"device": "gpu"}, HeadstartError, "there is no device 'gpu'"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    pictures: Path, tmp_path: Path, changes: dict[str, Any], kind: type[Exception], expected: str
) -> None:
    with pytest.raises(kind, match=expected):
        headstart.fit(pictures, tmp_path / "m", **{"seeds": 1, **changes})
    assert not (tmp_path / "m").exists()


def test_pictures_without_labels_are_told(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "loose" / "a.png")
    with pytest.raises(DataError, match="has a label"):
        headstart.fit(tmp_path / "loose", tmp_path / "m")


def test_a_folder_of_something_else_is_left_alone(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(RecordsError, match="holds no bundle"):
        headstart.fit(pictures, tmp_path / "thesis")
