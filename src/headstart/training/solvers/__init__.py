"""Heads solved on kept features: pure functions of tensors, many heads at once.

Each takes features (N, D), labels (N,) and the number of classes, and gives back heads whose
leading axis is that of the penalties (or shrinkages, or numbers of neighbours) to choose from.
"""

from headstart.training.solvers.calibration import fit_factors
from headstart.training.solvers.examples import fold_weights
from headstart.training.solvers.knn import neighbour_heads
from headstart.training.solvers.lda import fit_lda
from headstart.training.solvers.nearest_mean import NearestMean, fit_nearest_mean
from headstart.training.solvers.probe import Probes, fit_probes
from headstart.training.solvers.ridge import RidgePath, fit_ridge
from headstart.training.solvers.selection import Selected, fit_selected, relevance
from headstart.training.solvers.spectrum import LinearHead, Spectrum

__all__ = [
    "LinearHead",
    "NearestMean",
    "Probes",
    "RidgePath",
    "Selected",
    "Spectrum",
    "fit_factors",
    "fit_lda",
    "fit_nearest_mean",
    "fit_probes",
    "fit_ridge",
    "fit_selected",
    "fold_weights",
    "neighbour_heads",
    "relevance",
]
