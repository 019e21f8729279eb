"""Commands that make a model to take away, and use one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.application import app
from headstart.cli.options import (
    AsJson,
    BatchSize,
    DiskLimit,
    Fresh,
    Jobs,
    MemoryLimit,
    ModelFolder,
    Pictures,
    ThreadLimit,
    expect_workers,
    limits_from,
    loading,
)
from headstart.study.progress import Progress

if TYPE_CHECKING:
    pass


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
    jobs: Jobs = None,
    fresh: Fresh = False,
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

    expect_workers(jobs, memory, threads)
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
            limits=limits_from(memory, disk, threads),
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
    batch_size: BatchSize = 32,
) -> None:
    """Predict any number of pictures into a CSV file: filename,label,pred,prob_<class>.

    Rows are in the order of the file names (in archives and tables: as they stand there). Files
    that cannot be read are listed apart. The same command goes on where it was interrupted.
    """
    from headstart.console.delivery import print_predicted

    with loading():
        from headstart import api
    print_predicted(api.predict(model, pictures, output, top_k=top_k, batch_size=batch_size))


@app.command()
def evaluate(
    model: ModelFolder,
    pictures: Pictures,
    batch_size: BatchSize = 32,
    as_json: AsJson = False,
) -> None:
    """Say how good a model is on labelled pictures: metrics with intervals, and class by class.

    Classes are mapped by name. Where the pictures come in splits, the test split is used.
    """
    from headstart import console
    from headstart.console.delivery import print_evaluation

    with loading():
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

    with loading():
        from headstart import api
    print_exported(api.export(model, to, output, pictures=pictures))  # type: ignore[arg-type]
