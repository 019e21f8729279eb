"""The league: every strategy on several real tasks, and what the numbers allow to be said.

    .venv/bin/python benchmarks/league/league.py --write

Trains what is missing and prints the tables; `--write` puts them into docs/strategies.md. Each
task is a study folder below `--output`, so a command that was killed goes on where it stopped.
`--tables` trains nothing and tells of the tasks that are done.

All strategies of a task share seeds, splits, order and heads, so every difference is paired. Three
families of comparisons are made, each corrected as one (Holm, simultaneous intervals): at each
budget all against `scratch`, and all against the one with the highest accuracy; over all tasks and
budgets together, Co-Tuning and L2-SP against plain fine-tuning. The tables are made
in league_tables.py; what the page says around them is page.md.
"""

import argparse
import datetime
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from league_tables import chooses, league_table, leagues, published, standings

from headstart.errors import RecordsError
from headstart.statistics.multiplicity import pairs_needed
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.records import Records
from headstart.study.results import StudyRecords
from headstart.study.spec import Study, study_from

HERE = Path(__file__).parent
TASKS = ("clothing", "digits", "animals", "cats_or_dogs")
PAGE = HERE.parents[1] / "docs" / "strategies.md"
START, END = "<!-- league: made by benchmarks/league/league.py -->", "<!-- end of the league -->"


def study_of(task: str) -> Study:
    """The study of a task: what all tasks share, and its own."""
    shared = tomllib.loads((HERE / "strategies.toml").read_text(encoding="utf-8"))
    values = merged(shared, tomllib.loads((HERE / f"{task}.toml").read_text(encoding="utf-8")))
    take = values.pop("take", None)
    if take is not None:
        values["strategy"] = {name: values["strategy"][name] for name in take}
    return study_from(values, where=task)


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Tables inside each other, the second's values over the first's."""
    found = dict(shared)
    for key, value in own.items():
        inside = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if inside else value
    return found


def first_step(all_records: Mapping[str, StudyRecords]) -> str:
    """What Holm's first step asks of the seeds, task by task."""
    told: dict[str, list[str]] = {}
    for task, records in all_records.items():
        count, seeds = len(records.study.strategy) - 1, len(records.study.study.seeds)
        needed = pairs_needed(count, 1 - records.confidence)
        words = f"{seeds} seeds, {count} comparisons, {needed} seeds needed"
        told.setdefault(words, []).append(task)
    each = [f"{', '.join(tasks)}: {words}" for words, tasks in told.items()]
    return (
        "Sign flips give their lowest p only when all seeds point the same way. With just the "
        "seeds needed the first claims of a column ask for that, later ones, with fewer "
        f"comparisons left, for less ({'; '.join(each)})."
    )


def validation_pictures(records: StudyRecords) -> str:
    """How many labelled pictures a seed has to choose with."""
    with closing(Records.open(records.directory, create=False)) as opened:
        counts = sorted({len(labels) for _, labels in opened.valid_labels().values()})
    return " or ".join(map(str, counts))


def page(all_records: Mapping[str, StudyRecords]) -> str:
    """Everything, in Markdown."""
    told = [league for task, records in all_records.items() for league in leagues(records, task)]
    entered = {n: s for records in all_records.values() for n, s in records.study.strategy.items()}
    choosers = [name for name, strategy in entered.items() if chooses(strategy)]
    missing = [task for task in TASKS if task not in all_records]
    seeds = {task: len(records.study.study.seeds) for task, records in all_records.items()}
    text = (HERE / "page.md").read_text(encoding="utf-8")
    return text.strip().format(
        today=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        done=len(all_records),
        tasks=len(TASKS),
        names=", ".join(all_records),
        unfinished=f"; unfinished: {', '.join(missing)}" if missing else "",
        seeds=listed(seeds),
        standings="\n".join(standings(told, choosers)),
        validation=listed({t: validation_pictures(each) for t, each in all_records.items()}),
        choosers=", ".join(f"`{name}`" for name in choosers),
        holm=first_step(all_records),
        reads=listed({task: records.counted_reads for task, records in all_records.items()}),
        published="\n".join(published(all_records)),
        tables="\n".join(line for league in told for line in league_table(league)).strip(),
    )


def listed(values: Mapping[str, object]) -> str:
    """Each task with its value."""
    return ", ".join(f"{task} {value}" for task, value in values.items())


def written_into(text: str, made: str) -> str:
    """A page with what stands between the markers replaced; put at its end where there are none."""
    if START not in text:
        return f"{text.rstrip()}\n\n## The league\n\n{START}\n{made}\n{END}\n"
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{made}\n{END}{rest.split(END, 1)[1]}"


def done(output: Path, tasks: Sequence[str]) -> dict[str, StudyRecords]:
    """The records of the tasks that are done; tells how far the others are."""
    found = {}
    for task in tasks:
        try:
            records = StudyRecords.read(output / task)
        except RecordsError as error:
            print(f"{task}: not begun ({'; '.join(error.problems)})")
            continue
        to_come = sum(row["state"] in ("waiting", "running") for row in records.rows)
        if records.answers and not to_come:
            found[task] = records
        else:
            print(f"{task}: {to_come} of {len(records.rows)} trials are still to be done or scored")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("studies/league"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--jobs", type=int, default=None, help="trials at a time")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    given = parser.parse_args()
    for task in () if given.tables else given.tasks:
        with study_folder(given.output / task) as folder:  # and no report: `headstart report`
            print(f"training {task}, in {folder}", flush=True)
            train_and_score(study_of(task), folder, jobs=given.jobs)
    records = done(given.output, given.tasks)
    if not records:
        return
    made = page(records)
    print(made)
    if given.write:
        draft = PAGE.with_suffix(".draft")
        draft.write_text(written_into(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
        draft.replace(PAGE)


if __name__ == "__main__":
    main()
