"""Looking at the data as seeds come in, with no last seed declared: e-values, look by look.

A design with a declared maximum (`headstart.statistics.sequential`) decides with fewer seeds. This
one is for who cannot say beforehand how many there will be. A claim needs an e-value of 1/α
(`headstart.statistics.always_valid`), which two equal strategies ever reach with a chance of at
most α, however often one looks and whenever one stops. So one may also stop for any other reason:
because both are shown to be equivalent, or because going on has become pointless.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from headstart.errors import StudyError
from headstart.statistics.always_valid import Evidence, e_reach, evidence
from headstart.statistics.paired import Verdict
from headstart.statistics.scores import checked_pair, merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.special import ndtr
from headstart.statistics.variance import VarianceSplit, estimate_mean, variance_split

Stop = Literal["better", "worse", "equivalent", "futile"]

HORIZON = 200
"""Going on is pointless when not even so many seeds (or twice those at hand) would decide."""


@dataclass(frozen=True)
class OpenDesign:
    """What was declared before the first seed.

    Attributes:
        alpha: Two-sided chance that a false claim is ever made.
        margin: Differences up to this do not matter, as a fraction.
        futility: Stop when the chance to decide within the horizon falls below this.
    """

    alpha: float = 0.05
    margin: float = 0.005
    futility: float = 0.1

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.alpha <= 0.25:
            problems.append(f"alpha must be above 0 and at most 0.25, not {self.alpha}")
        if not self.margin >= 0:
            problems.append(f"margin must be 0 or more, as a fraction, not {self.margin}")
        if not 0 <= self.futility < 1:
            problems.append(f"futility must be in [0, 1), not {self.futility}")
        if problems:
            raise StudyError(*problems)


@dataclass(frozen=True)
class OpenLook:
    """What one look showed.

    Attributes:
        pairs: Seeds so far.
        difference: Mean score of a less that of b.
        low: Lower end of the always-valid interval, not beyond −1.
        high: Its upper end, not beyond 1.
        e_value: Evidence against "no difference".
        level: α: a claim needs an e-value of 1/α.
        chance: Chance to decide within the horizon, if things go on as they look now.
        stop: Why to stop here, or None to go on.
    """

    pairs: int
    difference: float
    low: float
    high: float
    e_value: float
    level: float
    chance: float
    stop: Stop | None

    @property
    def p_value(self) -> float:
        """An always-valid p: below α exactly where the e-value is above 1/α."""
        return min(1.0, 1 / self.e_value)

    @property
    def verdict(self) -> Verdict:
        """The verdict that may be told at this look."""
        return "undecided" if self.stop is None or self.stop == "futile" else self.stop


@dataclass(frozen=True)
class OpenPath:
    """The looks up to where one had to stop, or up to the seeds that are there.

    Attributes:
        design: What was declared.
        looks: In order; only the last can have a `stop`.
    """

    design: OpenDesign
    looks: tuple[OpenLook, ...]

    @property
    def stop(self) -> Stop | None:
        """Why it stopped; None when it may go on."""
        return self.looks[-1].stop if self.looks else None

    @property
    def verdict(self) -> Verdict:
        """The verdict of the last look; undecided before the first."""
        return self.looks[-1].verdict if self.looks else "undecided"


def open_looks() -> Iterator[int]:
    """After how many pairs to look: every second to 20, then in steps of a tenth; no end."""
    pairs = MIN_PAIRS
    while True:
        yield pairs
        pairs += max(2, pairs // 10)


def follow_open(
    design: OpenDesign,
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> OpenPath:
    """All looks in order over pairs that came one after another, up to the first stop.

    Null hypothesis, pairing and assumptions: as `headstart.statistics.always_valid.evidence`.
    Multiplicity: any number of looks; for m comparisons give each a design with α/m.

    Args:
        design: What was declared.
        correct_a: Shape (pairs, pictures), rows in the order in which the seeds came.
        correct_b: The same for the baseline.
        groups: As for `compare_pairs`.

    Raises:
        RecordsError: If the tables are not pairs.
    """
    a, b = checked_pair(correct_a, correct_b)
    looks = []
    for pairs in open_looks():
        if pairs > len(a):
            break
        looks.append(_look(design, a[:pairs], b[:pairs], groups))
        if looks[-1].stop is not None:
            break
    return OpenPath(design, tuple(looks))


def _look(design: OpenDesign, a: ArrayLike, b: ArrayLike, groups: ArrayLike | None) -> OpenLook:
    found = evidence(a, b, margin=design.margin, alpha=design.alpha, groups=groups)
    one, other = checked_pair(a, b)
    table = merge_groups(one - other, groups)
    error = estimate_mean(table).standard_error
    chance = _chance(design, found, error, variance_split(table))
    stop: Stop | None = None if found.verdict == "undecided" else found.verdict
    if stop is None and chance < design.futility:
        stop = "futile"
    return OpenLook(
        pairs=found.pairs,
        difference=found.difference,
        low=max(found.low, -1.0),
        high=min(found.high, 1.0),
        e_value=found.e_value,
        level=design.alpha,
        chance=chance,
        stop=stop,
    )


def _chance(design: OpenDesign, found: Evidence, error: float, split: VarianceSplit) -> float:
    """The chance of a verdict within the horizon, if the future is like what was seen.

    As `headstart.statistics.sequential.chance_to_decide`: the difference at the horizon is
    predicted as normal around the present one. The luck of the pictures stays, and bounds what any
    number of seeds can show.
    """
    horizon = max(HORIZON, 2 * found.pairs)
    final = max(split.variance(seeds=horizon), 2 / split.n_pictures**2)
    by_seeds = split.seeds / horizon + split.both / (horizon * split.n_pictures)
    shrink = 1 + horizon * min(1.0, by_seeds / final)
    room = math.sqrt(max(error**2 - final, 0.0)) or 1e-12
    reach = math.sqrt(final) * e_reach(design.alpha, horizon - 1, shrink)
    near = design.margin - math.sqrt(final) * e_reach(2 * design.alpha, horizon - 1, shrink)
    ahead = ndtr((found.difference - reach) / room)
    behind = ndtr((-reach - found.difference) / room)
    same = 0.0
    if near > 0:
        same = ndtr((near - found.difference) / room) - ndtr((-near - found.difference) / room)
    return float(min(1.0, ahead + behind + same))
