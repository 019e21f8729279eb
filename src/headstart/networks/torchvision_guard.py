"""The one place that imports timm, and makes torchvision importable beside a CPU-only torch.

timm wants torchvision's transforms. torchvision declares its operators (`nms` and others) in a
compiled library, and its import then refers to two of them by name. The registry's library is
linked against CUDA, so beside a CPU-only torch it cannot be loaded, and the import ends with
"operator torchvision::nms does not exist". Declaring the two operators, without any code behind
them, is enough: nothing here ever calls them.

Both imports would also load PyTorch's compiler (`headstart.networks.compiler`).
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from headstart.errors import NetworkError
from headstart.networks.compiler import without_compiler

MISSING_EXTRA = "pip install 'headstart[pretrained]'"
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_LIBRARIES: list[torch.library.Library] = []  # an operator lives as long as its library object


def import_timm() -> ModuleType:
    """The module `timm`, importable also beside a CPU-only torch.

    Raises:
        NetworkError: If timm or torchvision is not installed, or torchvision does not fit torch.
    """
    make_torchvision_importable()
    try:
        with without_compiler():
            return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"pretrained networks need {error.name}, which is not installed: {MISSING_EXTRA}"
        ) from error
    except (ImportError, RuntimeError) as error:
        raise NetworkError(
            f"timm cannot be imported beside torch {torch.__version__} ({error}): install the "
            "torchvision that belongs to this torch"
        ) from error


@cache
def make_torchvision_importable() -> bool:
    """Declare the operators that torchvision's import refers to, if nothing else will.

    Nothing is done when torchvision is imported already, is not installed, can load its own
    library, or stands beside a torch with CUDA (there a library that does not load is a fault to
    be seen, not hidden).

    Returns:
        True if operators were declared here.
    """
    spec = None if "torchvision" in sys.modules else importlib.util.find_spec("torchvision")
    if spec is None or torch.version.cuda is not None or torch.version.hip is not None:
        return False
    for folder in spec.submodule_search_locations or ():
        _load_own_library(Path(folder))
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library(  # type: ignore[no-untyped-call]
            "torchvision", "FRAGMENT"
        )
        for name in missing:
            library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)
    return bool(missing)


def _load_own_library(folder: Path) -> None:
    """Let torchvision's compiled library declare its operators, where it can be loaded.

    torchvision loads it again when it is imported; a library that is loaded twice declares once.
    """
    finder = importlib.machinery.FileFinder(
        str(folder),
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    )
    spec = finder.find_spec("_C")
    if spec is None or spec.origin is None:
        return
    try:
        torch.ops.load_library(spec.origin)  # type: ignore[no-untyped-call]
    except OSError:
        return
