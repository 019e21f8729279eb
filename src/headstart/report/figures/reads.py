"""The ledger: every reading of the test split, and what the readings cost."""

from headstart.report import words
from headstart.report.content import ReportContent
from headstart.report.figures._base import Figure, Panel
from headstart.report.tables import Column, Table, table

METHOD = (
    "Every reading is written down before the labels are handed out; each entry holds the hash of "
    "the one before it, so that none can be changed or dropped unnoticed. The looks of a design "
    "that was declared before the first seed count as one reading, for its levels already pay for "
    "them. Beyond the budget each interval gets alpha divided by the readings (Bonferroni)."
)


def reads(content: ReportContent) -> Table | None:
    """The figure's record: a row a reading; None when nothing was read."""
    ledger = content.summary.get("ledger") or {}
    rows = [
        [
            words.whole(entry["number"] + 1),
            str(entry["when"]).replace("T", " ").replace("Z", " UTC"),
            str(entry["reader"]),
            str(entry["purpose"]),
            words.test_split(str(entry["split"])),
            str(entry["digest"])[:12],
        ]
        for entry in ledger.get("entries", ())
    ]
    if not rows:
        return None
    columns: list[str | Column] = [
        "Reading",
        *(Column(name, numeric=False) for name in ("When", "By", "For", "Split", "Link")),
    ]
    return table("Every reading of the test labels", columns, rows, METHOD)


def figure(content: ReportContent) -> Figure | None:
    """The ledger as a sentence with its list, or None when nothing was read."""
    numbers = reads(content)
    if numbers is None:
        return None
    ledger = content.summary["ledger"]
    said = str(ledger["sentence"])
    readings = int(ledger.get("readings", len(ledger["entries"])))
    looks = ""
    if readings != ledger["counted"]:
        looks = (
            f" There were {words.counted(readings, 'reading')} in all; the looks that were "
            "declared beforehand count as one."
        )
    return Figure(
        slug="ledger",
        title="How often the test pictures were looked at",
        reading=(
            f"{said[:1].upper()}{said[1:]}.{looks} Each reading is one chance to be lucky: the "
            f"more there are, the wider the intervals must be. After {ledger['limit']} readings "
            "fresh test pictures are needed."
        ),
        panels=(Panel("", ()),),
        numbers=numbers,
    )
