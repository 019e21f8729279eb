"""Identity: what makes two trials the same trial, and what changed between two studies."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import RecordsError
from headstart.strategies import Strategy
from headstart.study.search_settings import space_of
from headstart.study.spec import Study

# What may differ between two calls on one folder: it changes no trial that is already there.
_GROWS = {"question", "map", "strategy", "training", "study", "search"}
# Paths: what lies there is told by its hash.
_WHERE = {"data": {"path"}, "source": {"file", "weights", "keras"}}
# Keys that came later: where they say nothing, a trial is what it was before.
_LATER = {"batch_norm_momentum", "freeze_depth"}


def identify(configuration: Mapping[str, Any]) -> str:
    """A configuration's name: 16 hex digits of SHA-256 over its canonical JSON."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_configuration(
    study: Study,
    strategy: str,
    seed: int,
    labels: int | str,
    data_hash: str,
    weights_hash: str,
    settled: Strategy | None = None,
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
        settled: What a search chose for it; how that was searched is then a part of it, too.
    """
    whole = _as_before(study.model_dump(mode="json"))
    shared = {key: value for key, value in whole.items() if key not in _GROWS}
    for table, keys in _WHERE.items():
        if shared.get(table):
            shared[table] = {k: v for k, v in shared[table].items() if k not in keys}
    del whole["split"]["repeats"]  # further repeats leave the folds before them as they are
    return {
        **shared,
        **_strategy_facts(study, strategy, settled),
        "seed": seed,
        "labels": labels,
        "data_hash": data_hash,
        "weights_hash": weights_hash,
        "label_order": study.study.label_order,
        "threads": study.study.threads,
        "device": study.study.device,
    }


def _strategy_facts(study: Study, name: str, settled: Strategy | None) -> dict[str, Any]:
    if settled is None:
        return {"strategy": _as_before(study.strategy[name].model_dump(mode="json"))}
    return {
        "strategy": _as_before(settled.model_dump(mode="json")),
        "search": search_facts(study, name),
    }


def search_facts(study: Study, strategy: str) -> dict[str, Any]:
    """All that a search for a strategy depends on, as plain data; the pictures aside."""
    assert study.search is not None
    stated = study.strategy[strategy]
    space = space_of(study.search, strategy, stated)
    return {
        **{name: getattr(study.search, name) for name in type(study.search).model_fields},
        "space": {path: [span.low, span.high] for path, span in space.items()},
        "stated": _as_before(stated.model_dump(mode="json")),
    }


def _as_before(values: Any) -> Any:
    """Settings without the later keys that say nothing, at any depth."""
    if isinstance(values, Mapping):
        kept = {key: v for key, v in values.items() if v is not None or key not in _LATER}
        return {key: _as_before(value) for key, value in kept.items()}
    return values


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What changed from one configuration to another, one line a key."""
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from (f"{key}.{line}" for line in differences(old, new))
        elif old != new:
            yield f"{key}: was {json.dumps(old)}, is now {json.dumps(new)}"


def asked_differently(folder: Path, changes: Iterable[str]) -> RecordsError:
    """What to tell of a folder whose trials meant something else.

    Args:
        folder: The study's.
        changes: What changed, from `differences`.
    """
    return RecordsError(
        f"{folder} holds trials of a study that was asked differently:",
        *(f"  {line}" for line in dict.fromkeys(changes)),
        "undo the change, give another --output, or use --fresh to begin anew (the old folder is "
        "kept)",
    )
