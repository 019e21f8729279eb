"""Weight files: read without running code, and found on this machine, in a package or on a hub."""

import argparse
import hashlib
import pickle
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from headstart.errors import NetworkError

SAFETENSORS = ".safetensors"
TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_PREFERRED_NAMES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = (
    "state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net",
    "network",
)  # fmt: skip
_UNREADABLE = (  # what torch.load raises on files of other kinds, damaged or unsafe ones
    OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError,
    zipfile.BadZipFile,
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")


@dataclass(frozen=True)
class Source:
    """Where a network's weights came from.

    Attributes:
        kind: ``"random"`` means that there is nothing to transfer.
        model: timm's name with its tag, or what the caller calls it.
        where: The file, package or repository in words; never a user's path.
        sha256: Of the weights file, in hex; empty for random weights.
        licence: As stated with the weights; None where nothing is known.
        url: The model card or home page; None where there is none.
    """

    kind: Literal["random", "file", "cache", "hub", "package"]
    model: str
    where: str
    sha256: str = ""
    licence: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Package:
    """An installable package that carries pretrained weights, from ``models.toml``.

    Attributes:
        name: Of the package, as pip and Python know it.
        model: timm's name and tag of the network that it fills.
        file: Of the weights, inside the package.
        sha256: Of that file, in hex.
        licence: Of the weights, as far as it is stated.
        url: The package's home page.
    """

    name: str
    model: str
    file: str
    sha256: str
    licence: str
    url: str

    def path(self) -> Path | None:
        """The weights file, or None while the package is not installed; nothing is imported."""
        spec = find_spec(self.name)
        folders = spec.submodule_search_locations if spec else None
        paths = (Path(folder) / self.file for folder in folders or ())
        return next((path for path in paths if path.is_file()), None)

    def where(self) -> str:
        """The installed package in words, with its version."""
        try:
            return f"package {self.name} {version(self.name)}"
        except PackageNotFoundError:
            return f"package {self.name}"


@cache
def packages() -> tuple[Package, ...]:
    """Every package that headstart knows to carry weights."""
    text = files("headstart.networks").joinpath("models.toml").read_text(encoding="utf-8")
    return tuple(Package(name, **facts) for name, facts in tomllib.loads(text).items())


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_file(path: Path) -> Path:
    """The weights file that a path means: itself, or the one in a folder.

    Raises:
        NetworkError: If nothing is there, or a folder holds none or several to choose from.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise NetworkError(f"there is no weights file or folder {path}")
    for name in _PREFERRED_NAMES:
        if (path / name).is_file():
            return path / name
    for suffixes in ((SAFETENSORS,), TORCH_SUFFIXES):
        found = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.name for each in found)
            raise NetworkError(
                f"the folder {path} holds several weights files ({names}): give one of them"
            )
    raise NetworkError(
        f"the folder {path} holds no weights file: expected {_PREFERRED_NAMES[0]} or a PyTorch "
        f"state dict ({', '.join(TORCH_SUFFIXES)})"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name; no code in the file is run.

    A state dict inside a checkpoint is unwrapped (``state_dict``, ``model`` and their like), its
    moving average (``state_dict_ema``, ``model_ema``, ``ema``) first where there is one; prefixes
    that all names share, as wrapping in `DataParallel` leaves them, are taken off.

    Args:
        path: A safetensors file, or one written by `torch.save`.

    Raises:
        NetworkError: If the file cannot be read safely, or holds no tensors.
    """
    content = _read_safetensors(path) if path.suffix.lower() == SAFETENSORS else _read_torch(path)
    state = {key: value for key, value in _unwrap(content).items() if isinstance(value, Tensor)}
    if not state:
        raise NetworkError(
            f"{path.name} holds no named tensors: expected a state dict, as "
            "torch.save(network.state_dict(), …) or safetensors write it"
        )
    return _without_prefixes(state)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise NetworkError(f"{path.name} is not a readable safetensors file: {error}") from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    # timm's training script keeps its arguments beside the weights, as a Namespace: plain data.
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if "Unsupported global" in str(error):
            raise NetworkError(
                f"{path.name} is not a plain state dict: to read it, Python objects in it would "
                "have to be trusted to run code. Where you trust it, load it yourself and save "
                "network.state_dict() as safetensors"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetworkError(
            f"{path.name} is not a readable PyTorch file ({reason}): expected safetensors or a "
            "state dict written by torch.save"
        ) from error
    if not isinstance(content, Mapping):
        raise NetworkError(
            f"{path.name} holds a {type(content).__name__}, expected a state dict (names → tensors)"
        )
    return content


def _unwrap(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The innermost state dict of a checkpoint."""
    for key in _WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and inner:
            return _unwrap(inner)
    return content


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with the known prefixes that all its names share taken off."""
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            return _without_prefixes({key[len(prefix) :]: state[key] for key in state})
    return state
