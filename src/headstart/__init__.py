"""headstart: does a head start help, which one, how much is it worth, and is that real?

The public names are loaded when they are first used, so that importing headstart stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api import compare as compare
    from headstart.api import evaluate as evaluate
    from headstart.api import export as export
    from headstart.api import fit as fit
    from headstart.api import predict as predict
    from headstart.data.image_set import ImageSet as ImageSet
    from headstart.delivery.model import Model as Model
    from headstart.delivery.model import load as load
    from headstart.engine.limits import MachineLimits as MachineLimits
    from headstart.errors import HeadstartError as HeadstartError
    from headstart.report.results import Results as Results
    from headstart.study.spec import Study as Study
    from headstart.study.spec import load_study as load_study
    from headstart.study.spec import study_from as study_from

_HOMES = {
    "HeadstartError": "headstart.errors",
    "ImageSet": "headstart.data.image_set",
    "Model": "headstart.delivery.model",
    "Results": "headstart.report.results",
    "MachineLimits": "headstart.engine.limits",
    "Study": "headstart.study.spec",
    "compare": "headstart.api",
    "evaluate": "headstart.api",
    "export": "headstart.api",
    "fit": "headstart.api",
    "load": "headstart.delivery.model",
    "predict": "headstart.api",
    "load_study": "headstart.study.spec",
    "study_from": "headstart.study.spec",
}

__all__ = [
    "HeadstartError",
    "ImageSet",
    "MachineLimits",
    "Model",
    "Results",
    "Study",
    "compare",
    "evaluate",
    "export",
    "fit",
    "load",
    "load_study",
    "predict",
    "study_from",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("headstart")
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
