"""Identity: what makes two trials the same trial, and what changed between two studies."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.study.spec import Study

# What may differ between two calls on one folder: it changes no trial that is already there.
_GROWS = {"question", "strategy", "training", "study"}
# Paths: what lies there is told by its hash.
_WHERE = {"data": {"path"}, "source": {"file", "weights", "keras"}}


def identify(configuration: Mapping[str, Any]) -> str:
    """A configuration's name: 16 hex digits of SHA-256 over its canonical JSON."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_configuration(
    study: Study, strategy: str, seed: int, labels: int | str, data_hash: str, weights_hash: str
) -> dict[str, Any]:
    """Everything that a trial's result depends on, as plain data.

    Two trials with the same configuration are the same trial: the numbers of seeds, budgets and
    strategies beside it do not matter to it, nor in which folder pictures and weights lie.

    Args:
        study: What is asked.
        strategy: The trial's strategy by name.
        seed: Its seed.
        labels: Its label budget.
        data_hash: Of the pictures, labels and class names.
        weights_hash: Of the source's weights, where they come from elsewhere; else empty.
    """
    whole = study.model_dump(mode="json")
    shared = {key: value for key, value in whole.items() if key not in _GROWS}
    for table, keys in _WHERE.items():
        if shared.get(table):
            shared[table] = {k: v for k, v in shared[table].items() if k not in keys}
    del whole["split"]["repeats"]  # further repeats leave the folds before them as they are
    return {
        **shared,
        "strategy": whole["strategy"][strategy],
        "seed": seed,
        "labels": labels,
        "data_hash": data_hash,
        "weights_hash": weights_hash,
        "label_order": study.study.label_order,
        "threads": study.study.threads,
        "device": study.study.device,
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What changed from one configuration to another, one line a key."""
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from (f"{key}.{line}" for line in differences(old, new))
        elif old != new:
            yield f"{key}: was {json.dumps(old)}, is now {json.dumps(new)}"
