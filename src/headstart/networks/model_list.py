"""What can be used: timm's pretrained networks, where their weights come from, and what is here.

The list is kept in ``models.csv``, because importing timm takes seconds and counting the parameters
of a network means building it. ``python -m headstart.networks.model_list`` writes it anew from the
timm that is installed; a test holds it against the pinned one.
"""

import csv
import difflib
import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from headstart.errors import NetworkError
from headstart.networks.hub import CARD_URL, cached_file
from headstart.networks.weights import packages

TABLE = "models.csv"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class ModelEntry:
    """What there is to know about a pretrained network before loading it.

    Attributes:
        name: Timm's name, with the tag of the weights.
        parameters: Of the whole network, the source's classifier included.
        picture_size: Height and width that the weights were made for, in pixels.
        classes: What the source tells apart; 0 where the weights have no classifier.
        licence: As timm states it, or empty.
        sources: Where the weights can come from, in words.
        here: Those of the sources that are on this machine, so that no network is needed.
        url: The model card or home page, or empty.
    """

    name: str
    parameters: int | None
    picture_size: tuple[int, int]
    classes: int
    licence: str
    sources: tuple[str, ...]
    here: tuple[str, ...]
    url: str


def available(pattern: str = "") -> list[ModelEntry]:
    """The pretrained networks whose name matches, in timm's order.

    Args:
        pattern: A part of the name, or a pattern with ``*`` and ``?``; case does not matter.

    Raises:
        NetworkError: If nothing matches; the nearest names are told.
    """
    wanted = pattern.casefold()
    if not any(sign in wanted for sign in "*?["):
        wanted = f"*{wanted}*"
    rows = [row for row in _table() if fnmatch.fnmatchcase(row["name"].casefold(), wanted)]
    if not rows:
        raise NetworkError(_no_match(pattern))
    return [_entry(row) for row in rows]


@cache
def _table() -> tuple[dict[str, str], ...]:
    text = files("headstart.networks").joinpath(TABLE).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _entry(row: dict[str, str]) -> ModelEntry:
    name, repository, url = row["name"], row["repository"], ""
    carriers = [package for package in packages() if package.model == name]
    sources = [f"package {package.name}" for package in carriers]
    here = [f"package {package.name}" for package in carriers if package.path()]
    if repository:
        repository = f"{repository}{name}" if repository.endswith("/") else repository
        url = f"{CARD_URL}{repository}"
        sources.append(f"hub {repository}")
        here += ["hub's cache"] if cached_file(repository, WEIGHTS_NAME) else []
    return ModelEntry(
        name,
        int(row["parameters"]) if row["parameters"] else None,
        (int(row["height"]), int(row["width"])),
        int(row["classes"]),
        row["licence"],
        tuple(sources) or ("a file that you give",),
        tuple(here),
        url,
    )


def _no_match(pattern: str) -> str:
    folded = {row["name"].casefold(): row["name"] for row in _table()}
    bare = {name.split(".")[0]: full.split(".")[0] for name, full in folded.items()}
    known = {**folded, **bare}
    close = difflib.get_close_matches(pattern.casefold(), list(known), n=3, cutoff=0.5)
    hint = f": did you mean {' or '.join(repr(known[each]) for each in close)}?" if close else ""
    return f"no pretrained network is called {pattern!r}{hint} `headstart models` lists all"


def registry_rows() -> Iterator[dict[str, str]]:
    """The rows of the table as the installed timm has them, parameters left empty."""
    from headstart.networks.torchvision_guard import import_timm

    import_timm()
    from timm.models import get_pretrained_cfg, list_pretrained

    for name in list_pretrained():
        config = get_pretrained_cfg(name)
        if config is None:
            continue
        repository = config.hf_hub_id or ""
        yield {
            "name": name,
            "parameters": "",
            "height": str(config.input_size[1]),
            "width": str(config.input_size[2]),
            "classes": str(config.num_classes or 0),
            "licence": config.license or "",
            "repository": repository.removesuffix(name) or "",
        }


def write_table(path: Path) -> None:
    """Write the table anew, counting the parameters of those networks only that are new in it."""
    from headstart.networks.model_names import recipe_of
    from headstart.networks.timm_models import empty_model

    counted = {row["name"]: row["parameters"] for row in _table()} if path.exists() else {}
    by_network: dict[tuple[str, ...], str] = {}
    rows = list(registry_rows())
    for row in rows:
        key = (row["name"].split(".")[0], row["classes"], row["height"], row["width"])
        row["parameters"] = counted.get(row["name"]) or by_network.get(key, "")
        if not row["parameters"]:
            recipe = recipe_of(row["name"])
            model = empty_model(recipe, channels=3, picture_size=recipe.picture_size)
            row["parameters"] = str(sum(each.numel() for each in model.parameters()))
        by_network[key] = row["parameters"]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


if __name__ == "__main__":
    write_table(Path(__file__).with_name(TABLE))
