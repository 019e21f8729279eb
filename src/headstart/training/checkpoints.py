"""Checkpoints: where a long fit stands, so that one that was interrupted goes on from there.

Everything that the next step depends on is kept, so the fit ends with the same bits as if nothing
had happened: weights, statistics, the optimiser's state, averages, the best weights so far, and the
state of the random numbers. A checkpoint of another fit, or one that is damaged, is no checkpoint.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.networks.groups import weights_hash

USUAL_SECONDS = 60.0


@dataclass(frozen=True)
class Standing:
    """Where a fit stands after an epoch.

    Attributes:
        tensors: By name.
        facts: Everything else, as plain data.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, whose names began with it and a colon."""
        return {
            key.removeprefix(f"{name}:"): value
            for key, value in self.tensors.items()
            if key.startswith(f"{name}:")
        }


class Checkpoints:
    """The checkpoint of one fit: a file that is written now and then, and removed at the end.

    Args:
        path: The file, a safetensors file.
        every_seconds: How long it takes until the next is due; the first, counted from now. A
            minute when omitted.
    """

    def __init__(self, path: Path, every_seconds: float | None = None) -> None:
        self._path = path
        self._every_seconds = USUAL_SECONDS if every_seconds is None else every_seconds
        self._written = time.monotonic()

    def found(self, meaning: str) -> Standing | None:
        """The checkpoint that lies there, or None.

        Args:
            meaning: What tells this fit from others.
        """
        try:
            with safe_open(self._path, "pt") as file:
                note = file.metadata() or {}
                if note.get("meaning") != meaning:
                    return None
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                facts = json.loads(note["facts"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        whole = note.get("hash") == weights_hash(tensors)
        return Standing(tensors, facts) if whole else None

    def save_if_due(self, meaning: str, standing: Callable[[], Standing]) -> None:
        """Write a checkpoint whole or not at all, if the last one is old enough.

        A fit goes on when it cannot be written; a warning says so.

        Args:
            meaning: As in `found`.
            standing: Tells where the fit stands.
        """
        if time.monotonic() - self._written < self._every_seconds:
            return
        now = standing()
        # Copies, as what safetensors writes may share no memory.
        tensors = {
            key: value.detach().cpu().contiguous().clone() for key, value in now.tensors.items()
        }
        note = {"meaning": meaning, "facts": json.dumps(now.facts), "hash": weights_hash(tensors)}
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, draft, metadata=note)
            draft.replace(self._path)
        except (OSError, SafetensorError) as error:
            warnings.warn(
                f"the checkpoint {self._path} cannot be written ({error}): if this is interrupted, "
                "its trial begins anew",
                stacklevel=2,
            )
        finally:
            with suppress(OSError):
                draft.unlink()
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove it, and its folder with the last one: the fit is over."""
        with suppress(OSError):
            for left in self._path.parent.glob(f".{self._path.name}.*"):
                left.unlink(missing_ok=True)  # half-written by a process that was killed
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()


@torch.no_grad()
def copy_into(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy values into tensors of the same names."""
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
