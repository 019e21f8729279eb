"""Commands that take a study, or the folder of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.application import app
from headstart.cli.options import (
    AsJson,
    DiskLimit,
    Fresh,
    Jobs,
    Labels,
    MemoryLimit,
    OutputFolder,
    RetryFailed,
    Seeds,
    StudyFile,
    StudyFolder,
    ThreadLimit,
    budgets,
    expect_workers,
    limits_from,
    may_have_workers,
)
from headstart.errors import StudyError
from headstart.study.progress import Progress

if TYPE_CHECKING:
    from headstart.report.results import Results


@app.command()
def compare(
    study_file: StudyFile,
    seeds: Seeds = None,
    labels: Labels = None,
    output: OutputFolder = None,
    fresh: Fresh = False,
    retry_failed: RetryFailed = False,
    jobs: Jobs = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided", help="Add seeds, at declared looks, until every claim is decided."
        ),
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(help="The most seeds for --until-decided.  [default: 40]")
    ] = None,
    open_ended: Annotated[
        bool,
        typer.Option(
            "--open-ended", help="--until-decided with no last seed (e-values; needs more of them)."
        ),
    ] = False,
    margin: Annotated[
        float | None, typer.Option(help="Differences up to so many points do not matter.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="The chance of a false claim that is put up with.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard's event files.")
    ] = False,
    naive: Annotated[
        bool, typer.Option("--naive", help="Share nothing between trials: slower, for comparison.")
    ] = False,
    memory: MemoryLimit = None,
    disk: DiskLimit = None,
    threads: ThreadLimit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")
    ] = False,
) -> None:
    """Do a study's trials and say what the numbers allow.

    The same command goes on where it was stopped. Exit code 0: fine; 1: some trials failed; 2: bad
    input; 130: interrupted.
    """
    from headstart import console

    _refuse_idle(until_decided, seeds, max_seeds, open_ended)
    if fresh and retry_failed:
        raise StudyError("--retry-failed has no effect with --fresh: leave one of them out")
    if tensorboard:
        from headstart.report.event_files import need_tensorboard

        need_tensorboard()
    results = _compared(
        study_file,
        output,
        seeds=seeds,
        labels=budgets(labels),
        margin=None if margin is None else margin / 100,
        alpha=alpha,
        fresh=fresh,
        retry_failed=retry_failed,
        jobs=jobs,
        max_seeds=(max_seeds or 40) if until_decided and not open_ended else None,
        open_ended=open_ended,
        naive=naive,
        memory=memory,
        disk=disk,
        threads=threads,
    )
    written = results.event_files() if tensorboard else None
    if as_json:
        console.print_json(results.summary)
    else:
        console.print_results(results)
        if written is not None:
            console.print_line(f"curves: tensorboard --logdir {written}")
    raise typer.Exit(1 if results.failed else 0)


@app.command()
def worth(
    study_file: StudyFile,
    labels: Labels = None,
    seeds: Seeds = None,
    output: OutputFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say how many labels transfer saves: ×k with an interval. Trains what is missing first."""
    results = _compared(
        study_file, output, needs_one_test_split="worth", seeds=seeds, labels=budgets(labels)
    )

    from headstart import console
    from headstart.console import statistics
    from headstart.report.label_worth import label_worths

    worths = label_worths(results.records)
    if as_json:
        console.print_json(statistics.worths_data(worths))
    else:
        statistics.print_worths(worths)
        console.print_line(f"the curves: {results.directory / 'report.html'}")


@app.command("map")
def draw_map(
    study_file: StudyFile,
    seeds: Annotated[
        int | None,
        typer.Option(help="Use the seeds 0 to N − 1; each further class split adds 1,000 to them."),
    ] = None,
    labels: Labels = None,
    output: OutputFolder = None,
    fresh: Fresh = False,
    retry_failed: RetryFailed = False,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Draw the map of layer transfer: what each layer is worth, copied, frozen or fine-tuned.

    At every cut, the lower layers come from the source, or as a control from a network trained on
    the same task. The same command goes on where it was stopped. Exit code 1: some trials failed.
    """
    from headstart import console

    expect_workers(jobs, study_file=study_file)
    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart import api
        from headstart.console.depth_map import map_data, print_map
        from headstart.study import spec

        study = spec.with_settings(spec.load_study(study_file), seeds=seeds, labels=budgets(labels))
        found = api.draw_map(
            study,
            output or Path("studies") / study_file.stem,
            fresh=fresh,
            retry_failed=retry_failed,
            jobs=jobs,
            listener=listener,
        )
    if as_json:
        console.print_json(map_data(found))
    else:
        print_map(found)
    raise typer.Exit(1 if found.failed else 0)


@app.command()
def power(
    study_file: StudyFile,
    difference: Annotated[
        float | None,
        typer.Option(help="The true difference to ask about, in points.  [default: the one seen]"),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Pilot with the seeds 0 to N − 1.")] = None,
    output: OutputFolder = None,
    as_json: AsJson = False,
) -> None:
    """From a pilot: how many seeds and test pictures would decide. Trains what is missing first."""
    results = _compared(study_file, output, needs_one_test_split="power", seeds=seeds)

    from headstart import console
    from headstart.console import statistics

    plans = statistics.power_plans(
        results.records, None if difference is None else difference / 100
    )
    if as_json:
        console.print_json(statistics.plans_data(plans))
    else:
        statistics.print_plans(plans)


@app.command()
def ledger(
    directory: StudyFolder,
) -> None:
    """Show every reading of the test split: when, by what, how many, and what it cost."""
    from headstart.console import statistics
    from headstart.report.results import Results

    statistics.print_ledger(Results.read(directory).records)


@app.command()
def report(
    directory: StudyFolder,
    output: Annotated[
        Path | None, typer.Option(help="Where to write it.  [default: DIR/report.html]")
    ] = None,
) -> None:
    """Draw a study's report again from its records."""
    from headstart import console
    from headstart.report.results import Results

    results = Results.read(directory)
    console.print_line(f"report: {results.report(output)}")


@app.command()
def show(study_file: StudyFile) -> None:
    """Show the networks layer by layer, and what each phase of each strategy trains."""
    from headstart import console

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart.study.compare import open_workplace
        from headstart.study.depth_map import as_compared
        from headstart.study.layout import layout
        from headstart.study.spec import load_study

        study = as_compared(load_study(study_file), listener)
        shown = layout(open_workplace(study, listener))
    console.print_layout(shown)
    if study.split.folds is not None:
        console.print_line(console.folds_words(study.split.folds, study.split.repeats))


@app.command()
def explain(
    study_file: StudyFile,
    jobs: Jobs = None,
    memory: MemoryLimit = None,
    disk: DiskLimit = None,
    threads: ThreadLimit = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure this machine anew, and forget what jobs took."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a study will do: its jobs, what they share, and the cost beside the naive one.

    Steps are timed once on this machine and remembered in the cache; what jobs took corrects them.
    """
    from headstart import console

    limits = limits_from(memory, disk, threads)
    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart.console.engine import print_explanation
        from headstart.study.compare import open_workplace
        from headstart.study.depth_map import as_compared
        from headstart.study.explain import explain as explanation
        from headstart.study.spec import load_study

        study = as_compared(load_study(study_file), listener)
        workplace = open_workplace(study, listener, limits=limits)
        listener(Progress("taking a few steps of each kind"))
        prepared = may_have_workers(jobs, memory, threads)
        found = explanation(workplace, jobs, anew=calibrate, prepared=prepared)
    if as_json:
        console.print_json(found.to_dict())
    else:
        print_explanation(found)


@app.command()
def rates(
    study_file: StudyFile,
    seed: Annotated[
        int | None, typer.Option(help="Whose split and source.  [default: the first seed]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate for each strategy, from training pictures alone.

    A range test of the first phase, on copies; a source is trained first where the study trains
    it. Nothing is kept.
    """
    from headstart import console
    from headstart.console.strategies import print_rates, rates_data

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart.study.rates import first_rates
        from headstart.study.spec import load_study

        found = first_rates(load_study(study_file), seed, listener)
    if as_json:
        console.print_json(rates_data(found))
    else:
        print_rates(found)


def _compared(
    study_file: Path,
    output: Path | None,
    *,
    needs_one_test_split: str | None = None,
    seeds: int | None = None,
    labels: list[int | str] | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    jobs: int | None = None,
    memory: str | None = None,
    disk: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> "Results":
    """Compare a study, showing how it goes on; options are those of `headstart.compare`."""
    from headstart import console

    expect_workers(jobs, memory, threads, study_file=study_file)
    limits = limits_from(memory, disk, threads)
    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart import api
        from headstart.study import spec

        study = spec.load_study(study_file)
        if needs_one_test_split is not None:
            spec.needs_one_test_split(study, needs_one_test_split)
        study = spec.with_settings(study, seeds=seeds, labels=labels, margin=margin, alpha=alpha)
        folder = output or Path("studies") / study_file.stem
        return api.compare(study, folder, jobs=jobs, limits=limits, listener=listener, **options)


def _refuse_idle(
    until_decided: bool, seeds: int | None, max_seeds: int | None, open_ended: bool
) -> None:
    """Refuse options that would have no effect."""
    if open_ended and not until_decided:
        raise StudyError("--open-ended has no effect without --until-decided: add it")
    if open_ended and max_seeds is not None:
        raise StudyError("--max-seeds declares an end, --open-ended none: leave one of them out")
    if until_decided and seeds is not None:
        raise StudyError("--seeds has no effect with --until-decided: give --max-seeds")
    if not until_decided and max_seeds is not None:
        raise StudyError("--max-seeds has no effect without --until-decided: give --seeds")
