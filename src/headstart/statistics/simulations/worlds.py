"""Made-up studies: two strategies, seeds and test pictures, with true accuracies known exactly.

Strategy x gets picture i right in seed s when

    noise[s, i] < threshold_x + seed_x[s] + hard[i] + taste_x[i],

all of them normal. `hard` is shared by both strategies, so their errors are correlated; `taste` is
what one strategy finds hard and the other does not, so that two equally good strategies still
differ on the pictures at hand. The true accuracy is a normal probability.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Table = NDArray[np.float64]

# Gauss–Laguerre: the mean over an exponential variable
_SCALES, _WEIGHTS = np.polynomial.laguerre.laggauss(40)


@dataclass(frozen=True)
class World:
    """How two strategies, their seeds and the pictures behave.

    Attributes:
        name: For tables.
        accuracy_a: True accuracy of a.
        accuracy_b: True accuracy of b.
        seed_a: Standard deviation of a's seed effect.
        seed_b: The same for b.
        hard: Standard deviation of the pictures' shared difficulty.
        taste: Standard deviation of each strategy's own difficulty.
        wild: Whether each seed's effect has a random scale of its own (√exponential), so that a
            few seeds are far off.
        scene: How many pictures in a row share difficulty and taste.
    """

    name: str
    accuracy_a: float = 0.9
    accuracy_b: float = 0.9
    seed_a: float = 0.1
    seed_b: float = 0.1
    hard: float = 1.5
    taste: float = 0.0
    wild: bool = False
    scene: int = 1

    @property
    def difference(self) -> float:
        """The true difference."""
        return self.accuracy_a - self.accuracy_b

    @property
    def reduction(self) -> float:
        """The true relative error reduction."""
        return 1 - (1 - self.accuracy_a) / (1 - self.accuracy_b)

    def draw(self, seeds: int, pictures: int, random: np.random.Generator) -> tuple[Table, Table]:
        """One study: 0/1 scores of a and b, each of shape (seeds, pictures)."""
        scenes = -(-pictures // self.scene)
        scales = np.sqrt(random.exponential(size=seeds)) if self.wild else np.ones(seeds)
        hard = self.hard * random.standard_normal(scenes)

        def arm(accuracy: float, seed_sd: float) -> Table:
            own = hard + self.taste * random.standard_normal(scenes)
            by_picture = np.repeat(own, self.scene)[:pictures]
            by_seed = seed_sd * scales * random.standard_normal(seeds)
            bar = self.threshold(accuracy, seed_sd) + by_seed[:, None] + by_picture
            noise = random.standard_normal((seeds, pictures), dtype=np.float32)
            return (noise < bar.astype(np.float32)).astype(np.float64)

        return arm(self.accuracy_a, self.seed_a), arm(self.accuracy_b, self.seed_b)

    def groups(self, pictures: int) -> NDArray[np.int64] | None:
        """The scene of each picture; None when each stands alone."""
        return None if self.scene == 1 else np.arange(pictures) // self.scene

    def threshold(self, accuracy: float, seed_sd: float) -> float:
        """The threshold with which the true accuracy is the one wanted."""
        fixed = 1 + self.hard**2 + self.taste**2
        if not self.wild:
            return float(ndtri(accuracy) * np.sqrt(fixed + seed_sd**2))
        spread = np.sqrt(fixed + seed_sd**2 * _SCALES)
        return float(brentq(lambda t: _WEIGHTS @ ndtr(t / spread) - accuracy, -30, 30))


EQUAL = (
    World("A against A"),
    World("rare errors", accuracy_a=0.98, accuracy_b=0.98),
    World("unequal seed variance", seed_a=0.4, seed_b=0.05),
    World("correlated pictures", taste=0.7),
    World("scenes of 5 pictures", taste=0.7, scene=5),
    World("wild seeds", seed_a=0.3, seed_b=0.3, wild=True),
)
"""Two equally good strategies, in six ways."""

UNEQUAL = (
    World("4 points apart", accuracy_a=0.94, taste=0.5),
    World("4 points apart, unequal seeds", accuracy_a=0.94, seed_a=0.4, seed_b=0.05, taste=0.5),
    World("1% against 2% errors", accuracy_a=0.99, accuracy_b=0.98, taste=0.7),
    World("0.5% against 1% errors", accuracy_a=0.995, accuracy_b=0.99, taste=1.0),
)
"""Two strategies that differ, down to hardly any errors."""


@dataclass(frozen=True)
class LabelWorld:
    """Two learning curves ``error = floor + scale·labels^(−exponent)`` over nested budgets.

    Attributes:
        name: For tables.
        floor: Error that no labels remove, in both arms.
        scale_transfer: With transfer.
        exponent_transfer: With transfer.
        scale_scratch: From scratch.
        exponent_scratch: From scratch.
        spread: Standard deviation of what the seed and the drawn subset do to an arm.
        budgets: Labels.
    """

    name: str
    floor: float = 0.03
    scale_transfer: float = 0.45
    exponent_transfer: float = 0.4
    scale_scratch: float = 0.9
    exponent_scratch: float = 0.45
    spread: float = 0.15
    budgets: tuple[int, ...] = (50, 100, 200, 400, 800, 1600, 3200)

    def truth(self, labels: int) -> float:
        """The labels that scratch truly needs for what transfer has with `labels`."""
        error = self.scale_transfer * labels**-self.exponent_transfer
        return float((error / self.scale_scratch) ** (-1 / self.exponent_scratch))

    def draw(
        self, seeds: int, pictures: int, random: np.random.Generator
    ) -> tuple[list[Table], list[Table]]:
        """One study: for each budget 0/1 scores with transfer and from scratch.

        Subsets are nested, so what a draw does to budget m and to budget n > m correlates by
        √(m/n); half of it is shared by both arms.
        """
        count = len(self.budgets)
        hard = random.standard_normal(pictures)
        draws = random.standard_normal((3, count, seeds))
        for j in range(1, count):
            keep = np.sqrt(self.budgets[j - 1] / self.budgets[j])
            draws[:, j] = keep * draws[:, j - 1] + np.sqrt(1 - keep**2) * draws[:, j]

        def arm(own: Table, scale: float, exponent: float) -> list[Table]:
            effects = self.spread * (own + draws[2]) / np.sqrt(2)
            tables = []
            for labels, effect in zip(self.budgets, effects, strict=True):
                accuracy = 1 - self.floor - scale * labels**-exponent
                bar = ndtri(accuracy) * np.sqrt(2 + self.spread**2) + effect[:, None] + hard
                noise = random.standard_normal((seeds, pictures), dtype=np.float32)
                tables.append((noise < bar.astype(np.float32)).astype(np.float64))
            return tables

        return (
            arm(draws[0], self.scale_transfer, self.exponent_transfer),
            arm(draws[1], self.scale_scratch, self.exponent_scratch),
        )


LABEL_WORLDS = (
    LabelWorld("transfer saves two thirds"),
    LabelWorld("wide steps", budgets=(50, 200, 800, 3200)),
    LabelWorld("transfer costs labels", scale_transfer=1.1, exponent_transfer=0.45),
)
