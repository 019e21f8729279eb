"""One independent random stream for each trial and purpose.

A stream is named, not drawn: ``generator(seed, "order")`` is the same on every machine and does
not depend on what else was drawn before. All strategies of one seed therefore see the same split,
the same order of pictures and the same initial head, which is what makes them pairs.
"""

import hashlib

import numpy as np


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for the stream that `purpose` names within `seed`.

    Args:
        seed: The trial's or the study's seed.
        *purpose: What the numbers are for, for example ``"order"``, ``3``.

    Returns:
        A number in [0, 2**63), from SHA-256 of the names, so streams do not overlap by design.
    """
    text = "\x1f".join([str(int(seed)), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """NumPy's generator (PCG64) for the stream that `purpose` names within `seed`."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *purpose)))
