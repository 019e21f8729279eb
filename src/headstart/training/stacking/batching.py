"""Batches of trials that have not quite as many pictures as each other.

Splits that are drawn give one seed a picture more than another. Each batch therefore has room for
as many pictures as the largest one can have, whatever the trial and its stack; rows without a
picture count for nothing.
"""

from dataclasses import dataclass

from headstart.strategies.plan import Phase
from headstart.training.batches import batch_sizes
from headstart.training.stacking.room import padded


@dataclass(frozen=True)
class Batching:
    """How a trial's pictures are dealt out in an epoch.

    Attributes:
        rows: Room in each batch.
        sizes: Of the batches.
    """

    rows: int
    sizes: tuple[int, ...]

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return len(self.sizes)

    @classmethod
    def of(cls, phase: Phase, pictures: int, *, normed: bool) -> "Batching":
        """The batches of a phase.

        Args:
            phase: How large they are.
            pictures: How many a trial learns from.
            normed: Whether the network keeps statistics of batches, so that none may be of a
                single picture.
        """
        sizes = batch_sizes(pictures, phase.batch_size, lone_picture=not normed)
        return cls(min(phase.batch_size, padded(pictures)) + normed, tuple(sizes))
