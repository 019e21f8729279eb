"""Doing without PyTorch's compiler where nothing is compiled.

Loading it (`torch._dynamo`) takes 2 to 3 seconds of a processor. Importing torchvision or timm
loads it only to keep some functions from being compiled, as do operators on the ``meta`` device.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

_COMPILER, _HELPERS = "torch._dynamo", "torch._dynamo.utils"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within it, PyTorch's compiler is loaded only if somebody needs more of it than `disable`.

    What is kept from being compiled within is so, too, when the compiler is loaded later on.
    """
    if _COMPILER in sys.modules:
        yield
        return
    _stand_in(_COMPILER, disable=_disabled)
    _stand_in(_HELPERS, is_compile_supported=_is_compile_supported)
    found = importlib.util.find_spec("torch")
    folders = [] if found is None else found.submodule_search_locations or []
    vars(sys.modules[_COMPILER])["__path__"] = [f"{folder}/_dynamo" for folder in folders]
    parts = _RealParts()
    sys.meta_path.insert(0, parts)
    try:
        yield
    finally:
        sys.meta_path.remove(parts)
        _step_aside()


class _StandIn(ModuleType):
    """A module of the compiler's with the one function that is wanted; the real one for others."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` and imports ask every module
            raise AttributeError(name)
        _step_aside()
        return getattr(importlib.import_module(self.__name__), name)


class _RealParts(MetaPathFinder, Loader):
    """Gives who imports a part of the compiler that of the real one, which is loaded then."""

    def __init__(self) -> None:
        self._there: dict[str, tuple[ModuleType, ModuleSpec | None]] = {}

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Nothing, but for parts that came with the whole; they must not be loaded twice."""
        del path, target
        if not fullname.startswith(f"{_COMPILER}."):
            return None
        _step_aside()
        importlib.import_module(_COMPILER)
        module = sys.modules.pop(fullname, None)  # else Python would go by its own specification
        if module is None:
            return None
        self._there[fullname] = module, module.__spec__
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The part that is there."""
        return self._there[spec.name][0]

    def exec_module(self, module: ModuleType) -> None:
        """It was executed; Python has only given it another specification."""
        vars(module)["__spec__"] = self._there.pop(module.__name__)[1]


def _stand_in(name: str, **functions: Callable[..., Any]) -> None:
    module = _StandIn(name)
    vars(module).update(functions)
    sys.modules[name] = module


def _step_aside() -> None:
    """Take the stand-ins away."""
    for name in (_COMPILER, _HELPERS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _is_loaded() -> bool:
    return not isinstance(sys.modules.get(_COMPILER), _StandIn | None)


def _is_compile_supported(device_type: str) -> bool:
    """What torchvision's detectors ask, asked when they do."""
    _step_aside()
    supported: bool = importlib.import_module(_HELPERS).is_compile_supported(device_type)
    return supported


def _disabled(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[..., Any]:
    """What the compiler's `disable` makes of a function, made once there is a compiler."""
    if not isinstance(function, FunctionType):  # a class, a network, nothing yet
        _step_aside()
        return importlib.import_module(_COMPILER).disable(function, *arguments, **options)  # type: ignore[no-any-return]

    @cache
    def around_compiler() -> Callable[..., Any]:
        compiler = importlib.import_module(_COMPILER)
        made: Callable[..., Any] = compiler.disable(function, *arguments, **options)
        return made

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        return (around_compiler() if _is_loaded() else function)(*given, **named)

    return called
