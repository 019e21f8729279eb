"""Tapped networks in a study: where they are tapped, and who keeps their features.

All trials of a study have networks of one making, but for those whose plan taps its network: these
are of another making, with features of their own.
"""

from typing import TYPE_CHECKING

from headstart.engine.keeper import Keeper
from headstart.engine.taps import find_taps
from headstart.errors import HeadstartError, StudyError
from headstart.networks.groups import Network
from headstart.networks.taps import Tap, Tapping, with_taps
from headstart.strategies.plan import Plan

if TYPE_CHECKING:
    from headstart.study.workplace import Workplace

_ANY_SEED = 0


class Tapped:
    """The makings of a workplace, and their keepers, by how they are tapped; found once each.

    Args:
        workplace: The study.
    """

    def __init__(self, workplace: "Workplace") -> None:
        self._workplace = workplace
        self._taps: dict[Tapping, tuple[Tap, ...]] = {}
        self._makings: dict[Tapping, Network] = {}
        self._keepers: dict[Tapping, Keeper] = {}

    def check(self, strategy: str, plan: Plan) -> None:
        """Refuse a plan that taps what cannot be tapped.

        Raises:
            StudyError: Naming the strategy.
        """
        try:
            self.making(plan.taps)
        except HeadstartError as error:
            raise StudyError(*(f"strategy.{strategy}: {p}" for p in error.problems)) from error

    def network(self, network: Network, tapping: Tapping | None) -> Network:
        """A network of the workplace's making, tapped where that is asked for."""
        if tapping is None:
            return network
        if tapping not in self._taps:
            place = self._workplace
            # Of a network trained here the first weights, whichever seeds the study has.
            seen = place.network(place.task(place.study.study.seeds[0]), _ANY_SEED)
            self._taps[tapping] = find_taps(seen, tapping, place.images.picture_shape)
        return with_taps(network, self._taps[tapping])

    def making(self, tapping: Tapping | None) -> Network:
        """A network to look at only."""
        if tapping is None:
            return self._workplace.making
        if tapping not in self._makings:
            self._makings[tapping] = self.network(self._workplace.making, tapping)
        return self._makings[tapping]

    def keeper(self, tapping: Tapping | None) -> Keeper:
        """Has the features of such networks."""
        usual = self._workplace.keeper
        if tapping is None:
            return usual
        if tapping not in self._keepers:
            self._keepers[tapping] = Keeper(
                usual.images,
                usual.cache,
                name=f"{usual.name}, tapped",
                disk=usual.disk,
                memory=usual.memory,
                warned=usual.warned,
            )
        found = self._keepers[tapping]
        found.spent = usual.spent  # which is another one whenever it was told
        found.disk, found.memory = (
            usual.disk,
            usual.memory,
        )  # a process's own share, once it has one
        return found
