"""Sources: carried over bit by bit, never changed, and nothing damaged or untrained is used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.errors import NetworkError
from headstart.networks import sources
from headstart.networks.builders import CnnSettings, MlpSettings, NetworkSettings, build_network
from headstart.networks.groups import Network, weights_hash
from headstart.networks.heads import HeadSettings
from headstart.networks.sources import (
    SourceDescription,
    check_source,
    description_path,
    read_description,
    read_scaling,
    save_source,
    start_from,
)
from headstart.strategies import FineTune
from headstart.training.batches import Batches
from headstart.training.fit import fit

SHAPE = (6, 5, 1)
MLP: dict[str, Any] = {"kind": "mlp", "hidden": [8, 4]}
CNN: dict[str, Any] = {"kind": "cnn", "layers": [{"conv": 3}, {"batch_norm": True}, {"dense": 4}]}
SCALING = Scaling(
    np.arange(30, dtype=np.float32).reshape(6, 5, 1), np.full((6, 5, 1), 2, dtype=np.float32)
)


def network(settings: dict[str, Any] = MLP, classes: int = 3, seed: int = 0) -> Network:
    body: MlpSettings | CnnSettings = TypeAdapter(NetworkSettings).validate_python(settings)
    made = build_network(body, HeadSettings(), SHAPE, classes, seed)
    with torch.no_grad():
        for name, buffer in made.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(0.25)  # as if trained
    return made


def saved(path: Path, made: Network, settings: dict[str, Any] = MLP, **changes: Any) -> Path:
    description = SourceDescription.model_validate(
        {
            "network": settings,
            "head": {},
            "picture_shape": SHAPE,
            "class_names": ["a", "b", "c"],
            "steps": 100,
            "val_accuracy": 0.75,
            "val_loss": 0.5,
            "weights_hash": weights_hash(made.state_dict()),
            "scaling": "standardised_pixels",
            "origin": "a test",
            **changes,
        }
    )
    save_source(made, SCALING, description, path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return saved(tmp_path / "sources" / "seed-0.safetensors", network())


def refusal(weights: Path, into: Network | None = None) -> tuple[str, ...]:
    with pytest.raises(NetworkError) as caught:
        start_from(into or network(seed=1), weights)
    return caught.value.problems


def edit_description(weights: Path, **changes: Any) -> None:
    path = description_path(weights)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("settings", [MLP, CNN])
def test_a_body_is_carried_over_bit_by_bit_the_head_stays(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    trained, fresh = network(settings), network(settings, classes=2, seed=1)
    weights = saved(tmp_path / "source.safetensors", trained, settings)
    head = weights_hash(fresh.head.state_dict())
    assert weights_hash(fresh.body.state_dict()) != weights_hash(trained.body.state_dict())
    description = start_from(fresh, weights)
    assert weights_hash(fresh.body.state_dict()) == weights_hash(trained.body.state_dict())
    assert weights_hash(fresh.head.state_dict()) == head
    assert fresh.pretrained
    assert description.class_names == ("a", "b", "c")


@pytest.mark.parametrize("head", [{}, {"hidden": [6, 5], "dropout": 0.5}])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_sources_own_head_comes_beside_the_new_one(
    head: dict[str, Any], classes: int, tmp_path: Path
) -> None:
    settings = HeadSettings.model_validate(head)
    body = TypeAdapter[Any](NetworkSettings).validate_python(MLP)
    trained = build_network(body, settings, SHAPE, classes, 0)
    names = ["a", "b", "c"][:classes]
    weights = saved(tmp_path / "source.safetensors", trained, head=head, class_names=names)
    fresh = network(classes=5, seed=1)
    assert fresh.source_head is None
    start_from(fresh, weights)
    assert fresh.source_head is not None
    pictures = torch.rand(4, 1, 6, 5)
    said = fresh.source_head.module.eval()(fresh.eval().body(pictures))
    assert torch.equal(said, trained.eval()(pictures))
    assert not any("source" in key for key in fresh.state_dict())


def test_a_description_and_a_scaling_come_back_as_they_were(source: Path) -> None:
    description = read_description(source)
    assert description == check_source(source)
    assert description.network == TypeAdapter[Any](NetworkSettings).validate_python(MLP)
    assert (description.picture_shape, description.steps) == (SHAPE, 100)
    assert (description.val_accuracy, description.val_loss) == (0.75, 0.5)
    scaling = read_scaling(source)
    assert np.array_equal(scaling.shift, SCALING.shift)
    assert np.array_equal(scaling.divisor, SCALING.divisor)


def test_a_source_is_a_pair_of_files_and_nothing_else(source: Path) -> None:
    assert sorted(file.name for file in source.parent.iterdir()) == [
        "seed-0.json",
        "seed-0.safetensors",
    ]
    assert sorted(load_file(source)) == [
        "body.dense_1.bias", "body.dense_1.weight", "body.dense_2.bias", "body.dense_2.weight",
        "head.output.bias", "head.output.weight", "scaling.divisor", "scaling.shift",
    ]  # fmt: skip


def test_a_trial_never_changes_its_source(source: Path) -> None:
    before = source.read_bytes(), description_path(source).read_bytes()
    first, second = network(seed=1), network(seed=2)
    start_from(first, source)
    start_from(second, source)
    untouched = weights_hash(second.body.state_dict())
    rng = np.random.default_rng(0)
    examples = Examples(rng.integers(0, 256, (40, *SHAPE), dtype=np.uint8), rng.integers(0, 3, 40))
    batches = Batches.of(examples, read_scaling(source), torch.device("cpu"))
    plan = FineTune(lr=0.1, epochs=2).plan(first.group_names)
    fit(first, plan, batches, batches, seed=0)
    assert weights_hash(first.body.state_dict()) != untouched
    assert weights_hash(second.body.state_dict()) == untouched
    assert (source.read_bytes(), description_path(source).read_bytes()) == before
    check_source(source)


def test_an_untrained_source_is_refused(tmp_path: Path) -> None:
    """Notebook 002 copies a network without its weights and calls that transfer."""
    weights = saved(tmp_path / "source.safetensors", network(), steps=0)
    fresh = network(seed=1)
    before = weights_hash(fresh.state_dict())
    assert refusal(weights, fresh) == (
        "source.safetensors was never trained: copying random weights is not transfer. Train the "
        "source, or use the strategy scratch",
    )
    assert weights_hash(fresh.state_dict()) == before
    assert not fresh.pretrained


def test_another_network_is_refused_with_every_difference(tmp_path: Path) -> None:
    settings = {"kind": "mlp", "hidden": [8, 5, 2]}
    weights = saved(tmp_path / "source.safetensors", network(settings), settings)
    assert refusal(weights) == (
        "source.safetensors has 'body.dense_3.bias', which the network lacks",
        "source.safetensors has 'body.dense_3.weight', which the network lacks",
        "'body.dense_2.weight' is (5, 8) in source.safetensors, (4, 8) here",
        "'body.dense_2.bias' is (5,) in source.safetensors, (4,) here",
        "the source must be a network of the same [network] table",
    )
    short = saved(tmp_path / "short.safetensors", network({**MLP, "hidden": [8]}))
    assert refusal(short)[:2] == (
        "short.safetensors lacks 'body.dense_2.weight'",
        "short.safetensors lacks 'body.dense_2.bias'",
    )


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_file_is_refused(source: Path, share: float) -> None:
    content = source.read_bytes()
    source.write_bytes(content[: int(share * len(content))])
    assert "seed-0.safetensors is not a readable safetensors file" in refusal(source)[0]
    with pytest.raises(NetworkError, match="restore it, or delete it so that it is made again"):
        read_scaling(source)


def test_a_flipped_bit_is_found(source: Path) -> None:
    content = bytearray(source.read_bytes())
    content[-70 * 4] ^= 1  # within the weights: 60 numbers of the scaling stand at the end
    assert set(load_file(source)) == set(load_file(_written(source, bytes(content))))
    for act in (check_source, lambda path: start_from(network(seed=1), path)):
        with pytest.raises(NetworkError) as caught:
            act(source)
        assert str(caught.value) == (
            "seed-0.safetensors is damaged: its weights do not have the hash in its description. "
            "Delete both files so that the source is trained again, or restore them"
        )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_tampered_description_is_found(source: Path) -> None:
    edit_description(source, weights_hash="0" * 64)
    assert "do not have the hash in its description" in refusal(source)[0]


def test_files_that_are_not_there_are_told(source: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.safetensors") == (
        "none.safetensors has no description none.json beside it: a source is a pair of files "
        "written by headstart (weights and their description)",
    )
    source.unlink()
    assert refusal(source) == (f"there is no weights file {source}",)


@pytest.mark.parametrize("text", ["", "{", "\udcff".encode("utf-8", "surrogateescape"), "[" * 9**5])
def test_a_description_that_is_not_json_is_refused(source: Path, text: str | bytes) -> None:
    description_path(source).write_bytes(text.encode() if isinstance(text, str) else text)
    assert "seed-0.json cannot be read" in refusal(source)[0]


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"format": 2}, ["seed-0.json: format: 2 is not known"]),
        ({"steps": "many"}, ["seed-0.json: steps: input should be an integer, got 'many'"]),
        (
            {"network": {"kind": "mlp", "hiden": [3]}, "scalling": "raw"},
            [
                "seed-0.json: network.hidden: is missing and has no default",
                "seed-0.json: network.hiden: unknown key; did you mean 'hidden'?",
                "seed-0.json: scalling: unknown key; did you mean 'scaling'?",
            ],
        ),
    ],
)
def test_a_description_that_is_not_ours_is_refused(
    source: Path, changes: dict[str, Any], sentences: list[str]
) -> None:
    edit_description(source, **changes)
    for sentence, start in zip(refusal(source), sentences, strict=True):
        assert sentence.startswith(start)


def test_a_description_that_is_no_table_is_refused(source: Path) -> None:
    description_path(source).write_text("[1, 2]")
    assert refusal(source) == ("seed-0.json: input should be a table, got [1, 2]",)


def test_a_file_without_a_scaling_is_told(source: Path) -> None:
    save_file(network().state_dict(), source)
    with pytest.raises(NetworkError, match="does not say how its pictures were scaled"):
        read_scaling(source)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("IO")])
def test_a_full_disk_leaves_the_old_source_whole(
    source: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    before = {file: file.read_bytes() for file in source.parent.iterdir()}

    def fail(state: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(sources, "save_file", fail)
    with pytest.raises(NetworkError, match=r"seed-0\.safetensors cannot be written .*make room"):
        saved(source, network(seed=9))
    assert {file: file.read_bytes() for file in source.parent.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "sources").write_text("in the way")
    with pytest.raises(NetworkError, match="cannot be written"):
        saved(tmp_path / "sources" / "seed-0.safetensors", network())
