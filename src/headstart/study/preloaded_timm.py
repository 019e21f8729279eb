"""As `headstart.study.preloaded`, for studies that use timm's networks."""

import gc
from contextlib import suppress

import headstart.study.preloaded  # noqa: F401
from headstart.errors import HeadstartError
from headstart.networks.torchvision_guard import import_timm

gc.disable()
try:
    with suppress(HeadstartError):  # told by whoever needs it
        import_timm()
finally:
    gc.freeze()
    gc.enable()
