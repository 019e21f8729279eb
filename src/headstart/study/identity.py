"""Identity: what makes two trials the same trial, and what changed between two studies."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.study.spec import Study

# What may differ between two calls on one folder: it changes no trial that is already there.
_GROWS = {"question", "strategy", "training", "study"}


def identify(configuration: Mapping[str, Any]) -> str:
    """A configuration's name: 16 hex digits of SHA-256 over its canonical JSON."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_configuration(
    study: Study, strategy: str, seed: int, labels: int | str, data_hash: str
) -> dict[str, Any]:
    """Everything that a trial's result depends on, as plain data.

    Two trials with the same configuration are the same trial: the numbers of seeds, budgets and
    strategies beside it do not matter to it.
    """
    whole = study.model_dump(mode="json")
    shared = {key: value for key, value in whole.items() if key not in _GROWS}
    del whole["split"]["repeats"]  # further repeats leave the folds before them as they are
    return {
        **shared,
        "strategy": whole["strategy"][strategy],
        "seed": seed,
        "labels": labels,
        "data_hash": data_hash,
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
