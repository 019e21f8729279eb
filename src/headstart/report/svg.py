"""Charts as SVG texts that the page can hold: themable, light, and legible by name."""

import re
from collections import defaultdict
from typing import Any
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

SVG = "http://www.w3.org/2000/svg"
MOST_MARKS = 1500
"""Layers with more marks of a kind are merged into one path for each look."""

VEGA_LITE = "6.4"

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
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|&#x(?:[0-8bcef]|1[0-9a-f]);")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_CIRCLE = re.compile(r"^M([\d.]+),0A")

ElementTree.register_namespace("", SVG)


def drawn(specification: dict[str, Any], alternative: str) -> Markup:
    """A chart as an SVG element.

    Args:
        specification: Vega-Lite, in the palette's light colours.
        alternative: What it shows, for who cannot see it.

    Returns:
        The element: background and fonts left to the page, numbers rounded to a hundredth of a
        pixel, tips as `<title>`. The texts in it are escaped.
    """
    text = vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE, allowed_base_urls=[])
    return tidied(text, alternative)


def tidied(text: str, alternative: str) -> Markup:
    """Vega's SVG text made fit for the page, as `drawn` tells."""
    root = ElementTree.fromstring(_CONTROL.sub("", text))
    _prune(root)
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", alternative)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _prune(parent: ElementTree.Element) -> None:
    """Drop what Vega writes for nobody, keep tips, and merge crowds of marks."""
    for child in list(parent):
        background = child.get("fill") == "white" and child.tag == f"{{{SVG}}}rect"
        if background or child.get("display") == "none" or _is_empty(child):
            parent.remove(child)
            continue
        tip = child.get("aria-label", "")
        for attribute in _DROPPED:
            child.attrib.pop(attribute, None)
        if child.get("opacity") == "1":
            del child.attrib["opacity"]
        for name, value in child.attrib.items():
            child.set(name, _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", value))
        if TIP in tip:
            key, title = tip.split(TIP, 1)
            child.set("data-key", key)
            if title:
                ElementTree.SubElement(child, f"{{{SVG}}}title").text = title
        _prune(child)
    if len(parent) > MOST_MARKS:
        _merge(parent)


def _is_empty(element: ElementTree.Element) -> bool:
    """Whether an element draws nothing, as most of the groups' backgrounds and foregrounds."""
    if element.tag != f"{{{SVG}}}path":
        return False
    path = element.get("d", "")
    unseen = element.get("fill") is None and element.get("stroke") is None
    return not path or (element.get("class") in ("background", "foreground") and unseen)


def _merge(parent: ElementTree.Element) -> None:
    """Replace circles and lines of one look by a single path each; their tips are lost."""
    looks: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for child in list(parent):
        piece = _piece(child)
        if piece is not None:
            looks[piece[0]].append(piece[1])
            parent.remove(child)
    for look, paths in looks.items():
        ElementTree.SubElement(parent, f"{{{SVG}}}path", dict(look) | {"d": "".join(paths)})


def _piece(mark: ElementTree.Element) -> tuple[tuple[tuple[str, str], ...], str] | None:
    """A mark's look and its part of a merged path; None for marks that cannot be merged."""
    attributes = dict(mark.attrib)
    attributes.pop("data-key", None)
    moved = re.match(r"translate\(([-\d.]+),([-\d.]+)\)$", attributes.pop("transform", ""))
    if moved is None:
        return None
    x, y = float(moved[1]), float(moved[2])
    circle = _CIRCLE.match(attributes.get("d", ""))
    if mark.tag == f"{{{SVG}}}line":
        across, down = float(attributes.pop("x2", 0)), float(attributes.pop("y2", 0))
        attributes.setdefault("fill", "none")
        return tuple(sorted(attributes.items())), f"M{x:g},{y:g}l{across:g},{down:g}"
    if circle is None:
        return None
    # A line of no length with round ends is a dot: a tenth of the text of a drawn circle.
    look = {
        "fill": "none",
        "stroke": attributes.get("fill", "none"),
        "stroke-width": f"{2 * float(circle[1]):g}",
        "stroke-linecap": "round",
    } | {key: attributes[key] for key in ("opacity", "fill-opacity") if key in attributes}
    return tuple(sorted(look.items())), f"M{x:g},{y:g}h0"
