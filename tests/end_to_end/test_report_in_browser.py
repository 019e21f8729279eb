"""The report in a real browser: silent, complete, legible at both widths, equal to its content."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from headstart.report import page as report_page
from headstart.report import words
from headstart.report.content import ReportContent

DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE_MS = 100_000  # A busy machine is no failure.
EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(scope="module")
def content(make_content: Callable[..., ReportContent]) -> ReportContent:
    """Content with names that would be markup if they were not escaped."""
    return make_content(classes=(EVIL, *"bcdefghij"), warnings=(EVIL,))


@pytest.fixture(scope="module")
def report(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_page.write(content, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Visit]:
    """Opens the report and fails on anything that a reader should never see."""
    troubles: list[str] = []
    opened: list[Page] = []

    def open_page(size: tuple[int, int], scheme: str = "light") -> Page:
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url == report.as_uri() or request.url.startswith("data:")
                else troubles.append(f"request: {request.url}")
            ),
        )
        page.goto(report.as_uri())
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.close()
    assert troubles == []


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        (DESKTOP, "light"),
        ((768, 1024), "light"),
        (PHONE, "light"),
        (PHONE, "dark"),
        ((320, 640), "dark"),
    ],
)
def test_nothing_sticks_out_and_every_chart_is_seen(
    visit: Visit, size: tuple[int, int], scheme: str
) -> None:
    page = visit(size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    figures = page.locator("figure").count()
    assert figures >= 5
    assert page.locator("figure:has(.chart:visible)").count() == figures
    for chart in page.locator(".chart:visible svg").all():
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 150
        assert box["x"] + box["width"] <= size[0] + 1


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_text_in_charts_is_large_enough_to_read(visit: Visit, size: tuple[int, int]) -> None:
    page = visit(size)
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll('svg text')]
            .filter(text => text.checkVisibility() && text.textContent.trim())
            .map(text => parseFloat(getComputedStyle(text).fontSize)
                * text.getScreenCTM().a || 99)
            .filter(size => size > 0))"""
    )
    assert smallest >= 8


def test_the_numbers_shown_are_the_contents(visit: Visit, content: ReportContent) -> None:
    page = visit(DESKTOP)
    assert page.locator("h1").inner_text() == content.question
    assert page.locator(".warning").inner_text() == f"Warning {EVIL}"
    said = page.locator(".verdicts li")
    assert said.count() == len(content.comparisons)
    for place, comparison in enumerate(content.comparisons):
        assert comparison.verdict in (said.nth(place).get_attribute("class") or "")
        assert comparison.sentence in said.nth(place).inner_text()
    rows = page.locator("#strategies tbody tr")
    for place, result in enumerate(content.results):
        cells = rows.nth(place).locator("th,td").all_inner_texts()
        mean = words.percent(result.accuracy.value).removesuffix("%")
        assert cells[0].strip() == result.name
        assert cells[3].startswith(f"{mean} ± ")
        assert cells[5] == f"{result.trainable_parameters:,} of 275,808"
    drawn = page.locator("#trials .wide svg text").all_text_contents()
    assert {words.percent(r.accuracy.value) for r in content.results} <= set(drawn)
    split = f"Split: {content.provenance['split']}."
    assert page.locator(".reads").inner_text() == f"{split} The test labels were read 60 times."
    assert EVIL in page.locator("#data tbody th").all_inner_texts()


def test_the_dots_lie_where_the_accuracies_are(visit: Visit, content: ReportContent) -> None:
    page = visit(DESKTOP)
    dots = page.locator("#trials .wide circle[data-tip]")
    assert dots.count() == len(content.finished)
    found = page.evaluate(
        """() => [...document.querySelectorAll('#trials .wide circle[data-tip]')]
            .map(dot => [dot.dataset.tip, dot.getBoundingClientRect().x])"""
    )
    told = [(float(re.findall(r"([\d.]+)%", tip)[0]), x) for tip, x in found[: len(found) // 2]]
    (one, left), (other, right) = min(told), max(told)
    per_point = (right - left) / (other - one)
    for accuracy, x in told:
        assert x == pytest.approx(left + (accuracy - one) * per_point, abs=0.6)


def test_pointing_at_a_dot_tells_its_trial_and_lights_its_seed(visit: Visit) -> None:
    page = visit(DESKTOP)
    page.locator("#trials .wide circle[data-key='seed 3']").nth(1).hover()
    told = page.locator(".tip")
    expect(told).to_have_text(re.compile(r"^frozen, seed 3: [\d.]+%$"), timeout=PATIENCE_MS)
    lit = page.locator(".lit").evaluate_all("marks => marks.map(mark => mark.dataset.key)")
    assert len(lit) > 6
    assert set(lit) == {"seed 3"}
    page.mouse.move(2, 2)
    expect(page.locator(".lit")).to_have_count(0, timeout=PATIENCE_MS)
    expect(told).to_be_hidden(timeout=PATIENCE_MS)


def test_tabs_change_by_pointer_and_by_key(visit: Visit) -> None:
    page = visit(PHONE)
    first, second = page.locator("#confusion .tab").all()
    expect(second).to_be_visible(timeout=PATIENCE_MS)
    expect(first).to_be_hidden(timeout=PATIENCE_MS)
    page.locator("#confusion label").first.click()
    expect(first).to_be_visible(timeout=PATIENCE_MS)
    expect(second).to_be_hidden(timeout=PATIENCE_MS)
    page.keyboard.press("ArrowRight")
    expect(second).to_be_visible(timeout=PATIENCE_MS)
    expect(first).to_be_hidden(timeout=PATIENCE_MS)


def test_dark_screens_get_dark_paper_and_light_marks(visit: Visit) -> None:
    colours = """() => [
        getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('#trials .wide circle[fill="#0a66c2"]')).fill]"""
    assert visit(DESKTOP, "light").evaluate(colours) == ["rgb(253, 252, 250)", "rgb(10, 102, 194)"]
    assert visit(DESKTOP, "dark").evaluate(colours) == ["rgb(21, 23, 27)", "rgb(111, 179, 255)"]


def test_paper_shows_every_tab_in_light_colours(visit: Visit) -> None:
    page = visit(DESKTOP, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    tabs = page.locator(".tab")
    assert all(tabs.nth(k).is_visible() for k in range(tabs.count()))
    assert not page.locator(".contents").is_visible()
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(31, 35, 40)"
    assert len(page.pdf()) > 20_000
