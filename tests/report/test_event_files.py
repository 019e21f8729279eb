"""TensorBoard's event files, read back by TensorBoard's own reader."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from headstart.errors import StudyError
from headstart.report.event_files import need_tensorboard
from headstart.report.results import Results
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.spec import study_from

STUDY: dict[str, Any] = {
    "data": {"name": "digits"},
    "split": {"valid": 0.2, "test": 0.3},
    "task": {"classes": ["0", "1", "2"]},
    "network": {"kind": "mlp", "hidden": [8]},
    "training": {"lr": 0.1, "epochs": 3},
    "strategy": {
        "scratch": {"label_smoothing": 0.1, "augment": {"flip": 0.5}},
        "../slow": {"kind": "scratch", "lr": 0.01},
    },
    "study": {"seeds": 2, "labels": [60, "all"]},
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("study") / "answers"
    with study_folder(folder) as made:  # without the report, which would take most of the time
        return Results(train_and_score(study_from(STUDY), made, jobs=1))


def read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def hyperparameters(reader: EventAccumulator) -> dict[str, Any]:
    content = reader.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    data = HParamsPluginData.FromString(content)
    return {
        key: getattr(value, value.WhichOneof("kind"))
        for key, value in data.session_start_info.hparams.items()
    }


def test_every_trial_has_its_curves_and_what_it_was_made_with(compared: Results) -> None:
    folder = compared.event_files()
    assert folder == compared.directory / "tensorboard"
    found = sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("events.*"))
    assert found == sorted(
        f"{name}/labels-{labels}/seed-{seed}"
        for name in ("scratch", "%2E%2E%2Fslow")
        for labels in ("60", "all")
        for seed in (0, 1)
    )
    reader = read(folder / "scratch" / "labels-60" / "seed-1")
    curve = [
        row
        for row in compared.records.curves
        if (row["strategy"], row["labels"], row["seed"]) == ("scratch", "60", 1)
    ]
    assert len(curve) == 3
    for tag, column in (
        ("loss/train", "train_loss"),
        ("loss/validation", "val_loss"),
        ("accuracy/validation", "val_accuracy"),
    ):
        assert [event.step for event in reader.Scalars(tag)] == [1, 2, 3]
        values = [event.value for event in reader.Scalars(tag)]
        assert values == pytest.approx([row[column] for row in curve])
    kept = reader.Scalars("kept/accuracy of validation")[-1].value
    assert kept == pytest.approx(curve[-1]["val_accuracy"])


def test_hyperparameters_are_those_that_tell_trials_apart(compared: Results) -> None:
    folder = compared.event_files()
    of_scratch = hyperparameters(read(folder / "scratch" / "labels-all" / "seed-0"))
    assert of_scratch == {
        "strategy": "scratch", "kind": "scratch", "seed": 0, "labels": "all", "lr": 0.1,
        "epochs": 3, "batch_size": 32, "optimizer.name": "sgd", "label_smoothing": 0.1,
        "augment.flip": 0.5,
    }  # fmt: skip
    of_slow = hyperparameters(read(folder / "%2E%2E%2Fslow" / "labels-60" / "seed-1"))
    assert (of_slow["strategy"], of_slow["lr"], of_slow["labels"]) == ("../slow", 0.01, "60")
    assert of_slow["augment.flip"] == of_slow["label_smoothing"] == 0


def test_they_are_written_anew_and_say_nothing_of_the_test_split(compared: Results) -> None:
    (compared.event_files() / "left").write_text("from before")
    (compared.directory / ".tensorboard.123" / "scratch").mkdir(parents=True)
    folder = compared.event_files()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 8
    assert not any(b"test" in path.read_bytes() for path in files)
    assert sorted(path.name for path in folder.parent.glob("*tensorboard*")) == ["tensorboard"]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(StudyError) as caught:
        need_tensorboard()
    assert str(caught.value) == (
        "--tensorboard needs tensorboard, which is not installed: pip install "
        "'headstart[tensorboard]', or leave --tensorboard out"
    )
