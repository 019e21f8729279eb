"""How a search went: the lowest validation loss so far, search trial by search trial."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.report import words
from headstart.report.content import Budget, ReportContent, budget, budget_order
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Figure, Panel, small_multiple
from headstart.report.figures.learning import epoch_ticks
from headstart.report.scales import Extent, apart, extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, SEED, Column, Table, table

HEIGHT = 200
LEFT, RIGHT = 44, 96


class Progress(NamedTuple):
    """How the searches at one label budget went.

    Attributes:
        labels: The label budget.
        curve: Columns `strategy, trial` (from 1) and `loss`: the lowest so far, a mean over seeds
            where each searched for itself; without the trials before the first that ended well.
    """

    labels: Budget
    curve: pd.DataFrame


def progress(content: ReportContent) -> tuple[Progress, ...]:
    """The figure's record, by label budget; empty where nothing was searched."""
    told = content.summary.get("search")
    rows = [
        (budget(one["labels"]), str(one["strategy"]), trial, np.nan if loss is None else loss)
        for one in (told or {"found": []})["found"]
        for trial, loss in enumerate(one["best_so_far"], 1)
    ]
    points = pd.DataFrame(rows, columns=["labels", "strategy", "trial", "loss"]).dropna()
    found = []
    for labels in sorted(dict.fromkeys(points["labels"]), key=budget_order):
        own = points[points["labels"] == labels]
        curve = own.groupby(["strategy", "trial"], sort=False)["loss"].mean().reset_index()
        found.append(Progress(labels, curve))
    return tuple(found)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when nothing was searched."""
    found = progress(content)
    if not found:
        return None
    charts = tuple(
        small_multiple(content, partial(_drawn, own), _alternative(own)) for own in found
    )
    return Figure(
        slug="search",
        title="How the search for settings went",
        reading=(
            "The lowest validation loss so far, after each search trial of a strategy; the first "
            f"takes the settings as they are stated. Every strategy had "
            f"{content.summary['search']['budget']}. A line that still falls at its end would "
            "have found something better with a larger budget."
        ),
        panels=(Panel("", charts),),
        numbers=_numbers(content),
    )


def _alternative(own: Progress) -> str:
    told = [
        f"{name} from {words.decimal(float(line['loss'].iloc[0]))} to "
        f"{words.decimal(float(line['loss'].iloc[-1]))}"
        for name, line in own.curve.groupby("strategy", sort=False)
    ]
    return f"Lowest validation loss so far with {words.labels(own.labels)}: {'; '.join(told)}."


def _numbers(content: ReportContent) -> Table:
    """Every search trial."""
    rows = (
        [
            str(one["strategy"]),
            words.budget(budget(one["labels"])),
            str(one["seed"]),
            f"{number}{' (chosen)' if number - 1 == one['best'] else ''}",
            ", ".join(f"{path} {values[path]:.3g}" for path in one["space"]),
            "failed" if loss is None else words.decimal(loss, 4),
        ]
        for one in content.summary["search"]["found"]
        for number, (values, loss) in enumerate(zip(one["values"], one["losses"], strict=True), 1)
    )
    headings: list[str | Column] = [
        NAME,
        LABELS,
        SEED,
        "Search trial",
        Column("Settings", numeric=False),
        "Validation loss",
    ]
    return table("Every search trial", headings, rows)


def _drawn(own: Progress, drawing: Drawing) -> Spec:
    room = extent(list(own.curve["loss"]), ticks=4)
    most = max(2, int(own.curve["trial"].max()))
    across = [LEFT, drawing.width - RIGHT]
    x = number(
        "trial",
        scale={"domain": [1, most], "range": across, "nice": False},
        axis={"title": "Search trials", "values": epoch_ticks(most), "format": "d", "grid": False},
    )
    ticks = {"values": list(room.ticks), "format": f".{room.digits}f", "title": None}
    y = number("loss", scale=room.scale(HEIGHT, 0), axis=ticks | {"offset": -LEFT + 8})
    tips = [
        f"{name}{TIP}{name}, after {words.counted(trial, 'trial')}: {words.decimal(loss)}"
        for name, trial, loss in own.curve.itertuples(index=False)
    ]
    data, colour = drawing.data(own.curve.assign(tip=tips)), drawing.colour
    line = {"strokeWidth": 2, "interpolate": "step-after"}
    layers = [
        layer(data, "line", line, x=x, y=y, color=colour),
        layer(data, "circle", {"size": 24}, x=x, y=y, color=colour, description=field("tip")),
        _names(drawing, own, room, y),
    ]
    title = {"text": words.labels(own.labels)}
    chart = {"width": drawing.width, "height": HEIGHT, "layer": layers, "title": title}
    return drawing.specification([chart])


def _names(drawing: Drawing, own: Progress, room: Extent, y: Spec) -> Spec:
    """The strategies' names beside the ends of their lines, kept apart."""
    last = own.curve.groupby("strategy", sort=False).tail(1)
    places = apart(list(last["loss"]), 13 * (room.high - room.low) / HEIGHT)
    names = [words.cut(name, 14) for name in last["strategy"]]
    data = drawing.data(last.assign(place=places, name=names))
    look = NAME_LOOK | {"baseline": "middle", "fontSize": 10}
    x, place = at(drawing.width - RIGHT + 8), y | {"field": "place"}
    return layer(data, "text", look, x=x, y=place, text=field("name"), color=drawing.colour)
