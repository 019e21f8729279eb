"""The looks of a study whose looks were declared, as plain data for the summary."""

from typing import Any

import numpy as np

from headstart.statistics.open_end import OpenLook, OpenPath
from headstart.statistics.sequential import Path
from headstart.statistics.special import ndtri
from headstart.study.deciding import path_of
from headstart.study.folds import FoldPairing
from headstart.study.results import Pairing, StudyRecords

_SMALLEST_P = 1e-15  # further out, normal quantiles have no meaning and soon no value


def path_summary(records: StudyRecords, pairing: Pairing | FoldPairing) -> dict[str, Any] | None:
    """The looks that were taken and the boundary they had to reach, both as normal quantiles.

    Returns:
        ``stop``, ``looks`` (each ``pairs, difference, low, high, p_value, level, chance, evidence,
        e_value``), ``open_end``, ``declared`` (each ``pairs, level, boundary``); None where no
        looks were declared.
    """
    if records.design is None or isinstance(pairing, FoldPairing):
        return None
    path = path_of(records, pairing)
    return {
        "stop": path.stop,
        "looks": [
            {
                "pairs": look.pairs,
                "difference": look.difference,
                "low": look.low,
                "high": look.high,
                "p_value": look.p_value,
                "level": look.level,
                "chance": look.chance,
                "evidence": float(np.sign(look.difference)) * _quantile(look.p_value),
                "e_value": look.e_value if isinstance(look, OpenLook) else None,
            }
            for look in path.looks
        ],
        "open_end": isinstance(path, OpenPath),
        "declared": [
            {"pairs": pairs, "level": level, "boundary": _quantile(level)}
            for pairs, level in _levels(path)
        ],
    }


def _levels(path: Path | OpenPath) -> list[tuple[int, float]]:
    """The looks that were declared, or taken where the end is open, with what a claim needs."""
    if isinstance(path, OpenPath):
        return [(look.pairs, look.level) for look in path.looks]
    return list(zip(path.design.looks, path.design.claim_levels, strict=True))


def _quantile(p_value: float) -> float:
    """The standard normal quantile with this two-sided p: 1.96 for 0.05."""
    return float(-ndtri(max(p_value, _SMALLEST_P) / 2))
