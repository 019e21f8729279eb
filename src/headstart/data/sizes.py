"""Sizes in bytes: into words, and out of words."""

from pydantic import ByteSize, TypeAdapter, ValidationError

from headstart.errors import StudyError


def size_words(count: float) -> str:
    """Bytes in words: ``"3.2 MB"``."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count:.0f} B"


def parse_size(text: str | int, what: str) -> int:
    """A size such as ``8GB``, ``500 MB`` or ``2GiB`` in bytes.

    Args:
        text: The size; a bare number means bytes.
        what: What it is the size of, for errors.

    Raises:
        StudyError: If it is none.
    """
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size <= 0:
        raise StudyError(
            f"{what} {text!r}: expected a number and a unit, such as 8GB, 500MB or 2GiB"
        )
    return size
