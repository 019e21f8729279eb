"""Exports: the network as ONNX or as PyTorch's own pt2, tried on pictures before it is given away.

An exported file takes pixels, (N, height, width, channels) of uint8 as they come out of resizing
and cropping, and gives class probabilities: scaling is inside, so that nobody can get it wrong. How
to resize and crop stands in a JSON file beside it.
"""

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image

from headstart.data.decode import Decoded
from headstart.data.folders import find_pictures
from headstart.data.reading import decode_pictures
from headstart.delivery.config import CONFIG
from headstart.delivery.engines import (
    INPUT,
    ONNX_FILE,
    OUTPUT,
    TOLERANCE,
    OnnxEngine,
    Pixels,
    Probabilities,
    TorchEngine,
    differences,
    pipeline_bytes,
)
from headstart.delivery.inputs import pixel_batches
from headstart.delivery.model import BATCH_SIZE, Model
from headstart.delivery.pipeline import Pipeline
from headstart.errors import DataError, NetworkError, RecordsError, nearest
from headstart.networks.weights import file_sha256
from headstart.seeding import generator

Format = Literal["onnx", "pt2"]

AGREEMENT = 0.999
"""The share of pictures on which PyTorch and the exported file have to give the same class."""

_MOST_PICTURES, _CUTS = 256, 128
_FILES: Mapping[Format, str] = {"onnx": ONNX_FILE, "pt2": "model.pt2"}


@dataclass(frozen=True)
class Exported:
    """An exported file, and how it did.

    Attributes:
        file: The network.
        note: JSON beside it: preprocessing, classes, input and output, hashes, parity.
        pictures: On how many pictures it was compared with PyTorch.
        agreement: Share of them with the same most probable class.
        difference: The largest difference of a probability.
    """

    file: Path
    note: Path
    pictures: int
    agreement: float
    difference: float


def export(
    model: Model,
    to: Format = "onnx",
    output: Path | str | None = None,
    *,
    pictures: Path | str | None = None,
) -> Exported:
    """Export a model's network, preprocessing beside it, if it answers as PyTorch does.

    Args:
        model: From `headstart.load`.
        to: ``"onnx"``, run by ONNX Runtime and many others; ``"pt2"``, an exported program of
            PyTorch's, run by ``torch.export.load``.
        output: The file; ``model.onnx`` or ``model.pt2`` in the bundle when omitted.
        pictures: What to compare on, as `find_pictures` takes it; cuts out of the photographs
            that come with scikit-learn when omitted.

    Raises:
        NetworkError: If a package is missing, the network cannot be exported, or the exported file
            answers otherwise: less than 99.9% of classes agree, or a probability differs by more
            than 1e-4. Nothing is written then.
        DataError: If none of the pictures can be read.
        RecordsError: If the file cannot be written.
    """
    if to not in get_args(Format):
        raise NetworkError(f"there is no format {to!r}: {nearest(str(to), get_args(Format))}")
    file = Path(output) if output is not None else model.folder / _FILES[to]
    pixels = _pixels(model, pictures)
    with _drafted(file) as draft:
        pipeline = copy.deepcopy(model.bundle.pipeline()).cpu()  # the model stays where it is
        answer = _WRITERS[to](pipeline, pixels[:2], draft)
        difference, agreement = compare(TorchEngine(pipeline, torch.device("cpu")), answer, pixels)
        if agreement < AGREEMENT or difference > TOLERANCE:
            raise NetworkError(
                f"the exported network answers otherwise than PyTorch: {100 * agreement:.2f}% of "
                f"{len(pixels)} pictures get the same class (at least {100 * AGREEMENT:g}% are "
                f"wanted), and probabilities differ by up to {difference:.1g} (at most "
                f"{TOLERANCE:g}). Nothing was written"
            )
        facts = {
            "pictures": len(pixels),
            "of": "cuts of photographs" if pictures is None else "the user's own",
            "agreement": agreement,
            "difference": difference,
        }
        note = _write_note(model, draft, file, to, facts)
    return Exported(file, note, len(pixels), agreement, difference)


def compare(
    reference: Callable[[Pixels], Probabilities],
    other: Callable[[Pixels], Probabilities],
    pixels: Pixels,
) -> tuple[float, float]:
    """The largest difference of a probability, and the share of pictures with the same class."""
    batches = [pixels[at : at + BATCH_SIZE] for at in range(0, len(pixels), BATCH_SIZE)]
    one, two = ([engine(batch) for batch in batches] for engine in (reference, other))
    try:
        return differences(np.concatenate(one), np.concatenate(two))
    except ValueError:  # shapes that do not even fit each other
        return float("inf"), 0.0


def _write_onnx(pipeline: Pipeline, pixels: Pixels, file: Path) -> Callable[[Pixels], Any]:
    content = pipeline_bytes(pipeline, pixels)
    file.write_bytes(content)
    return OnnxEngine(file)


def _write_pt2(pipeline: Pipeline, pixels: Pixels, file: Path) -> Callable[[Pixels], Any]:
    many = torch.export.Dim("pictures", min=1)
    try:
        program = torch.export.export(
            pipeline.eval(), (torch.from_numpy(pixels),), dynamic_shapes={INPUT: {0: many}}
        )
        torch.export.save(program, file)
        again = torch.export.load(file).module()
    # What tracing raises on control flow it cannot follow has no common base of its own.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise NetworkError(f"the network cannot be written as pt2: {reason}") from error

    def answer(batch: Pixels) -> Probabilities:
        with torch.inference_mode():
            values: Probabilities = again(torch.from_numpy(batch)).numpy()
        return values

    return answer


_WRITERS: Mapping[Format, Callable[[Pipeline, Pixels, Path], Callable[[Pixels], Any]]] = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
}


def _pixels(model: Model, pictures: Path | str | None) -> Pixels:
    """At least two pictures to compare on."""
    if pictures is None:
        return _photographs(model)
    found = find_pictures(pictures)
    step = max(1, len(found.entries) // _MOST_PICTURES)  # of all classes, not of the first alone
    decoded = decode_pictures(found.entries[::step][:_MOST_PICTURES], model.preprocessing)
    pixels = [each.pixels for each in decoded if isinstance(each, Decoded)]
    if not pixels:
        raise DataError(f"none of the pictures in {found.root.name} can be read")
    return np.stack(pixels * 2 if len(pixels) == 1 else pixels)


def _photographs(model: Model) -> Pixels:
    """Cuts out of the two photographs that come with scikit-learn, the same for every export."""
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    random = generator(0, "cuts of photographs")
    cuts = []
    for number in range(_CUTS):
        photograph = photographs[number % len(photographs)]
        side = int(random.integers(64, min(photograph.size) + 1))
        left = int(random.integers(0, photograph.width - side + 1))
        top = int(random.integers(0, photograph.height - side + 1))
        cuts.append(photograph.crop((left, top, left + side, top + side)))
    return np.concatenate(list(pixel_batches(cuts, model.preprocessing, BATCH_SIZE)))


@contextmanager
def _drafted(file: Path) -> Iterator[Path]:
    """A draft that takes the file's place at the end, if all went well."""
    draft = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        yield draft
        draft.replace(file)
    except OSError as error:
        raise RecordsError(
            f"{file} cannot be written ({error.strerror or error}): choose another with -o"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_note(
    model: Model, draft: Path, file: Path, to: Format, facts: Mapping[str, Any]
) -> Path:
    """What one needs to know to use the file, as JSON beside it."""
    pixels = model.preprocessing
    config = json.loads((model.folder / CONFIG).read_text(encoding="utf-8"))
    values = {
        "format": to,
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": ["pictures", pixels.height, pixels.width, pixels.channels],
            "meaning": "pixels of 0 to 255 after the preprocessing below; scaling is inside",
        },
        "output": {"name": OUTPUT, "type": "float32", "shape": ["pictures", len(model.classes_)]},
        "classes": model.classes_.tolist(),
        "preprocessing": config["preprocessing"],
        "parity": dict(facts),
        "bundle": file_sha256(model.folder / CONFIG),
        "sha256": file_sha256(draft),
    }
    note = file.with_name(f"{file.name}.json")
    with _drafted(note) as text:
        text.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return note
