"""Why a weights file does not fit a network: what is missing, left over, or of another shape."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

_SHOWN = 10  # names of a kind; a file of another network has hundreds


def explain_misfit(
    network: str,
    expected: Mapping[str, tuple[int, ...]],
    state: Mapping[str, Tensor],
    file_name: str,
) -> tuple[str, ...]:
    """All that keeps a file's tensors from filling a network, in sentences.

    Args:
        network: What to call the network.
        expected: The network's tensors, name → shape.
        state: The file's tensors by name.
        file_name: What to call the file.

    Returns:
        What is wrong as a whole, then the names of each kind, with the nearest one that the file
        has.
    """
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    misshaped = [
        key for key in expected if key in state and tuple(state[key].shape) != expected[key]
    ]
    here = len(expected) - len(missing)
    summary = (
        f"{file_name} does not fit {network}: {here} of its {len(expected)} tensors are in the "
        f"file, {len(misshaped)} of them with another shape; {len(extra)} in the file are not its"
    )
    if here < len(expected) / 2:
        summary += (
            f". It looks like another network's file (its tensors begin with {_list(state, 3)}): "
            "name the network that it was saved from"
        )
    lines = [f"missing: {key!r}{_nearest(key, extra)}" for key in missing[:_SHOWN]]
    lines += _more(missing, "missing")
    lines += [
        f"of another shape: {key!r} is {tuple(state[key].shape)} in the file, {expected[key]} in "
        f"{network}"
        for key in misshaped[:_SHOWN]
    ]
    lines += _more(misshaped, "of another shape")
    lines += [f"left over in the file: {key!r}" for key in extra[:_SHOWN]]
    lines += _more(extra, "left over")
    return (summary, *lines)


def _nearest(key: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    return f" (the file has {close[0]!r})" if close else ""


def _more(names: Sequence[str], what: str) -> list[str]:
    return [f"… and {len(names) - _SHOWN} more {what}"] if len(names) > _SHOWN else []


def _list(names: Iterable[str], count: int) -> str:
    return ", ".join(repr(name) for name in list(names)[:count])
