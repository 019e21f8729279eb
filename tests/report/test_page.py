"""The page as text: complete, escaped, and silent towards the network."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headstart.errors import RecordsError
from headstart.report import page, words
from headstart.report.content import ReportContent

EVIL = "<script>alert(1)</script>"


class Outline(HTMLParser):
    """What a browser would see: elements, links, texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.elements: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.elements.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        if tag == "a":
            self.links.append(named["href"])
        self.addresses += [named[name] for name in ("src", "href") if name in named]
        if tag not in {"meta", "link", "img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data.strip())


@pytest.fixture(scope="module")
def html(content: ReportContent) -> str:
    return page.render(content)


@pytest.fixture
def bare(content: ReportContent) -> ReportContent:
    """Content without figures, quick to render."""
    return replace(
        content,
        trials=content.trials.assign(state="failed", error="no number"),
        summary={"question": "?", "strategies": [], "comparisons": [], "test_reads": 1},
        curves=content.curves.iloc[:0],
        confusions=[],
        mistakes=[],
        examples=[],
    )


def test_nothing_is_fetched(html: str) -> None:
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", html)) <= namespaces
    seen = Outline(html)
    assert seen.addresses
    assert all(address.startswith(("data:", "#")) for address in seen.addresses)
    assert set(re.findall(r"url\((\w+:)", html)) == {"data:"}
    assert "@import" not in html


def test_the_policy_allows_the_one_script_and_no_other(html: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == rules["font-src"] == "data:"
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_sections_stand_in_order_and_links_lead_somewhere(html: str) -> None:
    seen = Outline(html)
    sections = [
        "verdict",
        "trials",
        "differences",
        "label-curve",
        "learning",
        "confusion",
        "mistakes",
        "strategies",
        "source",
        "data",
        "provenance",
    ]
    assert [name for name in seen.ids if name in sections] == sections
    assert len(set(seen.ids)) == len(seen.ids)
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)
    assert seen.open == []


def test_every_figure_has_its_numbers_and_a_sentence(html: str) -> None:
    seen = Outline(html)
    figures = seen.elements.count("figure")
    assert figures >= 5
    assert seen.elements.count("figcaption") == seen.elements.count("details") == figures
    assert html.count('role="img"') >= 3 * 2 + 2 * (3 + 3)
    assert not re.search(r'role="img" aria-label=""', html)


def test_the_texts_are_the_contents(html: str, content: ReportContent) -> None:
    seen = Outline(html)
    assert seen.texts["h1"] == [content.question]
    said = " ".join(text for texts in seen.texts.values() for text in texts)
    for entry in content.summary["strategies"]:
        assert f"{100 * entry['accuracy']['mean']:.2f}%" in said
    for value in content.provenance.values():
        assert value in said
    assert "60 times" in said
    assert html.count("data:image/png;base64,") == len(content.mistakes) + len(content.examples)


def test_what_users_wrote_is_never_markup(
    content_with: Callable[..., ReportContent], html: str
) -> None:
    classes = (EVIL, "قميص", "鞄", "a&b", "\"'><img src=x onerror=alert(1)>", *"fghij")
    evil = content_with(
        names=("scratch", EVIL, "frozen\x00"),
        budgets=(50,),
        seeds=2,
        classes=classes,
        title=EVIL,
        question=f"Is {EVIL} safe?",
        warnings=(EVIL,),
        provenance={EVIL: EVIL},
        generated=EVIL,
    )
    text = page.render(evil)
    assert text.count("<script") == html.count("<script") == 1
    assert "<img src=x" not in text
    seen = Outline(text)
    assert f"Is {EVIL} safe?" in seen.texts["h1"]
    assert EVIL in seen.texts["th"]
    assert "鞄" in seen.texts["th"]


def test_a_note_is_told_unless_the_sentence_tells_it(bare: ReportContent) -> None:
    entry = {
        "a": "frozen",
        "b": "scratch",
        "labels": 50,
        "pairs": 3,
        "difference": None,
        "low": None,
        "high": None,
        "p_value": None,
        "relative_error_reduction": None,
        "verdict": "undecided",
        "sentence": "It is open: three pairs are few.",
        "note": "three pairs are few",
    }
    summary = dict(bare.summary, comparisons=[entry, entry | {"note": "ask again"}])
    html = page.render(replace(bare, summary=summary))
    assert html.count("three pairs are few") == 2
    assert html.count('<p class="aside" dir="auto">ask again</p>') == 1


def test_warnings_stand_before_the_verdict(bare: ReportContent) -> None:
    warning = "The source was never trained."
    html = page.render(replace(bare, warnings=(warning,)))
    assert html.index(warning) < html.index('id="verdict"')
    assert 'class="warning"' not in page.render(bare)


def test_a_study_without_a_finished_trial_still_has_a_page(bare: ReportContent) -> None:
    html = page.render(bare)
    assert "Nothing could be compared" in html
    assert "no number" in html
    assert 'href="#failed"' in html
    assert "<strong>once</strong>" in html
    assert 'id="mistakes"' not in html


def test_write_replaces_the_file_and_leaves_nothing_else(
    bare: ReportContent, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert page.write(replace(bare, question="caf\udce9?"), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_write_says_what_to_do_when_the_folder_is_missing(
    bare: ReportContent, tmp_path: Path
) -> None:
    with pytest.raises(RecordsError, match="No such file or directory; choose a folder that exist"):
        page.write(bare, tmp_path / "nowhere" / "report.html")


def test_small_pictures_keep_their_pixels(content: ReportContent) -> None:
    assert page.is_small(content.examples[0].png)
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (224).to_bytes(4, "big")
    assert not page.is_small(header)


def test_large_studies_stay_light(html: str) -> None:
    assert len(html) < 700_000
    assert words.NO_BREAK in html
