"""Exports, used as somebody without headstart would use them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

import headstart
from headstart.delivery import engines, exporting
from headstart.delivery.engines import OnnxEngine, TorchEngine, faster_engine, pipeline_bytes
from headstart.delivery.pipeline import Pipeline
from headstart.errors import DataError, NetworkError, RecordsError
from headstart.networks import onnx_files


def by_hand(picture: Image.Image, note: dict[str, Any]) -> NDArray[np.uint8]:
    """What the file beside an export says about preparing a square picture."""
    told = note["preprocessing"]
    side = int(told["height"] / told["crop_fraction"])
    edge = round((side - told["height"]) / 2)
    resampling = Image.Resampling[told["interpolation"].upper()]
    box = (edge, edge, edge + told["width"], edge + told["height"])
    return np.asarray(picture.convert("RGB").resize((side, side), resampling).crop(box))


def test_an_onnx_file_answers_as_the_model_does(lite_folder: Path, tmp_path: Path) -> None:
    model = headstart.load(lite_folder, device="cpu")
    done = headstart.export(model, output=tmp_path / "net.onnx")
    assert (done.agreement, done.pictures) == (1.0, 128)
    assert done.difference < 1e-5
    onnx.checker.check_model(str(done.file), full_check=True)
    note = json.loads(done.note.read_text())
    photograph = Image.fromarray(load_sample_image("flower.jpg")).crop((0, 0, 400, 400))
    session = onnxruntime.InferenceSession(str(done.file), providers=["CPUExecutionProvider"])
    batch = np.stack([by_hand(photograph, note)] * 3)
    (answer,) = session.run([note["output"]["name"]], {note["input"]["name"]: batch})
    assert note["classes"] == ["blue", "green", "red"]
    np.testing.assert_allclose(answer, model.predict_proba([photograph] * 3), atol=1e-5)


def test_a_pt2_file_answers_as_the_model_does(folder: Path, tmp_path: Path) -> None:
    done = headstart.export(folder, "pt2", tmp_path / "net.pt2")
    program = torch.export.load(done.file).module()
    pixels = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        answer = program(pixels).numpy()
    np.testing.assert_allclose(
        answer, headstart.load(folder).predict_proba(pixels.numpy()), atol=1e-6
    )
    note = json.loads(done.note.read_text())
    assert note["parity"]["agreement"] == 1
    assert note["input"]["shape"] == ["pictures", 16, 16, 3]


def test_it_is_tried_on_the_users_pictures(folder: Path, colours: Callable[..., Path]) -> None:
    done = headstart.export(folder, pictures=colours(4))
    assert done.pictures == 12
    assert done.file == folder / "model.onnx"
    assert json.loads(done.note.read_text())["parity"]["of"] == "the user's own"
    assert headstart.load(folder).classes_.size == 3


class _Other(torch.nn.Module):
    """A network that answers a little, or quite, otherwise."""

    def __init__(self, pipeline: Pipeline, change: float) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.change = change

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.pipeline(pixels)
        return (1 - self.change) * answer + self.change * answer.flip(1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(1.0, r"\d+\.\d\d% of 128 pictures get the same class"), (3e-4, "differ by up to 0.000")],
)
def test_what_answers_otherwise_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: float, expected: str
) -> None:
    def faulty(pipeline: Pipeline, pixels: NDArray[np.uint8]) -> bytes:
        return pipeline_bytes(_Other(pipeline, change), pixels)  # type: ignore[arg-type]

    (folder / "model.onnx").write_bytes(b"the older one")
    monkeypatch.setattr(exporting, "pipeline_bytes", faulty)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NetworkError, match=expected) as caught:
        headstart.export(folder)
    assert "Nothing was written" in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "model.onnx").read_bytes() == b"the older one"


class TestBadInput:
    def test_an_unknown_format_is_told(self, folder: Path) -> None:
        with pytest.raises(NetworkError, match="no format 'onyx': did you mean 'onnx'"):
            headstart.export(folder, "onyx")  # type: ignore[arg-type]

    def test_pictures_that_cannot_be_read_are_told(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "a.png").write_bytes(b"x")
        with pytest.raises(DataError, match="none of the pictures in bad can be read"):
            headstart.export(folder, pictures=tmp_path / "bad")

    def test_a_place_that_cannot_be_written_is_told(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(RecordsError, match="cannot be written"):
            headstart.export(folder, output=tmp_path / "no" / "model.onnx")

    def test_a_missing_package_is_named(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnx_files, "find_spec", lambda _name: None)
        with pytest.raises(NetworkError, match=re.escape("headstart[onnx]")):
            headstart.export(folder)

    def test_a_damaged_onnx_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "net.onnx").write_bytes(b"no such thing")
        with pytest.raises(NetworkError, match="ONNX Runtime cannot load"):
            OnnxEngine(tmp_path / "net.onnx")


class TestFasterEngine:
    """Which engine predicts."""

    @staticmethod
    def choose(folder: Path, pictures: int, pixels: NDArray[np.uint8] | None = None) -> str:
        model = headstart.load(folder, device="cpu")
        rng = np.random.default_rng(0)
        batch = rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8) if pixels is None else pixels
        return model.engine(batch, pictures).name

    def test_few_pictures_are_not_worth_it(self, lite_folder: Path) -> None:
        assert self.choose(lite_folder, 99) == "PyTorch"

    def test_the_faster_one_is_taken(
        self, lite_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Time is told, not taken: a busy machine is no failure."""
        for seconds, expected in (([0, 2, 2, 3], "ONNX Runtime"), ([0, 1, 1, 3], "PyTorch")):
            ticks = iter(seconds)
            monkeypatch.setattr("time.perf_counter", lambda ticks=ticks: next(ticks))
            assert self.choose(lite_folder, 5000) == expected

    def test_one_that_answers_otherwise_is_not_taken(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = headstart.load(folder, device="cpu")
        pipeline = model.bundle.pipeline()
        ticks = iter([0, 2, 2, 3])
        monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
        monkeypatch.setattr(
            engines,
            "pipeline_bytes",
            lambda pipeline, pixels: pipeline_bytes(_Other(pipeline, 0.01), pixels),  # type: ignore[arg-type]
        )
        torch_engine = TorchEngine(pipeline, torch.device("cpu"))
        pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
        assert faster_engine(torch_engine, pipeline, folder, pixels, 5000) is torch_engine

    def test_an_exported_file_of_another_bundle_is_passed_over(self, folder: Path) -> None:
        headstart.export(folder)
        assert engines.exported_file(folder) == folder / "model.onnx"
        (folder / "model.onnx").write_bytes(b"another")
        assert engines.exported_file(folder) is None
        (folder / "model.onnx.json").write_text("[]")
        assert engines.exported_file(folder) is None
