"""Bundles: the delivered model as a folder, written whole or not at all, read without trust."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.data.scaling import Scaling
from headstart.data.transforms import Preprocessing
from headstart.delivery.blueprints import Blueprint
from headstart.delivery.config import (
    CARD,
    CLASSES,
    CONFIG,
    HASHED,
    SPLITS,
    WEIGHTS,
    BundleConfig,
    GroupFacts,
    SourceFacts,
    read_config,
    sealed_text,
)
from headstart.delivery.pipeline import Pipeline
from headstart.errors import NetworkError, RecordsError
from headstart.networks.groups import Network
from headstart.networks.weights import file_sha256
from headstart.seeding import generator
from headstart.study.folder import unused_name
from headstart.training.evaluate import evaluating

_PACKAGES = ("headstart", "torch", "timm", "numpy", "pillow")
_PROBE_TOLERANCE = 1e-3
_SHIFT, _DIVISOR = "scaling.shift", "scaling.divisor"


@dataclass(frozen=True)
class Bundle:
    """A network and all that belongs to it.

    Attributes:
        network: In evaluation mode, on the CPU.
        blueprint: How to build it again.
        preprocessing: How a picture becomes pixels.
        scaling: What happens to the pixels' numbers.
        class_names: In label order.
        source: Where the weights came from before they were adapted.
        training: How they were adapted, as plain data that JSON can hold.
        splits: Which picture was in which split, as CSV.
    """

    network: Network
    blueprint: Blueprint
    preprocessing: Preprocessing
    scaling: Scaling
    class_names: tuple[str, ...]
    source: SourceFacts
    training: Mapping[str, Any]
    splits: str

    def pipeline(self) -> Pipeline:
        """Pixels → class probabilities, as one module in evaluation mode."""
        return Pipeline(self.network, self.scaling)


def write_bundle(bundle: Bundle, folder: Path, card: str) -> Path:
    """Write a bundle's folder, whole or not at all, and read it back.

    A bundle that is there already is kept under another name.

    Args:
        bundle: What to write; the network may be on any device.
        folder: Where to.
        card: The model card, in Markdown.

    Returns:
        The folder.

    Raises:
        NetworkError: If the network cannot be built again from the blueprint, or answers
            otherwise then.
        RecordsError: If the folder cannot be written, or holds something else.
    """
    folder = folder.absolute()
    check_place(folder)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _write_files(bundle, draft, card)
        read_bundle(draft)
        if folder.exists() and any(folder.iterdir()):
            folder.rename(unused_name(folder))
        draft.replace(folder)
    except (OSError, SafetensorError) as error:
        raise RecordsError(
            f"the bundle {folder} cannot be written ({error}): make room on the disk, or give "
            "another --output"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def check_place(folder: Path) -> None:
    """Refuse a place for a bundle where something else lies, before anything is computed.

    Raises:
        RecordsError: If the folder is a file, or holds something that is no bundle.
    """
    if folder.exists() and not folder.is_dir():
        raise RecordsError(f"{folder} is a file: give another --output for the bundle's folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise RecordsError(
            f"{folder} is not empty and holds no bundle ({CONFIG}), so it is left alone: give "
            "another --output"
        )


def read_bundle(folder: Path) -> tuple[Bundle, BundleConfig]:
    """Read a bundle; no code in it is run, and nothing is unpickled.

    Raises:
        NetworkError: If it is missing, damaged, changed, written by a later version, or if the
            packages installed here compute something else from it.
    """
    config = read_config(folder)
    _check_hashes(folder, config)
    state = _read_tensors(folder / WEIGHTS)
    scaling = _scaling(state, config)
    network = config.network.build(len(config.classes))
    if network.groups != config.layer_groups:
        raise NetworkError(
            f"{folder}: the network that is built here has other layer groups than the bundle's "
            f"({_versions(config)})"
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise NetworkError(
            f"{folder}: the weights are not those of the network that {CONFIG} describes "
            f"({_versions(config)}): {error}"
        ) from error
    network.pretrained = True
    bundle = Bundle(
        network.eval(),
        config.network,
        config.pixels,
        scaling,
        config.classes,
        config.source,
        config.training,
        (folder / SPLITS).read_text(encoding="utf-8"),
    )
    answer = probe(bundle)
    expected = np.array(config.probe)
    if answer.shape != expected.shape or np.abs(answer - expected).max() > _PROBE_TOLERANCE:
        raise NetworkError(
            f"{folder}: the network answers otherwise here than where it was made: "
            f"{_versions(config)}. Install the versions it was made with"
        )
    return bundle, config


def probe(bundle: Bundle) -> NDArray[np.float32]:
    """The class probabilities of one fixed picture of noise, shape (classes,)."""
    shape = bundle.preprocessing
    size = (1, shape.height, shape.width, shape.channels)
    pixels = generator(0, "probe").integers(0, 256, size, dtype=np.uint8)
    with evaluating(bundle.network):
        answer: NDArray[np.float32] = bundle.pipeline()(torch.from_numpy(pixels)).numpy()[0]
    return answer


def versions() -> dict[str, str]:
    """The versions of what makes a bundle, by package; only what is installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _write_files(bundle: Bundle, folder: Path, card: str) -> None:
    network = bundle.network.cpu().eval()
    # Tensors that share memory would be refused, and channels-last ones would lose their order.
    state = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    state[_SHIFT] = torch.from_numpy(bundle.scaling.shift)
    state[_DIVISOR] = torch.from_numpy(bundle.scaling.divisor)
    weights = folder / WEIGHTS
    weights.touch()
    mode = weights.stat().st_mode
    save_file(state, weights)
    weights.chmod(mode)  # safetensors lets nobody else read what it writes
    (folder / CLASSES).write_text("".join(f"{_line(name)}\n" for name in bundle.class_names),
                                  encoding="utf-8")  # fmt: skip
    (folder / SPLITS).write_text(bundle.splits, encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    config = BundleConfig(
        made_with=versions(),
        network=bundle.blueprint,
        groups=tuple(GroupFacts(name=g.name, modules=g.modules) for g in network.groups),
        preprocessing=_preprocessing(bundle),
        classes=bundle.class_names,
        source=bundle.source,
        training=dict(bundle.training),
        probe=tuple(probe(bundle).tolist()),
        files={name: file_sha256(folder / name) for name in HASHED},
    )
    (folder / CONFIG).write_text(sealed_text(config), encoding="utf-8")


def _preprocessing(bundle: Bundle) -> dict[str, Any]:
    """How a picture is prepared; mean and standard deviation where they are one a channel."""
    scaling = {"mean": bundle.scaling.shift, "std": bundle.scaling.divisor}
    shape = (bundle.preprocessing.channels,)
    by_channel = {
        name: np.broadcast_to(values[0, 0].astype(np.float64) / 255, shape).round(7).tolist()
        for name, values in scaling.items()
        if values.shape[:2] == (1, 1)
    }
    pixels = bundle.preprocessing.pixel_part()
    return {**pixels, **by_channel} if len(by_channel) == 2 else pixels


def _line(name: str) -> str:
    """A class name on one line, whatever is in it."""
    return name.encode("unicode_escape").decode() if len(name.splitlines()) > 1 else name


def _check_hashes(folder: Path, config: BundleConfig) -> None:
    problems = []
    for name, expected in config.files.items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            problems.append(f"{folder / name} cannot be read: {error.strerror or error}")
            continue
        if found != expected:
            problems.append(
                f"{folder / name} is damaged or was changed: it does not have the hash that "
                f"{CONFIG} gives"
            )
    if problems:
        raise NetworkError(*problems, "restore the bundle from a copy, or make it again")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise NetworkError(f"{path} is not a readable safetensors file ({error})") from error


def _scaling(state: dict[str, Tensor], config: BundleConfig) -> Scaling:
    """Take the scaling out of the tensors."""
    pixels = config.pixels
    shape = (pixels.height, pixels.width, pixels.channels)
    shift, divisor = state.pop(_SHIFT, None), state.pop(_DIVISOR, None)
    for name, tensor in ((_SHIFT, shift), (_DIVISOR, divisor)):
        if (
            tensor is None
            or tensor.dtype != torch.float32
            or tensor.dim() != 3
            or any(own not in (1, full) for own, full in zip(tensor.shape, shape, strict=True))
            or not bool(torch.isfinite(tensor).all())
            or (name == _DIVISOR and not bool((tensor != 0).all()))
        ):
            raise NetworkError(f"{WEIGHTS} holds no usable {name} for pictures of shape {shape}")
    assert shift is not None
    assert divisor is not None
    return Scaling(shift.numpy(), divisor.numpy())


def _versions(config: BundleConfig) -> str:
    here = versions()
    other = [
        f"{name} {made} there, {here.get(name, 'none')} here"
        for name, made in config.made_with.items()
        if here.get(name) != made
    ]
    return ", ".join(other) or "all versions are the same"
