"""A bundle's ``config.json``: what it says, and the seal that shows whether it was changed.

The seal and the hashes tell damage and tampering by accident or by hand. They do not prove who made
a bundle: whoever can write the folder can write new hashes, too. Nothing is executed either way.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from headstart.data.transforms import Preprocessing
from headstart.delivery.blueprints import Blueprint
from headstart.errors import DataError, NetworkError
from headstart.networks.groups import LayerGroup
from headstart.networks.weights import Source
from headstart.settings import Settings, describe_problems

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CLASSES = "classes.txt"
SPLITS = "splits.csv"
CARD = "README.md"
HASHED = (WEIGHTS, CLASSES, SPLITS)
"""The files whose hashes stand in the config; the card may be added to by its owner."""

FORMAT: Literal[1] = 1
_LARGEST_BYTES = 64 * 2**20
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class GroupFacts(Settings):
    """A layer group, as in `LayerGroup`."""

    name: str
    modules: tuple[str, ...]


class SourceFacts(Settings):
    """Where the weights came from, as in `Source`."""

    kind: Literal["random", "file", "cache", "hub", "package", "trained"]
    model: str
    where: str
    sha256: str = ""
    licence: str | None = None
    url: str | None = None

    @classmethod
    def of(cls, source: Source) -> Self:
        """The facts of a loaded source."""
        return cls(**vars(source))


class BundleConfig(Settings):
    """What stands in ``config.json``, but for the seal.

    Attributes:
        format: Version of this description.
        made_with: Versions of what made the bundle, by package.
        network: How to build the network.
        groups: Its layer groups, stem first.
        preprocessing: How a picture becomes pixels, as `Preprocessing.to_dict` gives it. What is
            computed with stands beside the weights, ``scaling.shift`` and ``scaling.divisor`` in
            units of 0–255; mean and standard deviation are told here where they are one a channel.
        classes: In label order.
        source: Where the weights came from before they were adapted.
        training: How they were adapted, as plain data: strategy, seeds, data, metrics.
        probe: The class probabilities of one fixed picture (`headstart.delivery.bundle.probe`),
            to notice versions of other packages that compute something else.
        files: SHA-256 of the files of `HASHED`, in hex.
    """

    format: Literal[1] = FORMAT
    made_with: dict[str, str]
    network: Blueprint
    groups: tuple[GroupFacts, ...]
    preprocessing: dict[str, Any]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    source: SourceFacts
    training: dict[str, Any]
    probe: tuple[float, ...]
    files: dict[str, Sha256]

    @field_validator("preprocessing")
    @classmethod
    def _is_preprocessing(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            Preprocessing.from_dict(value)
        except DataError as error:
            raise ValueError("; ".join(error.problems)) from error
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes are named twice")
        if set(self.files) != set(HASHED):
            raise ValueError(f"files must give the hashes of {', '.join(HASHED)}")
        return self

    @property
    def layer_groups(self) -> tuple[LayerGroup, ...]:
        """The layer groups as a network has them."""
        return tuple(LayerGroup(group.name, group.modules) for group in self.groups)

    @property
    def pixels(self) -> Preprocessing:
        """The preprocessing."""
        return Preprocessing.from_dict(self.preprocessing)


def sealed_text(config: BundleConfig) -> str:
    """The text of ``config.json``."""
    values = config.model_dump(mode="json")
    return json.dumps({**values, "seal": _seal(values)}, indent=2, ensure_ascii=False) + "\n"


def read_config(folder: Path) -> BundleConfig:
    """The ``config.json`` of a bundle.

    Raises:
        NetworkError: If it is missing, damaged, changed, or of another format.
    """
    path = folder / CONFIG
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise NetworkError(f"{path} is too large to be a bundle's")
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NetworkError(_no_bundle(folder)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise NetworkError(
            f"{path} cannot be read ({error}): restore the bundle from a copy, or make it again"
        ) from error
    if not isinstance(values, dict) or "seal" not in values or "format" not in values:
        raise NetworkError(f"{path} was not written by headstart: {_expected()}")
    if values["format"] != FORMAT:
        raise NetworkError(
            f"{path} has format {values['format']!r}, and this version of headstart reads format "
            f"{FORMAT}: use the version that wrote it, or a later one"
        )
    seal = values.pop("seal")
    if _seal(values) != seal:
        raise NetworkError(
            f"{path} was changed after it was written (its seal does not fit): restore the bundle "
            "from a copy, or make it again"
        )
    try:
        return BundleConfig.model_validate(values)
    except ValidationError as error:
        problems = describe_problems(error, BundleConfig, where=str(path), values=values)
        raise NetworkError(*problems) from error


def _seal(values: dict[str, Any]) -> str:
    """SHA-256 of the values, however they are laid out in the file."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _no_bundle(folder: Path) -> str:
    if not folder.exists():
        return f"there is no bundle {folder}: {_expected()}"
    return f"{folder} holds no {CONFIG}, so it is no bundle: {_expected()}"


def _expected() -> str:
    return "expected a folder that `headstart fit` made"
