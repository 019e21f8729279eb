"""What holds for the whole tree: pinned versions, nothing of one machine in it, links that lead."""

import os
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Written in two parts, so that this file does not hold what it looks for.
REGISTRY_HOSTS = re.compile(
    r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(?:org|com)|"
    r"(?:deb|security|ftp|archive|snapshot|ports)[\w.-]*\.(?:deb" r"ian\.org|ubun" r"tu\.com)"
)  # fmt: skip
PLACES_OF_ONE_MACHINE = re.compile(r"(?<![\w.:/*-])/(?:home|root|work|Users)/[\w.]")


def pins() -> dict[str, Version]:
    """Package → version, as constraints.txt has it."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            assert name == canonicalize_name(name), f"{line}: write the name in its usual form"
            assert name not in found, f"{line}: there are two"
            found[name] = Version(version)
    return found


def asked_for() -> list[Requirement]:
    """All that pyproject.toml asks for, extras and the build included."""
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [
        Requirement(line)
        for line in [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]
    ]


def tree() -> Iterator[Path]:
    """The files that are the project's own: not what set-up, tests and studies leave behind."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    left_behind = {".git", *(line.strip("/") for line in ignored)}
    for folder, inside, files in os.walk(ROOT):
        inside[:] = [name for name in inside if name not in left_behind]
        yield from (Path(folder, name) for name in files)


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    """Each line of the tree that matches, as ``file:line: text``."""
    hits = []
    for file in tree():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture or an archive
            continue
        hits += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return hits


@pytest.mark.parametrize("requirement", asked_for(), ids=lambda requirement: requirement.name)
def test_a_pin_gives_what_is_asked_for(requirement: Requirement) -> None:
    pin = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)


def test_all_that_is_needed_by_what_is_needed_is_pinned() -> None:
    waiting = [(requirement.name, frozenset(requirement.extras)) for requirement in asked_for()]
    seen = set(waiting)
    unlike = {}
    while waiting:
        name, extras = waiting.pop()
        installed = Version(metadata.version(name)).public
        pin = pins().get(canonicalize_name(name))
        if pin is None or str(pin) != installed:
            unlike[name] = f"pinned {pin}, installed {installed}"
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*extras, "")):
                step = (needed.name, frozenset(needed.extras))
                waiting += [step] if step not in seen else []
                seen.add(step)
    assert not unlike


def test_torch_and_torchvision_are_the_pair_that_goes_together() -> None:
    assert str(pins()["torch"]) == "2.13.0"
    assert str(pins()["torchvision"]) == "0.28.0"


def test_no_file_names_a_package_registry() -> None:
    assert lines_matching(REGISTRY_HOSTS) == []


def test_no_file_names_a_place_of_one_machine() -> None:
    assert lines_matching(PLACES_OF_ONE_MACHINE) == []


def test_links_between_pages_lead_somewhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)} → {target}"
        for page in tree()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+)", index.read_text(encoding="utf-8"))
    }
    pages = {page.resolve() for page in tree() if page.suffix == ".md"}
    missing = {p for p in pages if index.parent in p.parents and p != index} - linked
    assert {str(page.relative_to(ROOT)) for page in missing} == set()
