"""The library's front door to models: adapt one, and use it."""

from pathlib import Path

from headstart.api.studies import compare_in
from headstart.data.image_set import ImageSet
from headstart.data.reading import Progress as PictureProgress
from headstart.delivery import evaluation, exporting, predictions
from headstart.delivery.bundle import check_place
from headstart.delivery.delivering import Fitted, deliver
from headstart.delivery.model import BATCH_SIZE, Model, load
from headstart.delivery.short_list import AUTO, count_pictures, fit_study, is_affordable
from headstart.engine.limits import NO_LIMITS, MachineLimits
from headstart.study.compare import open_workplace
from headstart.study.progress import Listener, silent
from headstart.training.devices import DeviceName, choose_device

_USUAL_SIDE = 224  # pixels; to tell whether a control can be waited for


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
        jobs: How many trials to train at a time; by default the number of CPU cores, or one where
            that is sooner done.
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
    results = compare_in(
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
