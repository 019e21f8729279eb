"""The report's colours: one for each strategy, in light and in dark.

Charts are drawn once, in the light colours. In the page a style sheet replaces each light colour
by its dark partner, so that one drawing serves both schemes and paper. All text colours reach a
contrast of 4.5 : 1 on their paper (WCAG AA), which a test computes.
"""

from collections.abc import Sequence

PAPER = ("#fdfcfa", "#15171b")
CARD = ("#ffffff", "#1c1f24")
INK = ("#1f2328", "#e8e6e1")
MUTED = ("#5d636d", "#a2a8b3")
FAINT = ("#b9b7b0", "#565c66")
GRID = ("#e8e5df", "#2b2f36")
BAND = ("#ece5d3", "#35322a")

BASELINE = ("#5a6270", "#a9b2c0")
SERIES = (
    ("#0a66c2", "#6fb3ff"),
    ("#b8480a", "#ff9f66"),
    ("#8b2fa8", "#d89cf0"),
    ("#0b7a63", "#4fd1ae"),
    ("#8a6100", "#e2b53f"),
    ("#c02458", "#ff8bb0"),
    ("#0d7088", "#5fcfe6"),
)
VERDICT = {
    "better": ("#176b3c", "#63d08f"),
    "worse": ("#b3261e", "#ff8f86"),
    "equivalent": ("#3c5a8c", "#9dbcf2"),
    "undecided": ("#7a5b00", "#dcb44b"),
}

PAIRS = (PAPER, CARD, INK, MUTED, FAINT, GRID, BAND, BASELINE, *SERIES, *VERDICT.values())


def strategy_colours(strategies: Sequence[str], baseline: str) -> dict[str, tuple[str, str]]:
    """A colour pair (light, dark) for each strategy: grey for the baseline, else in order.

    With more strategies than colours they come round again; names stand beside every mark.
    """
    others = [name for name in strategies if name != baseline]
    colours = {name: SERIES[number % len(SERIES)] for number, name in enumerate(others)}
    return {baseline: BASELINE} | colours


def scheme_css() -> str:
    """Style rules that turn a chart's light colours into dark ones, on dark screens only."""
    rules = [
        f'.chart [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in PAIRS
        for attribute in ("fill", "stroke")
    ]
    return "@media screen and (prefers-color-scheme:dark){" + "".join(rules) + "}"


def variables_css() -> str:
    """The colours as CSS variables, light by default, dark on dark screens."""
    names = {
        "paper": PAPER,
        "card": CARD,
        "ink": INK,
        "muted": MUTED,
        "faint": FAINT,
        "grid": GRID,
        "band": BAND,
        "baseline": BASELINE,
        **{f"series-{number}": pair for number, pair in enumerate(SERIES)},
        **VERDICT,
    }
    light = "".join(f"--{name}:{pair[0]};" for name, pair in names.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in names.items())
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def colour_variable(pair: tuple[str, str]) -> str:
    """The CSS variable that holds a strategy's colour, for example "var(--series-0)"."""
    return "var(--baseline)" if pair == BASELINE else f"var(--series-{SERIES.index(pair)})"
