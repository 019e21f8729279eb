"""timm's networks: what a name means, an empty one, and one filled with a file's weights."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import NetworkError
from headstart.networks.checkpoint_fit import explain_misfit
from headstart.networks.torchvision_guard import import_timm

HUB_PREFIX = "hf-hub:"
# What building and filling a network raises on a size or on weights that it cannot take.
REFUSALS = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError,
)  # fmt: skip


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


def empty_model(
    recipe: Recipe,
    *,
    channels: int,
    picture_size: tuple[int, int],
    classes: int | None = None,
    seed: int | None = None,
) -> nn.Module:
    """A network of timm's with its classifier, not filled with any weights.

    Args:
        recipe: Which.
        channels: Of its pictures.
        picture_size: Height and width of its pictures, in pixels.
        classes: Of its classifier; 0 for none; as the recipe says when omitted.
        seed: Draws the weights; without one the network has shapes only (device ``meta``).

    Raises:
        NetworkError: If the network cannot be built for this size or these channels.
    """
    state = None if classes is None else {"num_classes": classes}
    options = _options(recipe, channels, picture_size)
    with _construction(recipe, picture_size), _drawing_from(seed):
        return _create(recipe, {**recipe.config, **(state or {})}, options, pretrained=False)


def own_tensors(recipe: Recipe, classes: int | None = None) -> dict[str, Tensor]:
    """The tensors that a weights file of a network has, in order, as shapes only.

    Args:
        recipe: Which network; the pictures are those that its weights were made for.
        classes: Of its classifier; as the recipe says when omitted.
    """
    model = empty_model(
        recipe,
        channels=int(recipe.config["input_size"][0]),
        picture_size=recipe.picture_size,
        classes=classes,
    )
    return dict(model.state_dict())


def filled_model(
    recipe: Recipe,
    state: Mapping[str, Tensor],
    *,
    channels: int,
    picture_size: tuple[int, int],
    file_name: str,
) -> nn.Module:
    """A network of timm's with its classifier, filled with a file's tensors.

    timm adapts what it knows how to: names of the original authors' files, position embeddings for
    another picture size, a first convolution for another number of channels. The classifier gets as
    many classes as the file's has, or none where the file has none.

    Args:
        recipe: Which network.
        state: The file's tensors by name.
        channels: Of its pictures.
        picture_size: Height and width of its pictures, in pixels.
        file_name: What to call the file in messages.

    Raises:
        NetworkError: If the tensors are not this network's, with what is missing, left over or of
            another shape.
    """
    options = _options(recipe, channels, picture_size)
    failure: Exception | None = None
    for classes in _possible_classes(recipe, state):
        config = {**recipe.config, "num_classes": classes}
        try:
            model = _filled(recipe, config, state, options, seed=0)
        except REFUSALS as error:
            failure = failure or error
            continue
        own = model.state_dict()
        if own.keys() - state.keys():
            _check_all_filled(own, _filled(recipe, config, state, options, seed=1), file_name)
        return model
    own = own_tensors(recipe, _possible_classes(recipe, state)[0])
    expected = {key: tuple(value.shape) for key, value in own.items()}
    raise NetworkError(*explain_misfit(recipe.name, expected, state, file_name)) from failure


def _filled(
    recipe: Recipe,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    options: Mapping[str, Any],
    seed: int,
) -> nn.Module:
    with _drawing_from(seed):
        model = _create(recipe, {**config, "state_dict": dict(state)}, options, pretrained=True)
    model.pretrained_cfg.pop("state_dict", None)  # type: ignore[union-attr, operator]
    return model


def _create(
    recipe: Recipe, config: Mapping[str, Any], options: Mapping[str, Any], *, pretrained: bool
) -> nn.Module:
    model: nn.Module = import_timm().create_model(
        recipe.architecture, pretrained=pretrained, pretrained_cfg=dict(config), **options
    )
    return model


def _options(recipe: Recipe, channels: int, picture_size: tuple[int, int]) -> dict[str, Any]:
    """What timm is to build the network with.

    Only networks that are made for one size take the size as an argument; the others take pictures
    as they come.
    """
    options = {key: value for key, value in recipe.arguments.items() if key != "num_classes"}
    if options:
        options["pretrained_model_args"] = dict(recipe.arguments)
    if picture_size != recipe.picture_size and recipe.config.get("fixed_input_size"):
        options["img_size"] = picture_size
    return {**options, "in_chans": channels}


def _possible_classes(recipe: Recipe, state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """How many classes the file's classifier may have, the likeliest first; 0 for no classifier.

    A file with the names of other authors does not show which tensor is the classifier.
    """
    stated = int(recipe.config.get("num_classes") or 0)
    names = recipe.config.get("classifier") or ()
    for name in (names,) if isinstance(names, str) else names:
        if f"{name}.weight" in state:
            return (state[f"{name}.weight"].shape[0],)
    return (stated, 0) if stated else (0,)


def _check_all_filled(own: Mapping[str, Tensor], again: nn.Module, file_name: str) -> None:
    """Refuse a network of which the file filled only a part.

    Some of timm's networks are filled without complaint whatever is missing. What two fillings of
    differently drawn networks leave different was not in the file.
    """
    left = [key for key, value in again.state_dict().items() if not torch.equal(value, own[key])]
    if left:
        more = f" and {len(left) - 10} more" if len(left) > 10 else ""
        raise NetworkError(f"{file_name} lacks {', '.join(left[:10])}{more}")


@contextmanager
def _construction(recipe: Recipe, picture_size: tuple[int, int]) -> Iterator[None]:
    """Tell why a network cannot be built, in the user's terms."""
    try:
        yield
    except REFUSALS as error:
        height, width = picture_size
        raise NetworkError(
            f"{recipe.architecture} cannot be built for pictures of {height} × {width} ({error}); "
            f"its weights were made for {recipe.picture_size[0]} × {recipe.picture_size[1]}"
        ) from error


@contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Draw initial weights from a seed, leaving the process's own generator as it was."""
    if seed is None:
        with torch.device("meta"):
            yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _unknown(name: str, known: list[str]) -> str:
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(folded[each]) for each in close)}? " if close else ""
    return (
        f"timm has no network {name!r}: {hint}`headstart models PATTERN` lists what there is; a "
        f"repository of a hub is written {HUB_PREFIX}owner/name"
    )
