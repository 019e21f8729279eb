"""headstart: does a head start help, which one, how much is it worth, and is that real?

The public names are loaded when they are first used, so that importing headstart stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api import compare as compare
    from headstart.data.image_set import ImageSet as ImageSet
    from headstart.errors import HeadstartError as HeadstartError
    from headstart.report.results import Results as Results
    from headstart.study.spec import Study as Study
    from headstart.study.spec import load_study as load_study

_HOMES = {
    "HeadstartError": "headstart.errors",
    "ImageSet": "headstart.data.image_set",
    "Results": "headstart.report.results",
    "Study": "headstart.study.spec",
    "compare": "headstart.api",
    "load_study": "headstart.study.spec",
}

__all__ = ["HeadstartError", "ImageSet", "Results", "Study", "compare", "load_study"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
