"""Recipes in the training loop: a loop by hand beside it, and what no recipe may touch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from headstart.errors import StudyError, TrainingError
from headstart.networks.groups import Network, weights_hash
from headstart.seeding import generator, stream_seed
from headstart.strategies import FineTune, FreezeThenThaw, Frozen, Plan, Scratch, Strategy
from headstart.strategies.augment import Augment
from headstart.training.augmented import ChangedPictures, Mixing
from headstart.training.batches import Batches, StoredInputs
from headstart.training.evaluate import evaluate_loss
from headstart.training.fit import fit
from headstart.training.recipe_check import check_recipes

Make = Callable[..., Any]
CPU = torch.device("cpu")
NAMES = ("ant", "bee", "cat")
SHORT: dict[str, Any] = {"lr": 0.1, "batch_size": 8}
AUGMENT: dict[str, Any] = {"flip": 0.5, "crop": 0.4, "erase": 0.3}
MIXED: dict[str, Any] = {**AUGMENT, "mixup": 0.4, "cutmix": 1.0}


def by_hand(
    network: Network, train: Batches, strategy: Strategy, seed: int, weight: Tensor
) -> nn.Module:
    """A recipe's loop as somebody would write it, over two epochs of SGD; what is to be kept."""
    recipe, labels = strategy.recipe, train.labels
    assert labels is not None
    pictures = ChangedPictures(train, recipe.augment, seed, 0)
    mixing = Mixing(recipe.augment, seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))  # type: ignore[no-untyped-call]
    torch.manual_seed(stream_seed(seed, "dropout"))
    network.train()
    for epoch in (1, 2):
        order = generator(seed, "order", epoch).permutation(len(train))
        for rows in torch.split(torch.from_numpy(order), strategy.batch_size):
            inputs = pictures.inputs(rows + (epoch - 1) * len(train))
            inputs, shares = mixing(inputs, rows.tolist(), epoch - 1)
            own = functional.one_hot(labels[rows], 3).float()
            targets = shares[:, None] * own + (1 - shares[:, None]) * own.roll(1, 0)
            summed = functional.cross_entropy(
                network(inputs), targets, weight=weight, label_smoothing=recipe.label_smoothing,
                reduction="sum",
            )  # fmt: skip
            optimizer.zero_grad()
            (summed / (targets @ weight).sum()).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            optimizer.step()
            average.update_parameters(network)
    module: nn.Module = average.module
    return module


def test_a_whole_recipe_is_that_of_a_loop_by_hand(cnn: Make, make_batches: Make) -> None:
    strategy = Scratch.model_validate(
        {
            **SHORT, "epochs": 2, "augment": MIXED, "label_smoothing": 0.1, "ema": 0.8,
            "clip_norm": 0.3, "class_weights": {"bee": 3.0},
        }
    )  # fmt: skip
    network, train, valid = cnn(), make_batches(30), make_batches(9, seed=1)
    expected = by_hand(
        copy.deepcopy(network), train, strategy, 4, torch.tensor([1.0, 3.0, 1.0])
    ).state_dict()
    plan = strategy.plan(network.group_names)
    result = fit(network, plan, train, valid, 4, class_names=NAMES)
    for key, value in network.state_dict().items():
        assert torch.allclose(value, expected[key], rtol=1e-4, atol=1e-5), key
    # What is told of validation is the plain loss of what was kept, on the pictures as they are.
    assert evaluate_loss(network, valid) == (result.val_loss, result.val_accuracy)
    assert (result.epochs[-1].val_loss, result.epochs[-1].val_accuracy) == (
        result.val_loss,
        result.val_accuracy,
    )


def test_early_stopping_keeps_the_best_average(cnn: Make, make_batches: Make) -> None:
    network, train, valid = cnn(), make_batches(24), make_batches(30, seed=5)
    assert valid.labels is not None
    valid.labels[::3] = (valid.labels[::3] + 1) % 3  # so that its loss rises soon
    values = {**SHORT, "lr": 0.5, "epochs": 15, "ema": 0.5}
    through = Scratch.model_validate(values).plan(network.group_names)
    whole = fit(cnn(), through, train, valid, 0)
    best = min(range(15), key=lambda n: whole.epochs[n].val_loss)
    assert best < 12
    patient = Scratch.model_validate({**values, "patience": 2}).plan(network.group_names)
    result = fit(network, patient, train, valid, 0)
    assert len(result.epochs) < 15
    assert result.val_loss == min(epoch.val_loss for epoch in result.epochs)
    assert evaluate_loss(network, valid) == (result.val_loss, result.val_accuracy)


RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "augment": st.sampled_from(["light", AUGMENT, MIXED, {"preset": "light", "views": 2}]),
        "label_smoothing": st.sampled_from([0.0, 0.2]),
        "class_weights": st.sampled_from(["none", "balanced", {"cat": 2.0}]),
        "ema": st.sampled_from([0.0, 0.3, 0.9]),
        "clip_norm": st.sampled_from([0.0, 0.1]),
        "precision": st.sampled_from(["auto", "float32", "bfloat16"]),
        "batch_norm": st.sampled_from(["live", "frozen"]),
        "patience": st.sampled_from([1, 3]),
        "schedule": st.sampled_from(["linear", "one_cycle"]),
    },
)
KINDS: list[tuple[type[Strategy], dict[str, Any]]] = [
    (Scratch, {}),
    (Frozen, {}),
    (FineTune, {}),
    (FreezeThenThaw, {"thaw": 1}),
    (FreezeThenThaw, {"thaw": ("conv_2",)}),
]


def is_statistic(key: str) -> bool:
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RECIPES, st.sampled_from(KINDS))
def test_no_recipe_touches_what_is_frozen(
    cnn: Make, make_batches: Make, recipe: dict[str, Any], kind: tuple[type[Strategy], Any]
) -> None:
    """Bit by bit and buffers too, phase by phase; what learns changes."""
    network, train, valid = cnn(), make_batches(20), make_batches(9, seed=1)
    strategy = kind[0].model_validate({**SHORT, "epochs": 2, **kind[1], **recipe})
    for phase in strategy.plan(network.group_names).phases:
        before = {key: value.clone() for key, value in network.state_dict().items()}
        fit(network, Plan("source", (phase,)), train, valid, 0, class_names=NAMES)
        for key, value in network.state_dict().items():
            learns = phase.trains(network.group_of(key))
            learns = learns and not (is_statistic(key) and phase.batch_norm == "frozen")
            assert torch.equal(value, before[key]) != learns, f"{key} in {phase.name}"


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RECIPES)
def test_the_same_seed_gives_the_same_bits(
    cnn: Make, make_batches: Make, recipe: dict[str, Any]
) -> None:
    hashes = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        network = cnn()
        strategy = Scratch.model_validate({**SHORT, "epochs": 2, **recipe})
        plan = strategy.plan(network.group_names)
        fit(network, plan, make_batches(20), make_batches(9, seed=1), 3, class_names=NAMES)
        hashes.append(weights_hash(network.state_dict()))
    assert hashes[0] == hashes[1]


def shown(network: Network, run: Callable[[], object]) -> tuple[list[Tensor], list[Tensor]]:
    """The batches that a network saw while training, and while it was asked."""
    training: list[Tensor] = []
    asked: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        (training if module.training else asked).append(inputs[0].clone())

    hook = network.register_forward_pre_hook(note)
    run()
    hook.remove()
    return training, asked


@pytest.mark.parametrize("augment", [AUGMENT, MIXED], ids=["changed", "mixed"])
def test_pairs_see_the_same_changed_pictures_and_validation_plain_ones(
    cnn: Make, make_batches: Make, augment: dict[str, Any]
) -> None:
    train, valid = make_batches(20), make_batches(9, seed=1)
    seen: list[Tensor] = []
    for strategy in (
        Scratch.model_validate({**SHORT, "epochs": 2, "augment": augment}),
        FineTune.model_validate({**SHORT, "epochs": 2, "augment": augment, "lr": 0.01}),
        Scratch.model_validate({**SHORT, "epochs": 2, "augment": augment, "ema": 0.9}),
    ):
        network = cnn(seed=len(seen))
        plan = strategy.plan(network.group_names)
        training, asked = shown(network, lambda: fit(network, plan, train, valid, 5))  # noqa: B023
        seen.append(torch.cat(training))
        assert torch.equal(torch.cat(asked), torch.cat([valid.inputs(slice(None))] * 2))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    plain = torch.cat([train.inputs(torch.from_numpy(generator(5, "order", epoch).permutation(20)))
                       for epoch in (1, 2)])  # fmt: skip
    assert not torch.equal(seen[0], plain)


def test_changed_pictures_do_not_depend_on_the_batch_size(cnn: Make, make_batches: Make) -> None:
    train, valid = make_batches(20), make_batches(9, seed=1)
    seen = []
    for size in (5, 8):
        network = cnn()
        strategy = Scratch.model_validate({"epochs": 2, "augment": AUGMENT, "batch_size": size})
        plan = strategy.plan(network.group_names)
        training, _ = shown(network, lambda: fit(network, plan, train, valid, 5))  # noqa: B023
        seen.append(torch.cat(training))
    assert torch.equal(seen[0], seen[1])


def test_a_phase_of_the_head_sees_the_pictures_as_they_are_and_then_changed_ones(
    cnn: Make, make_batches: Make
) -> None:
    train, valid = make_batches(16), make_batches(9, seed=1)
    network = cnn()
    strategy = FreezeThenThaw.model_validate({**SHORT, "epochs": 1, "augment": AUGMENT})
    plan = strategy.plan(network.group_names)
    training, _ = shown(network, lambda: fit(network, plan, train, valid, 5))
    orders = [torch.from_numpy(generator(5, "order", epoch).permutation(16)) for epoch in (1, 2)]
    assert torch.equal(torch.cat(training[:2]), train.inputs(orders[0]))
    changed = ChangedPictures(train, Augment(**AUGMENT), 5, 0)
    assert torch.equal(torch.cat(training[2:]), changed.inputs(orders[1] + 16))


def test_views_are_taken_in_turn(cnn: Make, make_batches: Make) -> None:
    train, valid = make_batches(16), make_batches(9, seed=1)
    network = cnn()
    strategy = Frozen.model_validate({**SHORT, "epochs": 5, "augment": {**AUGMENT, "views": 2}})
    plan = strategy.plan(network.group_names)
    training, _ = shown(network, lambda: fit(network, plan, train, valid, 5))
    views = ChangedPictures(train, Augment(**AUGMENT), 5, 2)
    for epoch in range(5):
        order = torch.from_numpy(generator(5, "order", epoch + 1).permutation(16))
        found = torch.cat(training[2 * epoch : 2 * epoch + 2])
        assert torch.equal(found, views.inputs(order + 16 * (epoch % 2))), epoch


def test_dropout_draws_as_it_would_without_augmentation(
    mlp: Make, make_batches: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[Tensor] = []

    def masked(values: Tensor, *args: object, **options: object) -> Tensor:
        masks.append(torch.rand(values.shape))
        return values

    monkeypatch.setattr(functional, "dropout", masked)
    for augment in ("none", MIXED):
        network = mlp()
        plan = Scratch.model_validate({"epochs": 2, "augment": augment}).plan(network.group_names)
        fit(network, plan, make_batches(30), make_batches(9), 3)
    assert torch.equal(torch.cat(masks[: len(masks) // 2]), torch.cat(masks[len(masks) // 2 :]))


def test_what_is_no_picture_cannot_be_changed(mlp: Make, make_batches: Make) -> None:
    network, valid = mlp(), make_batches(9)
    plan = Scratch.model_validate({"augment": "light"}).plan(network.group_names)
    stored = StoredInputs(valid.values, valid.rows, valid.labels, CPU)
    with pytest.raises(TrainingError, match="'train' changes its training pictures, but was given"):
        fit(network, plan, stored, valid, 0)


def test_everything_that_a_recipe_cannot_have_is_told_at_once() -> None:
    strategy = FreezeThenThaw.model_validate(
        {"class_weights": {"bea": 2}, "precision": "float16", "augment": "standard"}
    )
    plan = strategy.plan(("low", "head"))
    with pytest.raises(StudyError) as caught:
        check_recipes(plan, NAMES, 4, CPU)
    assert caught.value.problems == (
        'precision = "float16" gains nothing on a CPU, and its small numbers vanish: use "auto", '
        '"bfloat16" or "float32", or device = "cuda"',
        "class_weights: there is no class 'bea'; did you mean 'bee'? Known: ant, bee, cat",
        "augment: colour needs pictures of 1 or 3 channels, these have 4: leave it out",
    )
    check_recipes(Scratch.model_validate({"augment": MIXED}).plan(("low", "head")), NAMES, 4, CPU)
