"""Charts as SVG texts that the page can hold: themable, light, and legible by name."""

import re
from collections import defaultdict
from typing import Any
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

SVG = "http://www.w3.org/2000/svg"
GROUP, PATH, RECT, CIRCLE, LINE = (
    f"{{{SVG}}}{name}" for name in ("g", "path", "rect", "circle", "line")
)
MOST_MARKS = 1500
"""Layers with more marks of a kind are merged into one path for each look."""

VEGA_LITE = "6.4"

Look = tuple[tuple[str, str], ...]
"""What an element looks like: its attributes but for place and tip, sorted."""

TIP = "\t"
"""A mark's description is "key<TAB>text": marks of one key light up together, text is the tip."""

_DROPPED = (
    "aria-label",
    "aria-hidden",
    "aria-roledescription",
    "role",
    "class",
    "font-family",
    "pointer-events",
    "stroke-miterlimit",
    "version",
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_MEASURED = ("d", "transform", "x2", "y2")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_CIRCLE = re.compile(r"^M([\d.]+),0A[^A]+A[^AMLZ]+$")
_MOVED = re.compile(r"translate\(([-\d.]+),([-\d.]+)\)$")

ElementTree.register_namespace("", SVG)


def drawn(specification: dict[str, Any], alternative: str) -> Markup:
    """A chart as an SVG element.

    Args:
        specification: Vega-Lite, in the palette's light colours.
        alternative: What it shows, for who cannot see it.

    Returns:
        The element: background and fonts left to the page, lengths rounded to a tenth of a
        pixel, tips as `<title>`. The texts in it are escaped.
    """
    text = vl_convert.vegalite_to_svg(
        _clean(specification), vl_version=VEGA_LITE, allowed_base_urls=[]
    )
    return tidied(text, alternative)


def warm_up() -> None:
    """Start the engine that draws: its first chart takes half a second longer than the next."""
    drawn({"data": {"values": [{"x": 0}]}, "mark": "circle", "encoding": {}}, "")


def tidied(text: str, alternative: str) -> Markup:
    """Vega's SVG text made fit for the page, as `drawn` tells."""
    root = ElementTree.fromstring(text)
    _tidy(root)
    _prune(root)
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", _CONTROL.sub("", alternative))
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(value: Any) -> Any:
    """A specification whose texts can be written: vl-convert aborts the process on a NUL.

    Names of files may also hold half a character, which no encoding can write.
    """
    if isinstance(value, str):
        return _CONTROL.sub("", value).encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(own) for key, own in value.items()}
    return [_clean(own) for own in value] if isinstance(value, list) else value


def _prune(parent: ElementTree.Element) -> None:
    """Drop what Vega writes for nobody, keep tips, and merge crowds of marks."""
    kept: list[ElementTree.Element] = []
    for child in list(parent):
        background = child.get("fill") in ("white", "transparent") and child.tag == RECT
        if background or child.get("display") == "none" or _is_empty(child):
            continue
        _tidy(child)
        _prune(child)
        if child.tag == GROUP and not child.attrib:
            kept.extend(child)
        elif child.tag != GROUP or len(child):
            kept.append(child)
    parent[:] = kept
    _merge(parent, crowded=len(parent) > MOST_MARKS)


def _tidy(element: ElementTree.Element) -> None:
    """Keep of an element's attributes what is seen, and its tip."""
    tip = element.get("aria-label", "")
    for attribute in _DROPPED:
        element.attrib.pop(attribute, None)
    for name, meaningless in (("opacity", "1"), ("transform", "translate(0,0)")):
        if element.get(name) == meaningless:
            del element.attrib[name]
    _circle(element)
    for name in _MEASURED:
        if name in element.attrib:
            element.set(name, _LONG_NUMBER.sub(_shorter, element.attrib[name]))
    if TIP in tip:
        key, title = tip.split(TIP, 1)
        element.set("data-key", key)
        if title:
            ElementTree.SubElement(element, f"{{{SVG}}}title").text = title


def _circle(element: ElementTree.Element) -> None:
    """Write a circle, which Vega draws as a path of arcs, as what it is."""
    found = _CIRCLE.match(element.get("d", ""))
    moved = _MOVED.match(element.get("transform", ""))
    if element.tag != PATH or found is None or moved is None:
        return
    del element.attrib["d"], element.attrib["transform"]
    element.tag = CIRCLE
    for name, length in (("cx", moved[1]), ("cy", moved[2]), ("r", found[1])):
        element.set(name, f"{round(float(length), 1):g}")
    if "stroke" not in element.attrib:
        element.attrib.pop("stroke-width", None)


def _shorter(found: re.Match[str]) -> str:
    return f"{round(float(found[0]), 1):g}"


def _is_empty(element: ElementTree.Element) -> bool:
    """Whether an element draws nothing, as most of the groups' backgrounds and foregrounds."""
    if element.tag != PATH:
        return False
    path = element.get("d", "")
    unseen = element.get("fill") is None and element.get("stroke") is None
    return not path or (element.get("class") in ("background", "foreground") and unseen)


def _merge(parent: ElementTree.Element, *, crowded: bool) -> None:
    """Replace marks of one look by a single path.

    Areas that say nothing are always merged; circles and lines only in a crowd, for their tips are
    lost by it.
    """
    looks: dict[Look, list[tuple[int, str]]] = defaultdict(list)
    for place, child in enumerate(parent):
        piece = _mark(child) if crowded else _area(child)
        if piece is not None:
            looks[piece[0]].append((place, piece[1]))
    merged: dict[int, ElementTree.Element | None] = {}
    for look, pieces in looks.items():
        if len(pieces) > 1:
            merged |= {place: None for place, _ in pieces}
            path = "".join(piece for _, piece in pieces)
            merged[pieces[0][0]] = ElementTree.Element(PATH, dict(look) | {"d": path})
    parent[:] = [
        made for place, child in enumerate(parent) if (made := merged.get(place, child)) is not None
    ]


def _area(mark: ElementTree.Element) -> tuple[Look, str] | None:
    """The look and path of a filled shape without a tip that is not moved; else None."""
    attributes = dict(mark.attrib)
    path = attributes.pop("d", "")
    plain = not {"data-key", "transform", "stroke", "display"} & set(attributes)
    if mark.tag != PATH or not plain or not path.endswith("Z"):
        return None
    return tuple(sorted(attributes.items())), path


def _mark(mark: ElementTree.Element) -> tuple[Look, str] | None:
    """The look and path of a circle or a straight line; None for marks of other kinds."""
    attributes = dict(mark.attrib)
    attributes.pop("data-key", None)
    if mark.tag == CIRCLE:
        x, y, radius = (float(attributes.pop(name)) for name in ("cx", "cy", "r"))
        # A line of no length with round ends is a dot, and needs no element of its own.
        attributes["stroke"] = attributes.pop("fill", "none")
        attributes |= {"stroke-width": f"{2 * radius:g}", "stroke-linecap": "round"}
        return tuple(sorted(attributes.items())), f"M{x:g},{y:g}h0"
    moved = _MOVED.match(attributes.pop("transform", ""))
    if mark.tag != LINE or moved is None:
        return None
    across, down = float(attributes.pop("x2", 0)), float(attributes.pop("y2", 0))
    return tuple(sorted(attributes.items())), f"M{moved[1]},{moved[2]}l{across:g},{down:g}"
