"""The settings of one Keras layer, read with types; none is passed over in silence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import NetworkError
from headstart.networks.keras_modules import Pair

# Settings that say how a layer was made, trained or named, not what it computes; `use_bias` shows
# in the arrays that the layer has.
_HARMLESS = {
    "name",
    "trainable",
    "use_bias",
    "dtype",
    "seed",
    "noise_shape",
    "batch_input_shape",
    "batch_shape",
    "input_dtype",
    "sparse",
    "ragged",
    "optional",
    "fused",
    "synchronized",
    "renorm_momentum",
    "lora_rank",
    "lora_alpha",
}
_HARMLESS_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_LARGEST = 65_536  # no kernel, stride, padding or picture edge is longer


class LayerOptions:
    """The settings of one layer.

    Attributes:
        kind: The Keras class, for example ``"Conv2D"``.
        name: The layer's name in the file.
        keras: The major version of Keras that wrote the file, 2 or 3.
    """

    def __init__(self, kind: str, name: str, config: Mapping[str, Any], keras: int) -> None:
        self.kind = kind
        self.name = name
        self.keras = keras
        self._config = config
        self._read: set[str] = set()

    def refusal(self, reason: str) -> NetworkError:
        """The error to raise when the layer cannot be used, and why."""
        return NetworkError(f"layer {self.name!r} ({self.kind}): {reason}")

    def raw(self, key: str, default: Any = None) -> Any:
        """A setting as it stands in the file."""
        self._read.add(key)
        return self._config.get(key, default)

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number from 1 to 65,536."""
        return self._whole(key, self.raw(key, default), least=1)

    def number(self, key: str, default: float) -> float:
        """A finite number; a missing or null one is the default."""
        return self.as_number(key, _scalar(self.raw(key, default), default))

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise self.refusal(f"{key} must be true or false, found {value!r}")
        return value

    def choice(self, key: str, default: str, allowed: Sequence[str]) -> str:
        """One of a few words."""
        value = self.raw(key, default)
        if value not in allowed:
            raise self.refusal(f"{key} must be one of {', '.join(allowed)}, found {value!r}")
        return str(value)

    def pair(self, key: str, default: Any = None, least: int = 1) -> Pair:
        """One whole number for both axes, or (height, width)."""
        value = self.raw(key, default)
        both = value if isinstance(value, list | tuple) else [value, value]
        if len(both) != 2:
            raise self.refusal(f"{key} must be one or two whole numbers, found {value!r}")
        first, second = (self._whole(key, one, least) for one in both)
        return first, second

    def channels_last(self) -> None:
        """Refuse a layer whose channels come first."""
        if self.raw("data_format", "channels_last") not in ("channels_last", None):
            raise self.refusal(
                "data_format is 'channels_first', and only 'channels_last' is read: build the"
                " model with channels_last, copy the weights into it, and save it again"
            )

    def pass_over(self) -> None:
        """Count every setting as read: the layer has no effect, whatever they say."""
        self._read.update(self._config)

    def finish(self) -> None:
        """Refuse settings that nobody read and that may change what the layer computes."""
        unknown = [
            f"{key}={value!r}"
            for key, value in self._config.items()
            if key not in self._read | _HARMLESS
            and not key.endswith(_HARMLESS_ENDINGS)
            and value not in (None, False, 0, [], {})
        ]
        if unknown:
            raise self.refusal(
                f"the setting {', '.join(unknown)} is not known here, so its output could differ:"
                " save the model without it"
            )

    def as_number(self, key: str, value: Any) -> float:
        """A value as a finite number, or the refusal."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise self.refusal(f"{key} must be a finite number, found {value!r}")
        return float(value)

    def _whole(self, key: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            raise self.refusal(
                f"{key} must be a whole number from {least} to {_LARGEST:,}, found {value!r}"
            )
        return value


def plain_numbers(value: Any) -> Any:
    """The list or number inside Keras' own wrapping of arrays; anything else as it is."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        inner = value.get("config")
        return inner.get("value") if isinstance(inner, Mapping) else None
    return value


def _scalar(value: Any, default: float) -> Any:
    """Keras 3 writes some numbers as arrays of no axis; a null stands for the default."""
    value = plain_numbers(value)
    return default if value is None else value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False
