"""Learning rates to begin with: a range test of every strategy's first phase.

Only training pictures are looked at. All strategies are tested alike, `scratch` included; rates
that are then set by hand should be set for all of them.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.errors import StudyError
from headstart.study.compare import open_workplace
from headstart.study.progress import Listener, Progress, silent
from headstart.study.records import TrialKey
from headstart.study.spec import Study


@dataclass(frozen=True)
class FirstRate:
    """What a range test said of a strategy's first phase.

    Attributes:
        strategy: Its name.
        phase: Its first phase.
        now: The rate that its fastest layer group has now.
        suggested: What it should rather have, or None where no rate gained anything.
    """

    strategy: str
    phase: str
    now: float
    suggested: float | None


def first_rates(
    study: Study, seed: int | None = None, listener: Listener = silent
) -> tuple[FirstRate, ...]:
    """Test the first phase of every strategy whose head is not solved.

    Args:
        study: With its largest label budget.
        seed: Whose split, source and initial weights; the study's first when omitted.
        listener: Told how it goes.

    Raises:
        HeadstartError: If the study cannot be trained as it stands.
    """
    seed = study.study.seeds[0] if seed is None else seed
    if seed not in study.study.seeds:
        raise StudyError(
            f"seed {seed} is none of the study's, which are {list(study.study.seeds)}: name one"
        )
    place = open_workplace(study, listener)
    whole = [labels for labels in study.study.labels if labels == "all"]
    largest = whole[0] if whole else max(study.study.labels, key=int)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place = replace(place, directory=Path(folder))
        if study.source is not None and study.source.trained_here:
            listener(Progress("training the source"))
            place.train_source(seed)
        for name in study.strategy:
            phase = place.plan(name, place.making).phases[0]
            if phase.solver is not None:
                continue
            listener(Progress(f"testing rates for {name}"))
            curve = place.range_test(TrialKey(name, seed, largest))
            now = max(rate for rate in phase.rates.values() if rate is not None)
            found.append(FirstRate(name, phase.name, now, curve.suggestion))
    return tuple(found)
