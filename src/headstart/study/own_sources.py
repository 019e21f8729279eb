"""Own sources: networks trained from scratch on a trial's own pictures, for arms that copy them.

One is shared by all arms of a seed and label budget that train it in the same way. It lies beside
the sources below the study's folder, with the hash of its weights; whichever trial needs it first
trains it, and the others wait.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import filelock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.networks.groups import Network, weights_hash
from headstart.seeding import stream_seed
from headstart.strategies import Plan

_HASH = "weights_hash"


def drawn_seed(seed: int, plan: Plan) -> int:
    """What a plan draws its initial weights and order from: the seed, or a stream within it."""
    return seed if plan.draw == 0 else stream_seed(seed, "draw", plan.draw)


def own_source_plan(plan: Plan) -> Plan:
    """How the own source of a plan is trained: as `scratch_again` would be."""
    return Plan("random", plan.own, draw=1)


def own_source_file(directory: Path, plan: Plan, seed: int, labels: Budget) -> Path:
    """Where the own source of a plan lies; another way of training it has another name."""
    # A key that came later and says nothing changes no name: what lies there is found again.
    told = repr(plan.own).replace(", batch_norm_momentum=None", "")
    way = hashlib.sha256(told.encode()).hexdigest()[:12]
    return directory / "sources" / f"own-{way}-labels-{labels}-seed-{seed}.safetensors"


def own_source(path: Path, train: Callable[[], Network]) -> Mapping[str, Tensor]:
    """The weights of an own source, trained by whoever needs them first.

    Args:
        path: From `own_source_file`.
        train: Gives the trained network.

    Raises:
        RecordsError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.stem}.lock")):
            state = _read(path)
            if state is None:
                state = {
                    key: value.detach().cpu().contiguous()
                    for key, value in train().state_dict().items()
                }
                _write(state, path)
            return state
    except OSError as error:
        raise RecordsError(
            f"{path} cannot be written ({error.strerror}): make room on the disk and give the same "
            "command again (what was trained is kept), or give another --output"
        ) from error


def _read(path: Path) -> dict[str, Tensor] | None:
    """What a file holds; None where there is none, or it is not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
            written = (file.metadata() or {}).get(_HASH)
    except (OSError, SafetensorError):
        return None
    return state if weights_hash(state) == written else None


def _write(state: Mapping[str, Tensor], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(dict(state), temporary, metadata={_HASH: weights_hash(state)})
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
