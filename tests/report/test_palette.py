"""The colours can be read: WCAG 2.2's contrast, computed."""

from itertools import pairwise

import pytest

from headstart.report import palette
from headstart.report.figures.confusion import STRONGEST

TEXT = [palette.INK, palette.MUTED, palette.BASELINE, *palette.SERIES, *palette.VERDICT.values()]
Rgb = tuple[float, float, float]


def rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def luminance(colour: Rgb) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Rgb, other: Rgb) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def over(colour: str, ground: str, opacity: float) -> Rgb:
    mixed = [opacity * c + (1 - opacity) * g for c, g in zip(rgb(colour), rgb(ground), strict=True)]
    return mixed[0], mixed[1], mixed[2]


def test_the_formula_knows_black_on_white() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(rgb("#777777"), (1, 1, 1)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("pair", TEXT)
def test_text_is_read_on_paper_and_card(pair: tuple[str, str], scheme: int) -> None:
    for ground in (palette.PAPER, palette.CARD):
        assert contrast(rgb(pair[scheme]), rgb(ground[scheme])) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1])
def test_names_are_read_on_the_margin_band(scheme: int) -> None:
    assert contrast(rgb(palette.MUTED[scheme]), rgb(palette.BAND[scheme])) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("pair", [palette.BASELINE, *palette.SERIES])
def test_ink_is_read_on_the_strongest_tint(pair: tuple[str, str], scheme: int) -> None:
    cell = over(pair[scheme], palette.PAPER[scheme], STRONGEST)
    assert contrast(rgb(palette.INK[scheme]), cell) >= 4.5


def test_every_colour_has_one_partner() -> None:
    light = [pair[0] for pair in palette.PAIRS]
    assert len(set(light)) == len(light)


def test_each_strategy_has_its_own_colour_and_the_baseline_is_grey() -> None:
    names = [f"s{number}" for number in range(len(palette.SERIES))]
    colours = palette.strategy_colours([*names, "scratch"], "scratch")
    assert colours["scratch"] == palette.BASELINE
    assert len(set(colours.values())) == len(colours)
    assert next(iter(colours)) == "scratch"
    assert all(a != b for a, b in pairwise(colours.values()))
    many = palette.strategy_colours([f"s{number}" for number in range(30)], "s0")
    assert len(many) == 30


def test_style_rules_map_light_to_dark_on_dark_screens_only() -> None:
    rules = palette.scheme_css()
    assert rules.startswith("@media screen and (prefers-color-scheme:dark){")
    light, dark = palette.SERIES[0]
    assert f'.chart [fill="{light}"]{{fill:{dark}}}' in rules
    assert f'.chart [stroke="{light}"]{{stroke:{dark}}}' in rules
    assert palette.colour_variable(palette.SERIES[2]) == "var(--series-2)"
    assert f"--series-2:{palette.SERIES[2][0]};" in palette.variables_css()
