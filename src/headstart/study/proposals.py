"""Proposals: which settings a search tries next.

A proposal follows from the trials that have ended and from the seed alone, whoever asks and in
whichever process, so that a search that was killed goes on as if nothing had happened. Optuna draws
it; its own storage is not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from headstart.errors import StudyError
from headstart.strategies.search_space import Space, Span

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

Values = dict[str, float]
Sampler = Literal["tpe", "random"]


@dataclass(frozen=True)
class Tried:
    """A search trial that has ended.

    Attributes:
        values: What was tried, by path; None where what the strategy states is no number.
        loss: The validation loss; None where the trial failed.
        seconds: How long its fit took.
    """

    values: Values
    loss: float | None
    seconds: float


def check_optuna() -> None:
    """Refuse a search while Optuna is not installed.

    Raises:
        StudyError: With the line that installs it.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise StudyError(
            f"[search] needs the package optuna ({error}): pip install 'headstart[search]'"
        ) from error


def propose(
    space: Space, tried: Sequence[Tried], count: int, *, sampler: Sampler, seed: int
) -> list[Values]:
    """The next settings to try.

    Args:
        space: From where to where.
        tried: All that was tried before; what lies outside of the space is passed over, and a
            trial that failed counts as the worst.
        count: How many; each of them takes the others for bad ones, so that they keep apart
            (Ginsbourger, Le Riche & Carraro 2010, *Kriging is well-suited to parallelize
            optimization*: the constant liar).
        sampler: ``"tpe"`` (Bergstra, Bardenet, Bengio & Kégl 2011, *Algorithms for hyper-parameter
            optimization*) or ``"random"``.
        seed: Of this generation.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {
        path: _distribution(span) for path, span in space.items()
    }
    study = optuna.create_study(sampler=_sampler(sampler, seed, len(tried)))
    for one in tried:
        if all(span.low <= one.values[path] <= span.high for path, span in space.items()):
            value = float("inf") if one.loss is None else one.loss
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(one.values), distributions=distributions, value=value
                )
            )
    asked = [study.ask(distributions) for _ in range(count)]
    return [dict(trial.params) for trial in asked]


def _sampler(name: Sampler, seed: int, before: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    seed %= 2**32  # what NumPy's old generator takes, which Optuna draws from
    if name == "random" or not before:
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)


def _distribution(span: Span) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    if span.whole:
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)
