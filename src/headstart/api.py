"""The library's front door: compare a study, and use the model that came of it."""

from dataclasses import replace
from pathlib import Path

from headstart.data.image_set import ImageSet
from headstart.data.reading import Progress as PictureProgress
from headstart.delivery import evaluation, exporting, predictions
from headstart.delivery.bundle import check_place
from headstart.delivery.delivering import Fitted, deliver
from headstart.delivery.model import BATCH_SIZE, Model, load
from headstart.delivery.short_list import AUTO, count_pictures, fit_study, is_affordable
from headstart.engine.limits import NO_LIMITS, MachineLimits
from headstart.report.depth_map import DepthMap
from headstart.report.results import Results
from headstart.study.compare import open_workplace, train_and_score
from headstart.study.deciding import until_decided
from headstart.study.depth_map import map_parts
from headstart.study.folder import study_folder
from headstart.study.progress import Listener, Progress, silent
from headstart.study.results import StudyRecords
from headstart.study.spec import Study
from headstart.study.workplace import Workplace
from headstart.training.devices import DeviceName, choose_device

_USUAL_SIDE = 224  # pixels; to tell whether a control can be waited for


def compare(
    study: Study,
    output: Path | str = "studies/study",
    *,
    images: ImageSet | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    jobs: int | None = None,
    max_seeds: int | None = None,
    open_ended: bool = False,
    naive: bool = False,
    limits: MachineLimits = NO_LIMITS,
    listener: Listener = silent,
) -> Results:
    """Do a study's trials, score them by one reading of the test labels, and write the report.

    What was done before in the same folder is not done again, so a call that was interrupted goes
    on where it stopped.

    Args:
        study: What is asked; from `headstart.load_study`.
        output: The study's folder.
        images: Pictures from Python (`headstart.ImageSet.from_arrays`) instead of the
            catalogue's.
        fresh: Begin anew; what the folder held is kept under another name.
        retry_failed: Try failed trials once more.
        jobs: How many trials to train at a time; the number of CPU cores by default.
        max_seeds: Add seeds until every comparison is decided, at most so many: declared looks
            take the place of the study's own seeds (`headstart.study.deciding`).
        open_ended: The same with no last seed: evidence is told as e-values, which may be looked
            at forever.
        naive: Let every trial do all of its work by itself: slower, the reference for what is
            shared.
        limits: What the study may take of the machine (`headstart.MachineLimits`).
        listener: Told how the study goes on.

    Returns:
        The results: ``summary``, ``trials`` (a data frame), ``report(path)``.

    Raises:
        HeadstartError: If something asked for cannot be had; nothing was trained then.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    return _compared(
        study,
        Path(output),
        images=images,
        fresh=fresh,
        retry_failed=retry_failed,
        jobs=jobs,
        max_seeds=max_seeds,
        open_ended=open_ended,
        naive=naive,
        limits=limits,
        listener=listener,
    )


def _compared(
    study: Study,
    output: Path,
    *,
    images: ImageSet | None,
    fresh: bool,
    jobs: int | None,
    listener: Listener,
    retry_failed: bool = False,
    max_seeds: int | None = None,
    open_ended: bool = False,
    naive: bool = False,
    limits: MachineLimits = NO_LIMITS,
    workplace: Workplace | None = None,
) -> Results:
    """As `compare`; the study's workplace may have been opened before."""
    with study_folder(output, fresh=fresh) as folder:

        def done(wanted: Study, reader: str = "compare") -> StudyRecords:
            return train_and_score(
                wanted,
                folder,
                images=images,
                retry_failed=retry_failed,
                jobs=jobs,
                listener=listener,
                reader=reader,
                naive=naive,
                limits=limits,
                workplace=workplace,
            )

        if max_seeds is None and not open_ended:
            records = done(study)
        else:
            records = until_decided(study, folder, done, max_seeds)
        listener(Progress("drawing the report"))
        results = Results(records)
        results.write_files()
    return results


def draw_map(
    study: Study,
    output: Path | str = "studies/map",
    *,
    images: ImageSet | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    jobs: int | None = None,
    listener: Listener = silent,
) -> DepthMap:
    """Draw the map of layer transfer (Yosinski et al. 2014): what each layer is worth.

    Does all arms at all cuts over paired seeds (`headstart.study.depth_map`), scores them by one
    reading of the test labels, and writes ``map.json`` and the report. A call that was interrupted
    goes on where it stopped.

    Args:
        study: Source, task, network and training; from `headstart.load_study`.
        output: The map's folder; class splits have theirs below it.
        images: Pictures from Python instead of the catalogue's.
        fresh: Begin anew; what was there is kept under another name.
        retry_failed: Try failed trials once more.
        jobs: How many trials to train at a time; the number of CPU cores by default.
        listener: Told how it goes on.

    Raises:
        HeadstartError: If something asked for cannot be had. Every class split is checked before
            the first is trained; only a folder that another process holds, or that holds another
            study, may be found out later.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    directory = Path(output).absolute()
    parts = map_parts(study, images=images, listener=listener)
    for part in parts[1:]:  # the first is checked right before it is trained
        open_workplace(part.study, _of_part(listener, part.name), images=images)
    found = []
    for part in parts:
        with study_folder(directory / part.name, fresh=fresh) as folder:
            found.append(
                train_and_score(
                    part.study,
                    folder,
                    images=images,
                    retry_failed=retry_failed,
                    jobs=jobs,
                    listener=_of_part(listener, part.name),
                    reader="map",
                )
            )
    listener(Progress("drawing the map"))
    drawn = DepthMap(directory, tuple(found), parts[0].groups)
    drawn.write_files()
    return drawn


def _of_part(listener: Listener, name: str) -> Listener:
    """A listener that is told which class split is being done."""
    if not name:
        return listener
    return lambda progress: listener(replace(progress, doing=f"{name}: {progress.doing}"))


def fit(
    pictures: ImageSet | Path | str,
    output: Path | str,
    *,
    model: str = "tf_efficientnet_lite0",
    strategy: str = AUTO,
    image_size: int | tuple[int, int] | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    weights: Path | str | None = None,
    device: DeviceName = "auto",
    jobs: int | None = None,
    fresh: bool = False,
    limits: MachineLimits = NO_LIMITS,
    listener: Listener = silent,
) -> Fitted:
    """Adapt a pretrained network to pictures, and deliver it as a bundle with proof.

    A study of a short list of strategies over paired seeds; the one that does best on validation
    pictures is delivered, with its estimate corrected for having been chosen, and scored on test
    pictures that no choice was made by. The study is kept beside the bundle, in ``OUTPUT.study``;
    a call that was interrupted goes on there.

    Args:
        pictures: A folder, manifest, archive or ``.npz`` file with labels; or an image set.
        output: The bundle's folder; a bundle that is there is kept under another name.
        model: A network of timm's by name (``headstart models`` lists them), or a ``.keras`` or
            ``.h5`` file that Keras saved.
        strategy: ``"auto"`` measures probe, head then fine-tune, fine-tune, and training from
            scratch where that takes minutes; the name of a strategy measures that one alone.
        image_size: Height and width in pixels; what the weights were made for when omitted.
        seeds: How many.
        epochs: For all strategies, instead of what follows from the number of pictures.
        weights: The file or folder with the model's weights, where they are not to be looked for.
        device: Where to train.
        jobs: How many trials to train at a time; the number of CPU cores by default.
        fresh: Begin the study anew; the old one is kept under another name.
        limits: What it may take of the machine.
        listener: Told how it goes on.

    Raises:
        HeadstartError: If something asked for cannot be had; nothing was trained then.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    output = Path(output).expanduser().absolute()
    check_place(output)
    keras = Path(model).expanduser().resolve() if model.endswith((".keras", ".h5")) else None
    place = choose_device(device).type
    images, path = None, None
    if isinstance(pictures, ImageSet):
        images = pictures
        counted = count_pictures(images)
    else:
        path = Path(pictures).expanduser().resolve()
        counted = count_pictures(path)
    side = image_size or _USUAL_SIDE
    size = (side, side) if isinstance(side, int) else side
    study = fit_study(
        path=path,
        model=model,
        weights=None if weights is None else Path(weights).expanduser().resolve(),
        keras=keras,
        strategy=strategy,
        image_size=image_size,
        seeds=seeds,
        epochs=epochs,
        device=place,
        counted=counted,
        control=is_affordable(counted.training, size, epochs, place),
    )
    folder = output.with_name(f"{output.name}.study")
    workplace = open_workplace(study, listener, folder=folder, images=images, limits=limits)
    results = _compared(
        study,
        folder,
        images=images,
        fresh=fresh,
        jobs=jobs,
        listener=listener,
        workplace=workplace,
    )
    return deliver(results, output, workplace=workplace, listener=listener)


def predict(
    model: Model | Path | str,
    pictures: Path | str,
    output: Path | str = "predictions.csv",
    *,
    top_k: int | None = None,
    batch_size: int = BATCH_SIZE,
    progress: PictureProgress | None = None,
) -> predictions.Predicted:
    """Predict every picture of a folder, manifest, archive or ``.npz`` file into a CSV file.

    As `headstart.delivery.predictions.predict_files`; the model may be given by its folder.
    """
    return predictions.predict_files(
        _loaded(model), pictures, output, top_k=top_k, batch_size=batch_size, progress=progress
    )


def evaluate(
    model: Model | Path | str,
    pictures: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
    confidence: float = 0.95,
    progress: PictureProgress | None = None,
) -> evaluation.Evaluation:
    """Evaluate a model on labelled pictures: metrics with intervals, and a row a class.

    As `headstart.delivery.evaluation.evaluate`; the model may be given by its folder.
    """
    return evaluation.evaluate(
        _loaded(model), pictures, batch_size=batch_size, confidence=confidence, progress=progress
    )


def export(
    model: Model | Path | str,
    to: exporting.Format = "onnx",
    output: Path | str | None = None,
    *,
    pictures: Path | str | None = None,
) -> exporting.Exported:
    """Export a model's network, preprocessing beside it, if it answers as PyTorch does.

    As `headstart.delivery.exporting.export`; the model may be given by its folder.
    """
    return exporting.export(_loaded(model), to, output, pictures=pictures)


def _loaded(model: Model | Path | str) -> Model:
    return model if isinstance(model, Model) else load(model)
