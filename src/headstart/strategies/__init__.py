"""Strategies: each makes a plan, a tuple of phases, for a network and a task."""

from collections.abc import Mapping

from headstart.strategies._base import Strategy, Training
from headstart.strategies._transfer import Transfer
from headstart.strategies.auto import Auto
from headstart.strategies.bit_hyperrule import BitHyperRule
from headstart.strategies.distil import Distil
from headstart.strategies.fine_tune import FineTune
from headstart.strategies.freeze_then_thaw import FreezeThenThaw
from headstart.strategies.frozen import Frozen
from headstart.strategies.gradual import Gradual
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.knn import KNN
from headstart.strategies.known import add_own, find_strategy, register, strategy_names
from headstart.strategies.layerwise import Layerwise
from headstart.strategies.lda import LDA
from headstart.strategies.lora import Lora
from headstart.strategies.lower_groups import LowerGroups, OwnLowerGroups
from headstart.strategies.lp_ft import LPFT
from headstart.strategies.multi_depth_probe import MultiDepthProbe
from headstart.strategies.nearest_mean import NearestMean
from headstart.strategies.norms_and_biases import NormsAndBiases
from headstart.strategies.plan import (
    Distillation,
    Interpolation,
    Optimizer,
    Phase,
    Plan,
    Schedule,
)
from headstart.strategies.probe import Probe
from headstart.strategies.regularisers import BSS, L2SP, CoTuning, Delta, StochNorm
from headstart.strategies.replace_top import ReplaceTop
from headstart.strategies.ridge import Ridge
from headstart.strategies.scratch import Scratch
from headstart.strategies.scratch_again import ScratchAgain
from headstart.strategies.soup import Soup
from headstart.strategies.surgical import Surgical
from headstart.strategies.top_groups import TopGroups
from headstart.strategies.wise_ft import WiseFT

STRATEGIES: Mapping[str, type[Strategy]] = {
    "scratch": Scratch,
    "probe": Probe,
    "ridge": Ridge,
    "lda": LDA,
    "nearest_mean": NearestMean,
    "knn": KNN,
    "multi_depth_probe": MultiDepthProbe,
    "frozen": Frozen,
    "fine_tune": FineTune,
    "freeze_then_thaw": FreezeThenThaw,
    "lp_ft": LPFT,
    "gradual": Gradual,
    "layerwise": Layerwise,
    "top_groups": TopGroups,
    "surgical": Surgical,
    "norms_and_biases": NormsAndBiases,
    "lora": Lora,
    "replace_top": ReplaceTop,
    "wise_ft": WiseFT,
    "soup": Soup,
    "distil": Distil,
    "bit_hyperrule": BitHyperRule,
    "auto": Auto,
    "lower_groups": LowerGroups,
    "own_lower_groups": OwnLowerGroups,
    "scratch_again": ScratchAgain,
}
add_own(STRATEGIES)

__all__ = [
    "BSS",
    "KNN",
    "L2SP",
    "LDA",
    "LPFT",
    "STRATEGIES",
    "Auto",
    "BitHyperRule",
    "CoTuning",
    "Delta",
    "Distil",
    "Distillation",
    "FineTune",
    "FreezeThenThaw",
    "Frozen",
    "Gradual",
    "HeadSolver",
    "Interpolation",
    "Layerwise",
    "Lora",
    "LowerGroups",
    "MultiDepthProbe",
    "NearestMean",
    "NormsAndBiases",
    "Optimizer",
    "OwnLowerGroups",
    "Phase",
    "Plan",
    "Probe",
    "ReplaceTop",
    "Ridge",
    "Schedule",
    "Scratch",
    "ScratchAgain",
    "Soup",
    "StochNorm",
    "Strategy",
    "Surgical",
    "TopGroups",
    "Training",
    "Transfer",
    "WiseFT",
    "find_strategy",
    "register",
    "strategy_names",
]
