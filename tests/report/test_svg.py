"""Vega's SVG, made fit for the page."""

import re
from xml.etree import ElementTree

import pytest

from headstart.report import svg
from headstart.report.drawing import Spec
from headstart.report.svg import TIP, drawn, tidied

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" width="10" height="10">'
DOT = "M3.162,0A3.162,3.162,0,1,1,-3.162,0A3.162,3.162,0,1,1,3.162,0"


def dots(texts: list[str]) -> Spec:
    rows = [{"x": place, "tip": text} for place, text in enumerate(texts)]
    return {
        "data": {"values": rows},
        "mark": {"type": "circle", "opacity": 1},
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "description": {"field": "tip", "type": "nominal"},
            "color": {"value": "#0a66c2"},
        },
    }


def test_the_drawing_says_what_it_shows_and_leaves_fonts_and_ground_to_the_page() -> None:
    text = str(drawn(dots(["a", "b"]), "Two dots & <more>"))
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Two dots & <more>"
    assert root.get("viewBox")
    assert "width" not in root.attrib
    assert "font-family" not in text
    assert 'fill="white"' not in text
    assert 'fill="#0a66c2"' in text


def test_tips_become_titles_and_are_escaped() -> None:
    text = str(drawn(dots([f"seed 1{TIP}<script>alert(1)</script> & \x07ring", "plain"]), "dots"))
    assert "<script" not in text
    marks = [e for e in ElementTree.fromstring(text).iter() if e.tag.endswith("circle")]
    assert [mark.get("data-key") for mark in marks] == ["seed 1", None]
    assert "".join(marks[0].itertext()) == "<script>alert(1)</script> & ring"


def test_circles_are_written_as_circles() -> None:
    text = tidied(
        f'{HEAD}<g><path transform="translate(4.0512,5)" d="{DOT}" fill="#fff"/></g></svg>', "dot"
    )
    assert '<circle fill="#fff" cx="4.1" cy="5" r="3.2" />' in text


def test_areas_of_one_look_without_a_tip_become_one_path() -> None:
    square = '<path d="M{0},0h1v1h-1Z" fill="#e8e5df"/>'
    text = tidied(HEAD + "<g>" + "".join(square.format(k) for k in range(5)) + "</g></svg>", "")
    assert text.count("<path") == 1
    assert text.count("Z") == 5


@pytest.mark.parametrize(
    ("mark", "merged"),
    [
        (
            f'<path aria-label="s{TIP}t" transform="translate({{0}},2)" d="{DOT}" fill="#a00"/>',
            'd="M0,2h0M1,2h0M2,2h0',
        ),
        (
            '<line transform="translate({0},2)" x2="3" y2="4" stroke="#a00"/>',
            'd="M0,2l3,4M1,2l3,4M2,2l3,4',
        ),
    ],
)
def test_a_crowd_of_marks_becomes_one_path(mark: str, merged: str) -> None:
    count = svg.MOST_MARKS + 1
    text = tidied(HEAD + "<g>" + "".join(mark.format(k) for k in range(count)) + "</g></svg>", "")
    assert merged in text
    assert len(re.findall("<(path|line|circle)", text)) == 1
    assert "data-key" not in text
    assert 'stroke="#a00"' in text


def test_control_characters_do_not_break_the_drawing() -> None:
    text = drawn(dots([f"k{TIP}a\x00b\x0bc\x1fd\ufffe"]), "controls \x01")
    root = ElementTree.fromstring(str(text))
    assert root.get("aria-label") == "controls "
    assert [e.text for e in root.iter() if e.tag.endswith("title")] == ["abcd"]


def test_half_a_character_does_not_break_the_drawing() -> None:
    assert "caf?" in drawn(dots([f"k{TIP}caf\udce9"]), "names of files")
