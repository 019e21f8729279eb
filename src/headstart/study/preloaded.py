"""What workers are forked off: a process that has loaded what each of them needs.

Only Python's fork server imports this (`headstart.study.worker.prepare_workers`).
"""

import atexit
import gc
import os

gc.disable()  # modules are no garbage
try:
    import headstart.study.workplace  # noqa: F401
finally:
    gc.freeze()
    gc.enable()

# It ends with its leader, whose output it holds open: Python would take everything apart first.
atexit.register(os._exit, 0)
