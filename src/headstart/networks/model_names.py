"""What a model's name means: which of timm's networks, which weights of it, and their settings."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart.errors import NetworkError
from headstart.networks.torchvision_guard import import_timm

HUB_PREFIX = "hf-hub:"


@dataclass(frozen=True)
class Recipe:
    """What a model's name means to timm.

    Attributes:
        architecture: timm's name of the network, without a tag.
        tag: Which weights of it; empty when there is only one kind.
        config: Of the weights: picture size, crop, mean and the like, as timm names them.
        arguments: For building the network, where the weights' own description has any.
        repository: Where a hub keeps the weights, or None.
        address: From where the weights can be downloaded by hand, or None.
        is_hub_only: Whether this very repository was asked for.
    """

    architecture: str
    tag: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    repository: str | None = None
    address: str | None = None
    is_hub_only: bool = False

    @property
    def name(self) -> str:
        """The name with its tag."""
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture

    def with_arguments(self, arguments: Mapping[str, Any]) -> "Recipe":
        """The same with other arguments for building the network."""
        return replace(self, arguments=dict(arguments))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width that the weights were made for, in pixels."""
        height, width = self.config["input_size"][1:]
        return int(height), int(width)


def recipe_of(name: str) -> Recipe:
    """What a name such as ``resnet18`` or ``resnet18.a1_in1k`` means.

    Raises:
        NetworkError: If timm has no such network or no such weights of it; nearest names are told.
    """
    import_timm()
    from timm.models import (
        get_deprecated_models,
        get_pretrained_cfg,
        is_model,
        list_models,
        list_pretrained,
    )

    architecture, _, tag = name.partition(".")
    renamed = get_deprecated_models().get(architecture)
    if renamed:
        architecture, _, new_tag = renamed.partition(".")
        tag = tag or new_tag
    if not is_model(architecture) or (architecture in get_deprecated_models() and not renamed):
        raise NetworkError(_unknown(name, [*list_models(), *list_pretrained()]))
    try:
        config = get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)
    except RuntimeError:
        tags = list_pretrained(f"{architecture}.*")
        raise NetworkError(
            f"{architecture} has no weights with the tag {tag!r}: it has {', '.join(tags)}"
        ) from None
    if config is None:
        raise NetworkError(f"timm says nothing about the pictures that {name} takes")
    return Recipe(
        architecture,
        config.tag or "",
        dict(config.to_dict(remove_source=True)),  # type: ignore[no-untyped-call]
        repository=config.hf_hub_id,
        address=config.url if isinstance(config.url, str) else None,
    )


def recipe_in(folder: Path, name: str) -> Recipe:
    """What the ``config.json`` in a folder of timm's (or of a hub's cache) describes.

    Args:
        folder: Holds ``config.json``.
        name: What to call the folder in messages.

    Raises:
        NetworkError: If the file is not one of timm's.
    """
    import_timm()
    from timm.models import is_model
    from timm.models._hub import load_model_config_from_path

    try:
        config, architecture, arguments = load_model_config_from_path(folder)
        known = recipe_of(architecture).config if is_model(architecture) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(
            f"{name}: config.json does not describe a network of timm's ({error!r}): expected the "
            "file that timm writes beside its weights"
        ) from error
    if known is None:
        raise NetworkError(f"{name}: config.json names {architecture!r}, which timm does not know")
    kept = {key: value for key, value in config.items() if key not in ("file", "source")}
    return Recipe(architecture, str(config.get("tag") or ""), {**known, **kept}, arguments)


def _unknown(name: str, known: list[str]) -> str:
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(folded[each]) for each in close)}? " if close else ""
    return (
        f"timm has no network {name!r}: {hint}`headstart models PATTERN` lists what there is; a "
        f"repository of a hub is written {HUB_PREFIX}owner/name"
    )
