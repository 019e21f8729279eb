"""The keeper: lets trials enter a network behind what they leave as it is.

A phase that freezes a first part, and a prediction of a network whose first part was never trained,
need that part's features only. They are taken from the feature store; whoever needs them first
computes them, for all trials that will.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.data.scaling import Scaling
from headstart.engine.cuts import Cut, Cuts, Halves, find_cuts
from headstart.engine.extract import Extracting, extract
from headstart.engine.feature_store import Kept, Wanted, keep_features
from headstart.networks.groups import Network, weights_hash
from headstart.strategies.plan import Phase, Plan
from headstart.training.augmented import ChangedPictures, SomeViews
from headstart.training.batches import Batches, ChannelsLastInputs, Inputs, StoredInputs
from headstart.training.entry import Entry, at_the_pictures

Model = Callable[[Tensor], Tensor]
RowsWanted = Callable[[], NDArray[np.int64]]


@dataclass
class Keeper:
    """Finds and keeps what trials share of one image set and one making of network.

    Attributes:
        images: The pictures.
        cache: Where features are kept.
        tell: Told how far an extraction is.
        warnings: What a user should know, in sentences.
    """

    images: ImageSet
    cache: PictureCache = field(default_factory=PictureCache.usual)
    tell: Callable[[Extracting], None] | None = None
    warnings: dict[str, None] = field(default_factory=dict)
    _cuts: Cuts | None = None
    _held: dict[tuple[str, bytes], Kept] = field(default_factory=dict)

    def enter(self, rows: NDArray[np.int64]) -> "Doorway":
        """A doorway for trials that will need features of these rows of the image set.

        Args:
            rows: Row numbers, rising. More than a trial needs, where others will need them too.
        """
        return Doorway(self, rows)

    def cuts(self, network: Network) -> Cuts:
        """The cuts of a network; found once, as all networks here are of one making."""
        if self._cuts is None:
            self._cuts = find_cuts(network, self.images.picture_shape)
            if not self._cuts.traced:
                self.warnings[
                    f"the network could not be followed step by step ({self._cuts.reason}): "
                    "features are kept between body and head only"
                ] = None
        return self._cuts

    def features(
        self, halves: Halves, cut: Cut, pictures: Batches, rows: NDArray[np.int64]
    ) -> Kept:
        """The features of some rows of the image set at a cut, in their order."""
        made_by = _made_by(halves, pictures)
        wanted = Wanted(made_by, self.images.hashes[rows], _stored_shape(cut, pictures))
        held = self._held.get((made_by, rows.tobytes()))
        if held is None:
            held = keep_features(
                wanted,
                lambda numbers: extract(
                    halves.prefix,
                    pictures.of_rows(rows[numbers]),
                    self.tell,
                    channels_last=_is_channels_last(cut, pictures),
                ),
                self.cache,
            )
            self._held = {(made_by, rows.tobytes()): held}  # the last one only
            self._warn(held)
        return held

    def view_features(self, halves: Halves, cut: Cut, views: ChangedPictures) -> Kept:
        """The features at a cut of all views of a trial's training pictures, in their order."""
        wanted = Wanted(
            _made_by(halves, views.batches),
            views.hashes(self.images.hashes[views.batches.rows]),
            cut.shape,
        )
        kept = keep_features(
            wanted,
            lambda numbers: extract(halves.prefix, SomeViews(views, numbers), self.tell),
            self.cache,
        )
        self._warn(kept)
        return kept

    def _warn(self, kept: Kept) -> None:
        if kept.warning:
            self.warnings[kept.warning] = None


@dataclass(frozen=True)
class Doorway:
    """Where the trials of some rows enter.

    Attributes:
        keeper: Has the features.
        rows: The rows of the image set that features are kept of, rising.
    """

    keeper: Keeper
    rows: NDArray[np.int64]

    def enter(self, network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        """Where a phase enters (`headstart.training.entry.Enter`)."""
        cut = None if phase.augments else self.keeper.cuts(network).before(network, phase)
        if isinstance(train, ChangedPictures):
            if cut is None or not (self._has(train.batches) and self._has(valid)):
                return Entry(network, train, valid)
            model, (chosen_with,) = self._behind(network, cut, [valid])
            halves = self.keeper.cuts(network).split(network, cut)
            values = self.keeper.view_features(halves, cut, train).values
            views = StoredInputs(values, np.arange(len(train)), train.labels, train.device)
            return Entry(model, views, chosen_with)
        parts = [part for part in (train, valid) if self._has(part)]
        if cut is None or len(parts) < 2:
            return Entry(network, train, valid)
        model, inputs = self._behind(network, cut, parts)
        return Entry(model, *inputs)

    def behind(
        self, network: Network, plan: Plan, *parts: Inputs
    ) -> tuple[Model, tuple[Inputs, ...]]:
        """Where predictions of a network that followed a plan enter, and with what."""
        cut = None
        if plan.copies:
            cut = self.keeper.cuts(network).unchanged(network, plan.trained_groups())
        if cut is None or not all(self._has(part) for part in parts):
            return network, parts
        return self._behind(network, cut, parts)

    def _has(self, part: Inputs) -> bool:
        return (
            isinstance(part, Batches)
            and part.values is self.keeper.images.pictures
            and bool(np.isin(part.rows, self.rows).all())
        )

    def _behind(
        self, network: Network, cut: Cut, parts: "tuple[Inputs, ...] | list[Inputs]"
    ) -> tuple[Model, tuple[Inputs, ...]]:
        halves = self.keeper.cuts(network).split(network, cut)
        pictures = parts[0]
        assert isinstance(pictures, Batches)
        kept = self.keeper.features(halves, cut, pictures, self.rows)
        kind = ChannelsLastInputs if _is_channels_last(cut, pictures) else StoredInputs
        inputs = []
        for part in parts:
            assert isinstance(part, Batches)
            places = np.searchsorted(self.rows, part.rows)
            inputs.append(kind(kept.values, places, part.labels, part.device))
        return halves.suffix, tuple(inputs)


class _NoDoor:
    """No doorway: every trial does all of its work by itself."""

    def enter(self, network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        """At the pictures."""
        return at_the_pictures(network, phase, train, valid)

    def behind(
        self, network: Network, plan: Plan, *parts: Inputs
    ) -> tuple[Model, tuple[Inputs, ...]]:
        """At the pictures."""
        del plan
        return network, parts


NO_DOOR = _NoDoor()


def _made_by(halves: Halves, pictures: Batches) -> str:
    """What features depend on beside the pictures, as text."""
    return "\n".join(
        [
            weights_hash(halves.prefix.state_dict()),
            halves.code,
            _described(pictures.scaling),
            f"torch {torch.__version__} {pictures.device.type} float32",
        ]
    )


def _is_channels_last(cut: Cut, pictures: Batches) -> bool:
    """Whether what lies at a cut is a feature map with its channels last in memory."""
    return pictures.channels_last and len(cut.shape) == 3


def _stored_shape(cut: Cut, pictures: Batches) -> tuple[int, ...]:
    """The shape of one picture's features as they are kept."""
    return (*cut.shape[1:], cut.shape[0]) if _is_channels_last(cut, pictures) else cut.shape


def _described(scaling: Scaling) -> str:
    """A scaling's numbers as text, to the last bit."""
    return f"{scaling.shift.tobytes().hex()} {scaling.divisor.tobytes().hex()}"
