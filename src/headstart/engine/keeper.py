"""The keeper: lets trials enter a network behind what they leave as it is.

A phase that freezes a first part, and a prediction of a network whose first part was never trained,
need that part's features only. They are taken from the feature store; whoever needs them first
computes them, for all trials that will.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.data.scaling import Scaling
from headstart.data.sizes import size_words
from headstart.engine.costs import working_bytes
from headstart.engine.cuts import Cut, Cuts, Halves, find_cuts
from headstart.engine.extract import Extracting, Pictures, a_block, block_size, extract
from headstart.engine.fastest import PYTORCH, Compute, Way, fastest
from headstart.engine.feature_store import (
    Features,
    Fill,
    Kept,
    NoRoomError,
    Wanted,
    keep_features,
    kept_features,
)
from headstart.engine.measured import Measured, work_clock
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
        name: What to call the network, in words.
        disk: Bytes that one entry of features may take; None where only the cache's limit holds.
        memory: Bytes that may stay in this process's memory of features that are read.
        warned: What a user was told, once each.
        spent: Cut → seconds that making its features took, until somebody takes them out.
    """

    images: ImageSet
    cache: PictureCache = field(default_factory=PictureCache.usual)
    tell: Callable[[Extracting], None] | None = None
    name: str = "the network"
    disk: int | None = None
    memory: int | None = None
    warned: dict[str, None] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    _cuts: Cuts | None = None
    _held: dict[tuple[str, bytes], Kept] = field(default_factory=dict)
    _full: set[tuple[int, int]] = field(default_factory=set)
    _used: dict[Cut, None] = field(default_factory=dict)
    _ready: dict[str, Compute] = field(default_factory=dict)

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
                kept = "between body and head only" if self._cuts.cuts else "nowhere"
                self.warn(
                    f"the network could not be followed step by step ({self._cuts.reason}): "
                    f"features are kept {kept}"
                )
        return self._cuts

    def before(self, network: Network, phase: Phase, pictures: int) -> Cut | None:
        """The cut that a phase enters behind, where there is room for features at one."""
        return self._roomy(lambda most: self.cuts(network).before(network, phase, most), pictures)

    def unchanged(self, network: Network, trained: frozenset[str], pictures: int) -> Cut | None:
        """The cut that predictions enter behind, where there is room for features at one."""
        return self._roomy(
            lambda most: self.cuts(network).unchanged(network, trained, most), pictures
        )

    def _roomy(self, find: Callable[[float], Cut | None], pictures: int) -> Cut | None:
        most = math.inf if self.disk is None else self.disk / (4 * max(1, pictures))
        cut = find(most)
        if cut is None and most < math.inf and (wanted := find(math.inf)) is not None:
            size = size_words(4 * math.prod(wanted.shape) * pictures)
            self.warn(
                f"features of {pictures:,} pictures ({size} at {wanted.name}) are not kept: they "
                f"do not fit into {size_words(self.disk or 0)} of disk, their share of the limit; "
                "every look at a picture goes through the whole network"
            )
        return None if cut is None or (cut.position, pictures) in self._full else cut

    def features(
        self, network: Network, cut: Cut, pictures: Batches, rows: NDArray[np.int64]
    ) -> Kept:
        """The features of some rows of the image set at a cut, in their order.

        Raises:
            NoRoomError: If there is room for them nowhere.
        """
        clock = work_clock(torch.get_num_threads() if pictures.device.type == "cpu" else 0)
        started = clock()
        needed = self._needed(network, cut, pictures, rows)
        key = (needed.wanted.made_by, rows.tobytes())
        held = self._held.get(key)
        if held is None:

            def fill(numbers: NDArray[np.int64]) -> Iterator[Features]:
                return self._extracted(network, cut, pictures, rows, needed, numbers)

            held = self._kept(needed.wanted, fill)
            self._held = {key: held}  # the last one only
            if held.computed:
                spent = clock() - started
                self.spent[cut.name] = self.spent.get(cut.name, 0.0) + spent
        self._used[cut] = None
        return held

    def cost(
        self, network: Network, cut: Cut, pictures: Batches, rows: NDArray[np.int64]
    ) -> tuple[int, float]:
        """How many blocks the pass of some pictures up to a cut will take, and seconds of one.

        There are none if the features are there, or one step from others that are. The seconds
        are 0 where nothing was measured.
        """
        needed = self._needed(network, cut, pictures, rows)
        there = kept_features(needed.wanted, self.cache) is not None
        if there or self._nearer(network, cut, pictures, rows) is not None:
            return 0, 0.0
        return math.ceil(len(rows) / needed.block), needed.way.seconds

    def _needed(
        self, network: Network, cut: Cut, pictures: Batches, rows: NDArray[np.int64]
    ) -> "_Needed":
        """What features of some rows are found by, and how they would be made."""
        halves = self.cuts(network).split(network, cut)
        block = self.block
        count = len(self.images) if len(rows) else 0  # so that the way is the same for all rows
        way, made_by = self._way(halves, pictures, lambda: pictures.of_rows(rows), count, block)
        shape = stored_shape(cut, pictures)
        wanted = Wanted(made_by, self.images.hashes_of(rows), shape, self._about(cut, way))
        return _Needed(wanted, halves, way, block)

    def _extracted(
        self,
        network: Network,
        cut: Cut,
        pictures: Batches,
        rows: NDArray[np.int64],
        needed: "_Needed",
        numbers: NDArray[np.int64],
    ) -> Iterator[Features]:
        """The features of some of the rows, from a nearer cut where its features are there."""
        nearer = self._nearer(network, cut, pictures, rows)
        channels_last = is_channels_last(cut, pictures)
        if nearer is None:
            return extract(
                needed.halves.prefix,
                pictures.of_rows(rows[numbers]),
                self.tell,
                channels_last=channels_last,
                way=needed.way,
                block=needed.block,
                most=self._blocks_in_memory(needed.halves.prefix, needed.block),
            )
        first, values = nearer
        kind = ChannelsLastInputs if is_channels_last(first, pictures) else StoredInputs
        return extract(
            self.cuts(network).between(network, first, cut),
            kind(values, numbers, None, pictures.device),
            channels_last=channels_last,
            block=needed.block,
        )

    def _blocks_in_memory(self, prefix: nn.Module, block: int) -> int | None:
        """How many blocks may be on their way at a time; None where memory has no limit."""
        if self.memory is None:
            return None
        each = block * working_bytes(prefix, self.images.picture_shape)
        return max(1, self.memory // max(1, each))

    def _nearer(
        self, network: Network, cut: Cut, pictures: Batches, rows: NDArray[np.int64]
    ) -> tuple[Cut, Features] | None:
        """The best cut before another one that has features of the same pictures."""
        before = [each for each in self._used if 0 <= each.position < cut.position]
        for first in sorted(before, key=lambda each: each.saving, reverse=True):
            wanted = self._needed(network, first, pictures, rows).wanted
            values = kept_features(wanted, self.cache, self.memory)
            if values is not None:
                return first, values
        return None

    def view_features(self, halves: Halves, cut: Cut, views: ChangedPictures) -> Kept:
        """The features at a cut of all views of a trial's training pictures, in their order.

        Raises:
            NoRoomError: If there is room for them nowhere.
        """
        block, count = self.block, len(views)
        way, made_by = self._way(
            halves, views.batches, lambda: SomeViews(views, np.arange(count)), count, block
        )
        hashes = views.hashes(self.images.hashes_of(views.batches.rows))
        return self._kept(
            Wanted(made_by, hashes, cut.shape, f"views, {self._about(cut, way)}"),
            lambda numbers: extract(
                halves.prefix,
                SomeViews(views, numbers),
                self.tell,
                way=way,
                block=block,
                most=self._blocks_in_memory(halves.prefix, block),
            ),
        )

    @property
    def block(self) -> int:
        """How many pictures go through at once.

        It shapes the last bits, so it does not follow from the memory that is left: looking at the
        pictures while training takes larger batches through more of the network.
        """
        return block_size(self.images.picture_shape)

    def _way(
        self,
        halves: Halves,
        pictures: Batches,
        shown: Callable[[], Pictures],
        count: int,
        block: int,
    ) -> tuple[Way, str]:
        """The way that pictures take through a prefix, and what features then depend on."""
        way, made_by = PYTORCH, f"{_made_by(halves, pictures)}\nblocks of {block}"
        if pictures.device.type == "cpu" and count:
            way = fastest(
                halves.prefix,
                f"{made_by}\n{self.images.picture_shape}",
                lambda: a_block(shown(), 0, block),
                math.ceil(count / block),
                Measured.of(self.cache),
                f"{halves.code}\n{self.images.picture_shape}\n{pictures.channels_last}\n{block}",
            )
            if way.ready is not None:
                self._ready = {made_by: way.ready}  # the last one only
            way = replace(way, ready=self._ready.get(made_by))
        return way, f"{made_by}\n{way} {pictures.device.type} float32"

    def _kept(self, wanted: Wanted, fill: Fill) -> Kept:
        kept = keep_features(wanted, fill, self.cache, self.memory)
        for text in kept.warnings:
            self.warn(text)
        return kept

    def _about(self, cut: Cut, way: Way) -> str:
        shape = " × ".join(map(str, cut.shape))
        return f"{self.images.name}, {self.name} up to {cut.name} ({shape}), by {way}"

    def no_room(self, cut: Cut, pictures: int, error: NoRoomError) -> None:
        """Note that there is no room for features at a cut, so that nobody tries again."""
        self._full.add((cut.position, pictures))
        self.warn(f"{error}. Until then every look at a picture goes through the whole network")

    def warn(self, text: str) -> None:
        """Tell the user something, once."""
        if text not in self.warned:
            self.warned[text] = None
            warnings.warn(text, stacklevel=2)


@dataclass(frozen=True)
class _Needed:
    """What features are found by, and how they are made: of which prefix, by what, in blocks."""

    wanted: Wanted
    halves: Halves
    way: Way
    block: int


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
        at_pictures = Entry(network, train, valid)
        if phase.augments:
            return at_pictures
        views = train if isinstance(train, ChangedPictures) else None
        pictures = max(len(self.rows), 0 if views is None else len(views))
        cut = self.keeper.before(network, phase, pictures)
        if cut is None:
            return at_pictures
        try:
            if views is not None:
                return self._with_views(network, cut, views, valid) or at_pictures
            parts = [part for part in (train, valid) if self._has(part)]
            if len(parts) < 2:
                return at_pictures
            model, inputs = self._behind(network, cut, parts)
        except NoRoomError as error:
            self.keeper.no_room(cut, pictures, error)
            return at_pictures
        return Entry(model, *inputs)

    def _with_views(
        self, network: Network, cut: Cut, train: ChangedPictures, valid: Inputs
    ) -> Entry | None:
        """Behind a cut, with all views of the training pictures."""
        if not (self._has(train.batches) and self._has(valid)):
            return None
        model, (chosen_with,) = self._behind(network, cut, [valid])
        halves = self.keeper.cuts(network).split(network, cut)
        values = self.keeper.view_features(halves, cut, train).values
        views = StoredInputs(values, np.arange(len(train)), train.labels, train.device)
        return Entry(model, views, chosen_with)

    def behind(
        self, network: Network, plan: Plan, *parts: Inputs
    ) -> tuple[Model, tuple[Inputs, ...]]:
        """Where predictions of a network that followed a plan enter, and with what."""
        if not plan.copies or not all(self._has(part) for part in parts):
            return network, parts
        cut = self.keeper.unchanged(network, plan.trained_groups(), len(self.rows))
        if cut is None:
            return network, parts
        try:
            return self._behind(network, cut, parts)
        except NoRoomError as error:
            self.keeper.no_room(cut, len(self.rows), error)
            return network, parts

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
        kept = self.keeper.features(network, cut, pictures, self.rows)
        kind = ChannelsLastInputs if is_channels_last(cut, pictures) else StoredInputs
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
        ]
    )


def is_channels_last(cut: Cut, pictures: Batches) -> bool:
    """Whether what lies at a cut is a feature map with its channels last in memory."""
    return pictures.channels_last and len(cut.shape) == 3


def stored_shape(cut: Cut, pictures: Batches) -> tuple[int, ...]:
    """The shape of one picture's features as they are kept."""
    return (*cut.shape[1:], cut.shape[0]) if is_channels_last(cut, pictures) else cut.shape


def _described(scaling: Scaling) -> str:
    """A scaling's numbers as text, to the last bit."""
    return f"{scaling.shift.tobytes().hex()} {scaling.divisor.tobytes().hex()}"
