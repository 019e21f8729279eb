"""The sentence a comparison allows, with what would decide it where it is undecided."""

from headstart.statistics.paired import Comparison
from headstart.statistics.power import advise


def verdict_sentence(
    comparison: Comparison, name_a: str, name_b: str, *, chance: float = 0.8
) -> str:
    """What the numbers allow to be said, and for "undecided" what would help.

    For example "frozen is better than scratch by 1.9 points (1.1 to 2.7), 12 pairs", or
    "undecided between frozen and scratch: the difference is 0.9 points (−0.4 to 2.2), 8 pairs;
    more seeds will not help, about 1,200 more test pictures would".

    Null hypothesis, pairing, multiplicity and assumptions: those of the comparison; the advice
    also takes the difference seen for the true one, so it is a plan and no promise.

    Args:
        comparison: From `compare_pairs`, `compare_metric`, or a `Claim` of a family.
        name_a: What to call a.
        name_b: What to call b.
        chance: Of a verdict, to plan for.
    """
    sentence = comparison.sentence(name_a, name_b)
    if comparison.verdict != "undecided" or comparison.variance is None:
        return sentence
    advice = advise(comparison, chance=chance).sentence().removeprefix("undecided: ")
    return f"{sentence}; {advice}"
