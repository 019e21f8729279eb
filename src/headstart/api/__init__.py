"""The library's front door: compare a study, and use the model that came of it.

What belongs to delivered models is loaded when it is first used: a study does not need it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api.delivery import evaluate as evaluate
    from headstart.api.delivery import export as export
    from headstart.api.delivery import fit as fit
    from headstart.api.delivery import predict as predict
    from headstart.api.studies import compare as compare
    from headstart.api.studies import draw_map as draw_map

_STUDIES = ("compare", "draw_map")
_DELIVERY = ("evaluate", "export", "fit", "predict")


def __getattr__(name: str) -> Any:
    if name in _STUDIES:
        return getattr(importlib.import_module("headstart.api.studies"), name)
    if name in _DELIVERY:
        return getattr(importlib.import_module("headstart.api.delivery"), name)
    raise AttributeError(f"module 'headstart.api' has no attribute {name!r}")
