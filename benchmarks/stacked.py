"""Stacked fits against fits one after the other, in one process, on one thread.

    .venv/bin/python benchmarks/stacked.py

Prints, for notebook 000's dense network (32 seeds), for dense layers behind a cut (32 seeds) and
for heads on 1,280 features (160 trials): processor time of a trial's step, fitted alone and in
stacks of several sizes; their ratio (median of the repeats, taken in turn); and the share of it
that the matrix products take alone, at the machine's measured rate for batched products of the
same shapes. Processor time says more than the wall clock on a machine that does other work.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from headstart.data.scaling import fit_scaling
from headstart.networks.builders import MlpSettings, build_network
from headstart.networks.groups import LayerGroup, Network
from headstart.networks.heads import HeadSettings, build_head
from headstart.seeding import generator
from headstart.strategies import Frozen, Scratch
from headstart.training.batches import Batches, StoredInputs
from headstart.training.entry import Entry
from headstart.training.fit import fit
from headstart.training.stacking.fit import fit_stacked
from headstart.training.stacking.members import Member

CPU = torch.device("cpu")
BATCH = 32


@dataclass(frozen=True)
class Case:
    """Trials to fit.

    Attributes:
        name: In words.
        member: Makes the trial of a seed.
        sizes: Numbers between dense layers.
        steps: Steps of a trial.
        trials: How many there are.
    """

    name: str
    member: Callable[[int], Member]
    sizes: tuple[int, ...]
    steps: int
    trials: int


def notebook_000(pictures: int, trials: int) -> Case:
    """The dense network of notebook 000, from pictures on."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (pictures + 1, 28, 28, 1), dtype=np.uint8)
    labels = rng.integers(0, 8, pictures + 1)
    scaling = fit_scaling("unit", values, np.arange(1))
    settings = MlpSettings(kind="mlp", hidden=(300, 100, 50, 50, 50), activation="selu")
    train = Batches(values, labels[:-1], scaling, CPU, rows=np.arange(pictures))
    valid = Batches(values, labels[-1:], scaling, CPU, rows=np.array([pictures]))

    def member(seed: int) -> Member:
        network = build_network(settings, HeadSettings(), (28, 28, 1), 8, seed)
        plan = Scratch(epochs=1, batch_size=BATCH).plan(network.group_names)
        return Member(network, plan, train, valid, seed)

    sizes = (784, 300, 100, 50, 50, 50, 8)
    name = "dense network of notebook 000, from pictures on"
    return Case(name, member, sizes, -(-pictures // BATCH), trials)


def behind_a_cut(
    name: str, pictures: int, trials: int, sizes: tuple[int, ...], optimizer: str
) -> Case:
    """Dense layers on kept features, of which every trial sees others."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(pictures + 100, sizes[0])).astype(np.float32)
    labels = rng.integers(0, max(2, sizes[-1]), len(values))

    def part(rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> StoredInputs:
        return StoredInputs(values, rows, torch.from_numpy(labels[rows]), CPU)

    def member(seed: int) -> Member:
        settings = HeadSettings(hidden=sizes[1:-1])
        head = build_head(settings, sizes[0], max(2, sizes[-1]), generator(seed, "initial head"))
        groups = [LayerGroup("body", ("body",)), LayerGroup("head", ("head",))]
        network = Network(nn.Linear(2, 2), head, groups, pretrained=True)
        plan = Frozen(epochs=1, batch_size=BATCH, optimizer=optimizer).plan(network.group_names)
        rows = np.random.default_rng(seed).permutation(len(values))
        train, valid = part(rows[:pictures]), part(rows[-1:])
        return Member(network, plan, train, valid, seed, lambda _, __, t, v: Entry(head, t, v))

    return Case(name, member, sizes, -(-pictures // BATCH), trials)


def one_by_one(case: Case, trials: int) -> float:
    """Processor seconds of a trial's step, fitted alone."""
    members = [case.member(seed) for seed in range(trials)]
    started = time.process_time()
    for each in members:
        fit(each.network, each.plan, each.train, each.valid, each.seed, enter=each.enter)
    return (time.process_time() - started) / trials / case.steps


def in_stacks(case: Case, most: int) -> float:
    """Processor seconds of a trial's step, in stacks of so many."""
    members = [case.member(seed) for seed in range(case.trials)]
    started = time.process_time()
    for first in range(0, len(members), most):
        fit_stacked(members[first : first + most])
    return (time.process_time() - started) / case.trials / case.steps


def products(case: Case, most: int, repeats: int = 20) -> float:
    """Processor seconds that the batched products of a trial's step take by themselves."""
    total = 0.0
    for place, (inputs, outputs) in enumerate(zip(case.sizes, case.sizes[1:], strict=False)):
        outputs = max(2, outputs)
        x, w = torch.randn(most, BATCH, inputs), torch.randn(most, outputs, inputs)
        z, g, back = x.new_empty(most, BATCH, outputs), torch.randn(most, BATCH, outputs), x.clone()

        def once(x=x, w=w, z=z, g=g, back=back, place=place) -> None:  # type: ignore[no-untyped-def]
            torch.bmm(x, w.transpose(1, 2), out=z)
            torch.bmm(g.transpose(1, 2), x, out=w)
            if place:
                torch.bmm(g, w, out=back)

        once()
        started = time.process_time()
        for _ in range(repeats):
            once()
        total += (time.process_time() - started) / repeats / most
    return total


def report(case: Case, stacks: Sequence[int], repeats: int) -> None:
    """Measure in turn and print."""
    alone = min(4, case.trials)
    one_by_one(case, 1)
    rows = [
        (one_by_one(case, alone), [(in_stacks(case, m), products(case, m)) for m in stacks])
        for _ in range(repeats)
    ]
    before = statistics.median(row[0] for row in rows)
    print(f"{case.name}, {case.trials} trials: alone {1e6 * before:.0f} µs a step", flush=True)
    for place, most in enumerate(stacks):
        ratios = sorted(row[0] / row[1][place][0] for row in rows)
        shares = [row[1][place][1] / row[1][place][0] for row in rows]
        own = statistics.median(row[1][place][0] for row in rows)
        print(
            f"  in stacks of {most}: {1e6 * own:.0f} µs, {statistics.median(ratios):.1f} times as "
            f"fast ({ratios[0]:.1f} to {ratios[-1]:.1f}); its products alone "
            f"{statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})",
            flush=True,
        )


def dense_networks(count: int, repeats: int) -> None:
    """Measure networks with hidden layers."""
    report(notebook_000(count, 32), (1, 4, 14, 32), repeats)
    suffix = behind_a_cut(
        "512 → 256 → 128 → 10 behind a cut", count, 32, (512, 256, 128, 10), "sgd"
    )
    report(suffix, (1, 8, 32), repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--only-heads", action="store_true", help="leave the dense networks out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.pictures
    if not options.only_heads:
        dense_networks(count, options.repeats)
    for optimizer in ("sgd", "adam"):
        heads = behind_a_cut(
            f"heads of two classes on 1,280 features, {optimizer}", count, 160, (1280, 1), optimizer
        )
        report(heads, (1, 16, 160), options.repeats)


if __name__ == "__main__":
    main()
