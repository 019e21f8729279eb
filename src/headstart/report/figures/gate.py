"""What was tried beyond the budget of readings, through the ladder or thresholdout."""

from headstart.report import words
from headstart.report.content import ReportContent, budget
from headstart.report.figures._base import Figure, Panel
from headstart.report.tables import NAME, Column, Table, table

METHODS = {
    "ladder": (
        "The ladder (Blum and Hardt 2015) tells the accuracy of a try only where it beats the best "
        "before it by more than one standard error of their paired difference. "
    ),
    "thresholdout": (
        "Thresholdout (Dwork and others 2015) repeats the validation accuracy as long as the test "
        "accuracy is within a noisy threshold of 4/√n of it, and else tells the test accuracy with "
        "noise. "
    ),
}
COUNTED = (
    "All sequences of answers that could have been given are counted, and alpha is divided by "
    "their number, so that the interval holds whatever was tried in answer to what was told."
)


def answers(content: ReportContent) -> Table | None:
    """The figure's record: a row a try; None where no gate was asked."""
    gate = content.summary.get("gate")
    if not gate:
        return None
    rows = [
        [
            str(one["strategy"]),
            words.budget(budget(one["labels"])),
            words.whole(len(one["seeds"])),
            str(one["sentence"]).partition(": ")[2],
        ]
        for one in gate["tries"]
    ]
    columns: list[str | Column] = [NAME, "Labels", "Seeds", Column("Answer", numeric=False)]
    return table("Tries through the gate", columns, rows, METHODS[gate["gate"]] + COUNTED)


def figure(content: ReportContent) -> Figure | None:
    """The gate's answers as sentences with their list, or None where none was asked."""
    numbers = answers(content)
    if numbers is None:
        return None
    gate = content.summary["gate"]
    said = " ".join(f"{one['sentence']}." for one in gate["statements"])
    return Figure(
        slug="gate",
        title="What was tried after the budget was spent",
        reading=(
            f"{said or 'Nothing was better than the best before it.'} The test pictures had been "
            "read as often as costs nothing, so these tries were asked through a gate that tells "
            "little: their accuracies are in no other figure."
        ),
        panels=(Panel("", ()),),
        numbers=numbers,
    )
