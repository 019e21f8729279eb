"""Every strategy in a study: it is done, or refused before anything trains."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from safetensors.torch import save_file

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.networks.torchvision_guard import import_timm
from headstart.report.results import Results
from headstart.strategies import STRATEGIES, Plan, Strategy
from headstart.study.layout import layout
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
QUICK = {"epochs": 1}


class LeftToItself(Strategy):
    """A strategy given from Python: only the first group and the head learn."""

    kind: Literal["left_to_itself"] = "left_to_itself"
    summary: ClassVar[str] = "the first group and the head learn"

    def plan(self, groups: Sequence[str]) -> Plan:
        rates = {group: self.lr if group in (groups[0], "head") else None for group in groups}
        return Plan("source", (self.phase("ends", rates),))


def given(images: ImageSet) -> ImageSet:
    return images


def workplace(study: Study, images: ImageSet, folder: Path) -> Workplace:
    return Workplace(study, partial(given, images), folder)


def test_every_strategy_can_take_part_ours_and_one_from_python(
    compare: Callable[..., Results], small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(
        strategy={
            **{name: {"kind": name} for name in STRATEGIES},
            "near": {"kind": "fine_tune", "regularisers": ["l2_sp", "bss"]},
            "mine": LeftToItself(epochs=1),
        },
        training=QUICK,
        study={"seeds": 1, "labels": [60]},
    )
    results = compare(study, folder, images=digits)
    states = dict(zip(results.trials["strategy"], results.trials["state"], strict=True))
    assert states == dict.fromkeys([*STRATEGIES, "near", "mine"], "complete")
    trained = dict(
        zip(results.trials["strategy"], results.trials["trainable_parameters"], strict=True)
    )
    inputs, first, second = 64, 16, 8
    head = 3 * second + 3
    assert trained["norms_and_biases"] == first + second + head
    assert trained["frozen"] == head
    assert trained["top_groups"] == first * second + second + head
    assert trained["mine"] == inputs * first + first + head
    assert Results.read(folder).records.study.strategy["mine"] == LeftToItself(epochs=1)


def test_a_replaced_top_starts_as_scratch_does_and_the_rest_as_the_source(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(strategy={"replace_top": {}, "scratch": {}, "frozen": {}}, training=QUICK)
    place = workplace(study, digits, folder)
    place.train_source(0)
    task = place.task(0)
    starts = {
        name: place.start(task, 0, place.plan(name, place.making)).state_dict()
        for name in study.strategy
    }
    for key, value in starts["replace_top"].items():
        model = "frozen" if key.startswith("body.dense_1.") else "scratch"
        assert torch.equal(value, starts[model][key]), key
    assert not torch.equal(
        starts["frozen"]["body.dense_2.weight"], starts["scratch"]["body.dense_2.weight"]
    )


def test_what_a_network_cannot_take_is_told_before_anything_trains(
    compare: Callable[..., Results], small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(
        network={"kind": "mlp", "hidden": [8]},
        strategy={
            "gradual": {},
            "replace_top": {},
            "top_groups": {},
            "surgical": {"block": "dense_2"},
            "norms_and_biases": {"parts": "norms"},
            "fine_tune": {"regularisers": ["stoch_norm"]},
        },
        study={"baseline": "fine_tune"},
    )
    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)
    assert caught.value.problems == (
        "strategy.gradual: gradual thaws group by group, but the body has 1 layer group: use "
        "freeze_then_thaw or fine_tune",
        "strategy.replace_top: top = 1, but the body has 1 layer group, so nothing of the source "
        "would be kept: lower it, or use scratch",
        "strategy.top_groups: top = 1, but the body has 1 layer group, so nothing would stay "
        "frozen: lower it, or use fine_tune",
        "strategy.surgical: block: no layer group 'dense_2'; did you mean 'dense_1'? Known: auto, "
        "dense_1",
        "strategy.norms_and_biases: phase 'norms' trains only norms of the body, but dense_1 has "
        "none: use another selection or another strategy",
        "strategy.fine_tune: phase 'fine-tune' has stoch_norm, but nothing that learns in the body "
        "is a BatchNorm: leave it out",
    )
    assert not (folder / "sources").exists()


def test_what_a_source_lacks_is_told_before_anything_trains(
    compare: Callable[..., Results], small_study: Make, digits: ImageSet, folder: Path
) -> None:
    """Flattened features are not those that the source's own head stood on."""
    weights = folder.parent / "weights.safetensors"
    save_file(import_timm().create_model("test_resnet").state_dict(), weights)
    source = {"pretrained": "test_resnet", "weights": str(weights)}
    strategies = {
        "co_tuning": {"kind": "fine_tune", "regularisers": ["co_tuning"], "epochs": 1},
        "lora": {"targets": "attention"},
    }
    study = small_study(
        data={"image_size": 32, "scaling": "source"},
        source={**source, "features": "flattened"},
        network=None,
        strategy=strategies,
        study={"baseline": "co_tuning", "seeds": 1, "labels": [20]},
    )
    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)
    assert caught.value.problems == (
        "strategy.co_tuning: phase 'fine-tune' has co_tuning, which needs the head that the source "
        "was trained with, but this source comes without one: leave it out, or take a source that "
        "brings its head",
        "strategy.lora: phase 'adapters' lora finds no projections to queries, keys and values in "
        'the body: use targets = "all", or another strategy',
    )
    with_head = small_study(
        data={"image_size": 32, "scaling": "source"},
        source=source,
        network=None,
        strategy={"co_tuning": strategies["co_tuning"]},
        study={"baseline": "co_tuning", "seeds": 1, "labels": [20]},
    )
    assert list(compare(with_head, folder, images=digits).trials["state"]) == ["complete"]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"gradul": {}}, "strategy.gradul: there is no strategy 'gradul'; did you mean 'gradual'?"),
        ({"gradual": {"rato": 3}}, "strategy.gradual.rato: unknown key; did you mean 'ratio'?"),
        ({"frozen": {"regularisers": ["l2_sp"]}}, "strategy.frozen.regularisers: unknown key"),
        ({"fine_tune": {"regularisers": ["l2sp"]}},
         "strategy.fine_tune.regularisers.0: name = 'l2sp' is not known; did you mean 'l2_sp'?"),
        ({"auto": {"epochs": 3}}, "strategy.auto: epochs has no effect in auto, which is a preset"),
        ({"probe": {"lr": 0.1}}, "strategy.probe: lr has no effect in probe, whose head is solved"),
        ({"soup": {"factors": [1]}}, "strategy.soup.factors: "),
        ({"distil": {"wait": 0.5}}, "strategy.distil.wait: unknown key; did you mean 'weight'?"),
    ],
)  # fmt: skip
def test_names_and_parameters_of_strategies_are_checked(
    strategy: dict[str, Any], message: str, small_study: Make
) -> None:
    with pytest.raises(StudyError) as caught:
        small_study(strategy={"scratch": {}, **strategy})
    assert caught.value.problems[0].startswith(message)


def test_the_layout_counts_what_a_selection_trains(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(strategy={"norms_and_biases": {}}, study={"baseline": "norms_and_biases"})
    (row,) = layout(workplace(study, digits, folder)).phases
    assert row.trainable == 16 + 8 + 3 * 8 + 3
