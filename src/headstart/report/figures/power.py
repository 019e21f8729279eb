"""What would decide the undecided: the chance of a verdict against seeds, for several test sets."""

from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from headstart.report import palette, words
from headstart.report.content import ReportContent, budget, budget_order
from headstart.report.drawing import Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Figure, Panel, small_multiple
from headstart.report.scales import apart
from headstart.report.svg import TIP
from headstart.report.tables import Column, Table, table

HEIGHT = 200
LEFT, RIGHT = 40, 86
WANTED = 0.8
OPACITIES = (0.45, 0.7, 1.0)

METHOD = (
    "From the variance split of these trials (seeds, test pictures, both) the standard error "
    "follows for any number of seeds and pictures, and from it the chance of the test that a claim "
    "needs; with several comparisons each has alpha divided by their number. The difference seen "
    "is taken for the true one, which it is not: it is a plan and no promise. headstart power "
    "asks about any other difference."
)


class Plan(NamedTuple):
    """What would decide one comparison.

    Attributes:
        title: Which comparison, in words.
        strategy: The strategy asked about.
        difference: The difference that is taken for the true one, a share.
        points: Columns `pictures, seeds, chance`.
        enough: Test pictures → seeds with which a verdict has a chance of 80%, or None.
    """

    title: str
    strategy: str
    difference: float
    points: pd.DataFrame
    enough: dict[int, int | None]


def plans(content: ReportContent) -> tuple[Plan, ...]:
    """The figure's record: one for each undecided comparison whose spread is known."""
    entries = sorted(
        (entry for entry in content.summary["comparisons"] if entry.get("power")),
        key=lambda entry: budget_order(budget(entry["labels"])),
    )
    return tuple(_plan(entry, several=len(content.budgets) > 1) for entry in entries)


def _plan(entry: dict[str, Any], *, several: bool) -> Plan:
    labels = f", {words.labels(budget(entry['labels']))}" if several else ""
    curves = entry["power"]["curves"]
    points = [
        (curve["pictures"], seeds, chance)
        for curve in curves
        for seeds, chance in zip(curve["seeds"], curve["chances"], strict=True)
    ]
    return Plan(
        title=f"{entry['a']} against {entry['b']}{labels}",
        strategy=str(entry["a"]),
        difference=float(entry["power"]["difference"]),
        points=pd.DataFrame(points, columns=["pictures", "seeds", "chance"]),
        enough={curve["pictures"]: curve["enough"] for curve in curves},
    )


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when all is decided or no spread is known."""
    found = plans(content)
    if not found:
        return None
    charts = tuple(
        small_multiple(content, partial(_drawn, plan), _alternative(plan)) for plan in found
    )
    return Figure(
        slug="power",
        title="What would decide it",
        reading=(
            "How likely a verdict is with so many seeds, if the true difference is the one seen: "
            "a line for the test pictures at hand, and for twice and five times as many. Where a "
            "line crosses the dotted one, four studies of five would end with a verdict; a line "
            "that stays below it says that more seeds will not help."
        ),
        panels=(Panel("", charts),),
        numbers=_numbers(found),
    )


def _alternative(plan: Plan) -> str:
    return f"Chance of a verdict for {plan.title}: {'; '.join(_reached(plan))}."


def _reached(plan: Plan) -> list[str]:
    most = int(plan.points["seeds"].max())
    return [
        f"with {pictures:,} test pictures "
        + (f"80% from {seeds} seeds on" if seeds else f"not 80% within {most} seeds")
        for pictures, seeds in plan.enough.items()
    ]


def _numbers(found: tuple[Plan, ...]) -> Table:
    rows = [
        [
            plan.title,
            words.points(plan.difference),
            words.whole(row["pictures"]),
            words.whole(row["seeds"]),
            words.percent(row["chance"], 0),
        ]
        for plan in found
        for row in plan.points.to_dict(orient="records")
    ]
    columns: list[str | Column] = [
        Column("Comparison", numeric=False),
        "Difference in points",
        "Test pictures",
        "Seeds",
        "Chance of a verdict",
    ]
    return table("Chance of a verdict", columns, rows, METHOD)


def _drawn(plan: Plan, drawing: Drawing) -> Spec:
    return drawing.specification([_chart(drawing, plan)])


def _chart(drawing: Drawing, plan: Plan) -> Spec:
    seeds = sorted({float(value) for value in plan.points["seeds"]})
    scale = {"domain": [seeds[0], seeds[-1]], "range": [LEFT, drawing.width - RIGHT]}
    axis = {"values": [seeds[0], 10, 20, 30, seeds[-1]], "format": "d", "title": "Seeds"}
    x = number("seeds", scale=scale | {"nice": False}, axis=axis | {"grid": False})
    shares = {"values": [0, 0.2, 0.4, 0.6, 0.8, 1], "format": ".0%", "title": None}
    up = {"domain": [0, 1], "range": [HEIGHT, 0]}
    y = number("chance", scale=up, axis=shares | {"offset": -LEFT + 8})
    wanted = drawing.data(pd.DataFrame({"chance": [WANTED]}))
    look = {"strokeWidth": 1.5, "strokeDash": [2, 3], "color": palette.INK[0]}
    layers = [layer(wanted, "rule", look, x=at(LEFT), x2=at(drawing.width - RIGHT), y=y)]
    curves = list(plan.points.groupby("pictures"))
    ends = apart([float(own["chance"].iloc[-1]) for _, own in curves], 13 / HEIGHT)
    for opacity, end, (pictures, own) in zip(OPACITIES, ends, curves, strict=False):
        layers += _line(drawing, plan, own, opacity, x, y)
        layers.append(_end(drawing, plan, f"{pictures:,} pictures", end, y))
    title = {
        "text": words.wrapped(plan.title, 40),
        "subtitle": f"if the difference is {words.points(plan.difference)} points",
    }
    return {"width": drawing.width, "height": HEIGHT, "layer": layers, "title": title}


def _end(drawing: Drawing, plan: Plan, text: str, place: float, y: Spec) -> Spec:
    """The number of test pictures beside the end of its curve."""
    data = drawing.data(
        pd.DataFrame({"chance": [place], "strategy": [plan.strategy], "text": [text]})
    )
    look = {"align": "left", "baseline": "middle", "fontSize": 10}
    x = at(drawing.width - RIGHT + 8)
    return layer(data, "text", look, x=x, y=y, text=field("text"), color=drawing.colour)


def _line(
    drawing: Drawing, plan: Plan, own: pd.DataFrame, opacity: float, x: Spec, y: Spec
) -> list[Spec]:
    """One curve."""
    tips = [
        f"{plan.strategy}{TIP}{seeds:.0f} seeds, {pictures:,.0f} pictures: "
        f"{words.percent(chance, 0)}"
        for pictures, seeds, chance in own.itertuples(index=False)
    ]
    data = drawing.data(own.assign(strategy=plan.strategy, tip=tips))
    colour, told = drawing.colour, field("tip")
    line = {"strokeWidth": 2, "opacity": opacity}
    return [
        layer(data, "line", line, x=x, y=y, color=colour),
        layer(
            data, "circle", {"size": 30, "opacity": opacity}, x=x, y=y, color=colour,
            description=told,
        ),
    ]  # fmt: skip
