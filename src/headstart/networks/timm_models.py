"""timm's networks: an empty one, and one filled with a file's weights."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from headstart.errors import NetworkError
from headstart.networks.checkpoint_fit import explain_misfit
from headstart.networks.compiler import without_compiler
from headstart.networks.model_names import Recipe
from headstart.networks.torchvision_guard import import_timm

# What building and filling a network raises on a size or on weights that it cannot take.
REFUSALS = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError,
    ArithmeticError, UserWarning,
)  # fmt: skip
_DRAWS = (Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_)


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
            model = _filled(recipe, config, state, options, constant=0.0)
        except REFUSALS as error:
            failure = failure or error
            continue
        own = model.state_dict()
        if own.keys() - state.keys():
            _check_all_filled(own, _filled(recipe, config, state, options, constant=0.5), file_name)
        return model
    own = own_tensors(recipe, _possible_classes(recipe, state)[0])
    expected = {key: tuple(value.shape) for key, value in own.items()}
    if expected == {key: tuple(value.shape) for key, value in state.items()}:
        raise NetworkError(
            f"the weights of {recipe.name} cannot be adapted from {_pictures(recipe.picture_size)} "
            f"to {_pictures(picture_size)} with {channels} channel(s): {failure}"
        ) from failure
    raise NetworkError(*explain_misfit(recipe.name, expected, state, file_name)) from failure


def _filled(
    recipe: Recipe,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    options: Mapping[str, Any],
    constant: float,
) -> nn.Module:
    with _drawing_from(0), _ConstantDraws(constant):
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
    networks with different initial weights leave different was not in the file.
    """
    left = [key for key, value in again.state_dict().items() if not torch.equal(value, own[key])]
    if left:
        more = f" and {len(left) - 10} more" if len(left) > 10 else ""
        raise NetworkError(f"{file_name} lacks {', '.join(left[:10])}{more}")


class _ConstantDraws(TorchFunctionMode):
    """Initial weights that are about to be overwritten: a constant in place of random numbers.

    Drawing 138 million of them for a VGG16 takes longer than reading its file.
    """

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = constant

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func in _DRAWS:
            return init.constant_(args[0] if args else options["tensor"], self.constant)
        return func(*args, **options)


@contextmanager
def _construction(recipe: Recipe, picture_size: tuple[int, int]) -> Iterator[None]:
    """Tell why a network cannot be built, in the user's terms."""
    try:
        with warnings.catch_warnings():
            # A picture smaller than a patch: the network would have no numbers to put out.
            warnings.filterwarnings("error", message="Initializing zero-element tensors")
            yield
    except REFUSALS as error:
        raise NetworkError(
            f"{recipe.architecture} cannot be built for {_pictures(picture_size)} ({error}); its "
            f"weights were made for {_pictures(recipe.picture_size)}"
        ) from error


def _pictures(size: tuple[int, int]) -> str:
    return f"pictures of {size[0]} × {size[1]}"


@contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Draw initial weights from a seed, leaving the process's own generator as it was.

    Without a seed nothing is drawn: tensors have shapes only.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            with torch.device("meta"), without_compiler():
                yield
        else:
            torch.default_generator.manual_seed(seed)
            yield
