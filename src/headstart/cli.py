"""The command line: arguments → library calls, no logic.

Whatever is slow to import is imported inside the commands, so that ``--help`` is quick.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from headstart.errors import HeadstartError, StudyError
from headstart.study.progress import Progress

if TYPE_CHECKING:
    from headstart.engine.limits import MachineLimits
    from headstart.report.results import Results


class _Commands(TyperGroup):
    """The commands; Ctrl-C in any of them ends with 130, as shells expect."""

    def invoke(self, ctx: Any) -> Any:
        """Do a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="headstart",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="The catalogue of data sets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")
kept = typer.Typer(
    help="What is kept so that work is done once: decoded pictures and features.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(kept, name="cache")

OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="The study's folder.  [default: studies/NAME]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
ModelFolder = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder that `headstart fit` made.")
]
Pictures = Annotated[
    Path, typer.Argument(metavar="PICTURES", help="A folder, table, archive or .npz file.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="All processes together: 8GB.  [default: none]"),
]
DiskLimit = Annotated[
    str | None,
    typer.Option("--disk", metavar="SIZE", help="Features that are kept: 20GB.  [default: none]"),
]
ThreadLimit = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="All processes together, but for reading picture files.  [default: CPU cores]",
    ),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study's file.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        import headstart

        print(f"headstart {headstart.__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Does a head start help, which one, how much is it worth, and is that real?"""


@app.command()
def compare(
    study_file: StudyFile,
    seeds: Annotated[int | None, typer.Option(help="Use the seeds 0 to N − 1.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label budgets, for example 50,200,all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The study's folder.  [default: studies/NAME]")
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Begin anew; the old folder, with its ledger, is kept, renamed.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed trials once more.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time.  [default: CPU cores]")
    ] = None,
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
        labels=_budgets(labels),
        margin=None if margin is None else margin / 100,
        alpha=alpha,
        fresh=fresh,
        retry_failed=retry_failed,
        jobs=jobs,
        max_seeds=(max_seeds or 40) if until_decided and not open_ended else None,
        open_ended=open_ended,
        naive=naive,
        limits=_limits(memory, disk, threads),
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
    labels: Annotated[
        str | None, typer.Option(help="Label budgets, for example 50,200,all.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Use the seeds 0 to N − 1.")] = None,
    output: OutputFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say how many labels transfer saves: ×k with an interval. Trains what is missing first."""
    results = _compared(
        study_file, output, needs_one_test_split="worth", seeds=seeds, labels=_budgets(labels)
    )

    from headstart import console, console_statistics
    from headstart.report.label_worth import label_worths

    worths = label_worths(results.records)
    if as_json:
        console.print_json(console_statistics.worths_data(worths))
    else:
        console_statistics.print_worths(worths)
        console.print_line(f"the curves: {results.directory / 'report.html'}")


@app.command("map")
def draw_map(
    study_file: StudyFile,
    seeds: Annotated[
        int | None,
        typer.Option(help="Use the seeds 0 to N − 1; each further class split adds 1,000 to them."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label budgets, for example 50,200,all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The map's folder.  [default: studies/NAME]")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; what is there is kept, renamed.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed trials once more.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time.  [default: CPU cores]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the map of layer transfer: what each layer is worth, copied, frozen or fine-tuned.

    At every cut, the lower layers come from the source, or as a control from a network trained on
    the same task. The same command goes on where it was stopped. Exit code 1: some trials failed.
    """
    from headstart import console

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart import api
        from headstart.console.depth_map import map_data, print_map
        from headstart.study import spec

        study = spec.with_settings(
            spec.load_study(study_file), seeds=seeds, labels=_budgets(labels)
        )
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

    from headstart import console, console_statistics

    plans = console_statistics.power_plans(
        results.records, None if difference is None else difference / 100
    )
    if as_json:
        console.print_json(console_statistics.plans_data(plans))
    else:
        console_statistics.print_plans(plans)


@app.command()
def ledger(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")],
) -> None:
    """Show every reading of the test split: when, by what, how many, and what it cost."""
    from headstart import console_statistics
    from headstart.report.results import Results

    console_statistics.print_ledger(Results.read(directory).records)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")],
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
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time.  [default: CPU cores]")
    ] = None,
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

    limits = _limits(memory, disk, threads)
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
        found = explanation(workplace, jobs, anew=calibrate)
    if as_json:
        console.print_json(found.to_dict())
    else:
        print_explanation(found)


@kept.command("list")
def list_kept() -> None:
    """List what is kept, what was used last first."""
    from headstart.console.engine import print_kept
    from headstart.data.picture_cache import PictureCache

    cache = PictureCache.usual()
    print_kept(cache, cache.things())


@kept.command("size")
def size_of_kept() -> None:
    """Print how many bytes are kept."""
    from headstart import console
    from headstart.data.picture_cache import PictureCache

    console.print_line(str(sum(each.bytes for each in PictureCache.usual().things())))


@kept.command("clear")
def clear_kept(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Only what was not used for so long: 30d, 12h.")
    ] = "0d",
) -> None:
    """Remove what is kept; it is made again when it is needed."""
    from headstart.console.engine import print_cleared, seconds_of_age
    from headstart.data.picture_cache import PictureCache

    age = seconds_of_age(older_than)
    print_cleared(PictureCache.usual().clear(age))


@app.command()
def audit(
    pictures: Pictures,
    as_json: AsJson = False,
) -> None:
    """Show what would be used of some pictures, and what is left out and why.

    Exit code 1 when they could not be used as they are.
    """
    from headstart import console
    from headstart.console.pictures import print_audit
    from headstart.data.audit import audit as look_at

    found = look_at(pictures)
    if as_json:
        console.print_json(found.to_dict())
    else:
        print_audit(found)
    raise typer.Exit(0 if found.usable else 1)


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


@app.command()
def strategies(as_json: AsJson = False) -> None:
    """List the ways to transfer: what each does, and who proposed it."""
    from headstart import console
    from headstart.console.strategies import print_strategies, strategies_data
    from headstart.strategies.known import list_strategies

    if as_json:
        console.print_json(strategies_data(list_strategies()))
    else:
        print_strategies(list_strategies())


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(help="A part of the name, or a pattern with *.")] = "",
) -> None:
    """List pretrained networks: size, input, licence, where their weights come from."""
    from headstart.console.pictures import print_models
    from headstart.networks.model_list import available

    print_models(available(pattern))


@app.command()
def fit(
    pictures: Pictures,
    output: Annotated[Path, typer.Option("--output", help="The model's folder.")],
    model: Annotated[
        str, typer.Option(help="A network from `headstart models`, or a .keras or .h5 file.")
    ] = "tf_efficientnet_lite0",
    strategy: Annotated[
        str, typer.Option(help="auto measures a short list; or the name of one strategy.")
    ] = "auto",
    img_size: Annotated[
        int | None, typer.Option(help="Pixels.  [default: what the weights were made for]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to measure over.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="For all strategies.  [default: by the pictures]")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The weights' file or folder.  [default: looked for]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time.  [default: CPU cores]")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; the old study is kept, renamed.")
    ] = False,
    memory: MemoryLimit = None,
    disk: DiskLimit = None,
    threads: ThreadLimit = None,
) -> None:
    """Adapt a pretrained network to pictures in class folders: a model to take away, with proof.

    Measures strategies over seeds, delivers the one that does best on validation pictures, and
    says how good it is on test pictures. The same command goes on where it was interrupted.
    """
    from headstart import console
    from headstart.console.delivery import print_fitted

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart import api

        fitted = api.fit(
            pictures,
            output,
            model=model,
            strategy=strategy,
            image_size=img_size,
            seeds=seeds,
            epochs=epochs,
            weights=weights,
            device=device,  # type: ignore[arg-type]
            jobs=jobs,
            fresh=fresh,
            limits=_limits(memory, disk, threads),
            listener=listener,
        )
    print_fitted(fitted)


@app.command()
def predict(
    model: ModelFolder,
    pictures: Pictures,
    output: Annotated[Path, typer.Option("-o", "--output", help="The CSV file.")] = Path(
        "predictions.csv"
    ),
    top_k: Annotated[
        int | None, typer.Option(help="Write only the most probable classes, so many.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures at a time.")] = 32,
) -> None:
    """Predict any number of pictures into a CSV file: filename,label,pred,prob_<class>.

    Rows are in the order of the file names (in archives and tables: as they stand there). Files
    that cannot be read are listed apart. The same command goes on where it was interrupted.
    """
    from headstart.console.delivery import print_predicted

    with _loading():
        from headstart import api
    print_predicted(api.predict(model, pictures, output, top_k=top_k, batch_size=batch_size))


@app.command()
def evaluate(
    model: ModelFolder,
    pictures: Pictures,
    batch_size: Annotated[int, typer.Option(help="Pictures at a time.")] = 32,
    as_json: AsJson = False,
) -> None:
    """Say how good a model is on labelled pictures: metrics with intervals, and class by class.

    Classes are mapped by name. Where the pictures come in splits, the test split is used.
    """
    from headstart import console
    from headstart.console.delivery import print_evaluation

    with _loading():
        from headstart import api
    found = api.evaluate(model, pictures, batch_size=batch_size)
    if as_json:
        console.print_json(found.to_dict())
    else:
        print_evaluation(found)


@app.command()
def export(
    model: ModelFolder,
    to: Annotated[str, typer.Option(help="The format: onnx or pt2.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file.  [default: in MODEL]")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Compare on these pictures.  [default: cuts of two photographs]"),
    ] = None,
) -> None:
    """Export a model's network, with the preprocessing beside it, if it answers as PyTorch does."""
    from headstart.console.delivery import print_exported

    with _loading():
        from headstart import api
    print_exported(api.export(model, to, output, pictures=pictures))  # type: ignore[arg-type]


@data.command("list")
def data_list() -> None:
    """List the data sets that can be had by name."""
    from headstart import console
    from headstart.data import catalog

    console.print_catalog(catalog.describe())


@data.command("get")
def data_get(name: Annotated[str, typer.Argument(help="A set's name.")]) -> None:
    """Fetch a data set and check it; what is here is not fetched again."""
    from headstart import console
    from headstart.data import catalog

    with console.listening():
        folder = catalog.get(name)
    console.print_set(catalog.entry(name), folder)


@data.command("where")
def data_where(name: Annotated[str, typer.Argument(help="A set's name.")]) -> None:
    """Print the folder of a data set that is on this machine."""
    from headstart import console
    from headstart.data import catalog

    folder = catalog.where(name)
    if folder is None:
        raise StudyError(f"{name} is not on this machine yet: headstart data get {name}")
    console.print_line(str(folder))


def _compared(
    study_file: Path,
    output: Path | None,
    *,
    needs_one_test_split: str | None = None,
    seeds: int | None = None,
    labels: list[int | str] | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    **options: Any,
) -> "Results":
    """Compare a study, showing how it goes on; options are those of `headstart.compare`."""
    from headstart import console

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        from headstart import api
        from headstart.study import spec

        study = spec.load_study(study_file)
        if needs_one_test_split is not None:
            spec.needs_one_test_split(study, needs_one_test_split)
        study = spec.with_settings(study, seeds=seeds, labels=labels, margin=margin, alpha=alpha)
        folder = output or Path("studies") / study_file.stem
        return api.compare(study, folder, listener=listener, **options)


@contextmanager
def _loading() -> Iterator[None]:
    """Say that PyTorch is being loaded, which takes seconds, while it is."""
    from headstart import console

    with console.listening() as listener:
        listener(Progress("loading PyTorch"))
        yield


def _limits(memory: str | None, disk: str | None, threads: int | None) -> "MachineLimits":
    """Limits from the command line."""
    from headstart.engine.limits import MachineLimits

    return MachineLimits.parsed(memory, disk, threads)


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


def _budgets(text: str | None) -> list[int | str] | None:
    """Label budgets from the command line."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if part != "all" and not part.isdecimal()]
    if wrong:
        raise StudyError(
            f"--labels {text}: {', '.join(map(repr, wrong))} is neither a number nor all; "
            "for example --labels 50,200,all"
        )
    return [part if part == "all" else int(part) for part in parts]


def main() -> None:
    """Run the command line; mistakes that a user can mend are told without a traceback."""
    try:
        app()
    except HeadstartError as error:
        for number, problem in enumerate(error.problems):
            print(f"{'error: ' if number == 0 else '       '}{problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
