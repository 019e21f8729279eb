"""From a study's records to a bundle: choose, train the chosen trial again, write it all down."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from headstart.data.transforms import Preprocessing
from headstart.delivery.blueprints import Blueprint, BuiltBody, KerasBody, TimmBody
from headstart.delivery.bundle import Bundle, write_bundle
from headstart.delivery.choice import Choice, choose
from headstart.delivery.config import SourceFacts
from headstart.delivery.evaluation import Evaluation, evaluation_of
from headstart.delivery.model_card import CardFacts, model_card
from headstart.errors import RecordsError
from headstart.networks import ready_made
from headstart.networks.bodies import Architecture
from headstart.networks.groups import Network, weights_hash
from headstart.networks.neighbours import NeighbourHead
from headstart.networks.taps import TappedBody
from headstart.report.results import Results
from headstart.study.progress import Listener, Progress, silent
from headstart.study.records import Records, TrialKey
from headstart.study.workplace import Workplace


@dataclass(frozen=True)
class Fitted:
    """What a fit left behind.

    Attributes:
        folder: The bundle; `headstart.load` takes it.
        choice: Which strategy was delivered, and why.
        evaluation: How good it is on the test pictures.
        results: The study behind it.
        left_out: How many files could not be used.
        warnings: What a user should know, in sentences.
    """

    folder: Path
    choice: Choice
    evaluation: Evaluation
    results: Results
    left_out: int
    warnings: tuple[str, ...]


def deliver(
    results: Results,
    output: Path,
    *,
    workplace: Workplace,
    listener: Listener = silent,
) -> Fitted:
    """Deliver the strategy that did best on validation pictures as a bundle.

    What is delivered is a trial of the study: that of the median seed, trained again, which gives
    the same bits. So the card's numbers are of this very network, and not of a relative.

    Args:
        results: Of a study with the label budget "all".
        output: The bundle's folder.
        workplace: The study's, opened for the folder of the results.
        listener: Told how it goes on.

    Raises:
        TrainingError: If no trial ended well.
        RecordsError: If the bundle cannot be written.
    """
    records = results.records
    choice = choose(records)
    listener(Progress(f"training {choice.strategy} with seed {choice.seed} again, to deliver it"))
    key = TrialKey(choice.strategy, choice.seed, "all")
    network = workplace.trained(key)
    same_bits = weights_hash(network.state_dict()) == _recorded_hash(records.directory, key)
    evaluation = _evaluation(results, choice)
    files = workplace.pictures.files
    left_out = 0 if files is None else len(files.left_out)
    warnings = () if files is None else files.warnings
    source, model = _source(workplace)
    bundle = Bundle(
        network=network,
        blueprint=_blueprint(workplace, network),
        preprocessing=_preprocessing(workplace),
        scaling=workplace.scaling(choice.seed),
        class_names=records.class_names,
        source=source,
        training=_training(results, choice, evaluation, same_bits=same_bits),
        splits=_splits(workplace, choice.seed),
    )
    card = model_card(
        CardFacts(
            name=output.name,
            model=model,
            source=source,
            choice=choice,
            evaluation=evaluation,
            over_seeds=_over_seeds(results, choice),
            records=records,
            picture=workplace.images.picture_shape,
            same_bits=same_bits,
            left_out=left_out,
            warnings=warnings,
        )
    )
    listener(Progress("writing the bundle, and reading it back"))
    folder = write_bundle(bundle, output, card)
    return Fitted(folder, choice, evaluation, results, left_out, warnings)


def _recorded_hash(directory: Path, key: TrialKey) -> str | None:
    records = Records.open(directory, create=False)
    try:
        rows = records.trials()
    finally:
        records.close()
    asked = (key.strategy, key.seed, key.labels_text)
    found = [row for row in rows if (row["strategy"], row["seed"], row["labels"]) == asked]
    return found[0]["weights_hash"] if found else None


def _evaluation(results: Results, choice: Choice) -> Evaluation:
    """The scored predictions of the trial that is delivered."""
    records = results.records
    answers = records.answers.get((choice.strategy, "all"))
    if answers is None or records.test_labels is None or choice.seed not in answers.seeds:
        raise RecordsError(
            f"{records.directory} holds no scored trial of {choice.strategy} with seed "
            f"{choice.seed}: give the same command again"
        )
    probabilities = answers.at([choice.seed]).probabilities[0]
    return evaluation_of(probabilities, records.test_labels, records.class_names)


def _over_seeds(results: Results, choice: Choice) -> dict[str, float | None]:
    """The strategy's accuracy over new seeds and new pictures."""
    entry = next(
        each
        for each in results.summary["strategies"]
        if (each["name"], each["labels"]) == (choice.strategy, "all")
    )
    return dict(entry["accuracy"])


def _source(workplace: Workplace) -> tuple[SourceFacts, str]:
    """Where the weights came from, and what to call the network."""
    ready = workplace.pictures.ready_made
    if isinstance(ready, ready_made.TimmBody):
        return SourceFacts.of(ready.backbone.source), ready.backbone.source.model
    if ready is not None:
        facts = SourceFacts(
            kind="file",
            model=ready.origin,
            where="a Keras file",
            sha256=ready.sha256,
            licence=ready.licence,
        )
        return facts, ready.origin
    kind = getattr(workplace.study.network, "kind", "network")
    return SourceFacts(kind="trained", model=kind, where="trained here"), kind


def _blueprint(workplace: Workplace, network: Network) -> Blueprint:
    ready, plain = workplace.pictures.ready_made, None
    if ready is not None:
        plain = ready.blueprint
    body: BuiltBody | TimmBody | KerasBody
    if plain is None:
        assert workplace.study.network is not None
        shape = workplace.images.picture_shape
        body = BuiltBody.model_validate(
            {"settings": workplace.study.network, "picture_shape": shape}
        )
    elif isinstance(plain, Architecture):
        body = TimmBody(architecture=plain)
    else:
        body = KerasBody(description=plain)
    known = [each.known for each in network.head.modules() if isinstance(each, NeighbourHead)]
    layers = [each for each in network.head.modules() if isinstance(each, nn.Linear)]
    return Blueprint(
        body=body,
        head=workplace.study.head,
        features=layers[0].in_features if layers else known[0].shape[1],
        remembered=known[0].shape[0] if known else None,
        taps=network.body.taps if isinstance(network.body, TappedBody) else (),
    )


def _preprocessing(workplace: Workplace) -> Preprocessing:
    """How a picture of any size becomes one that the network takes."""
    told = workplace.pictures.preprocessing
    if told is not None:
        return told
    height, width, channels = workplace.images.picture_shape
    return Preprocessing(height, width, channels=channels)


def _training(
    results: Results, choice: Choice, evaluation: Evaluation, *, same_bits: bool
) -> dict[str, Any]:
    """How the network was adapted, as plain data."""
    records = results.records
    study = records.study
    return {
        "strategy": choice.strategy,
        "settings": study.strategy[choice.strategy].model_dump(mode="json"),
        "seed": choice.seed,
        "seeds": list(study.study.seeds),
        "choice": choice.to_dict(),
        "test_metrics": {name: vars(value) for name, value in evaluation.metrics.items()},
        "test_pictures": evaluation.pictures,
        "test_reads": records.counted_reads,
        "same_bits_as_the_scored_trial": same_bits,
        "provenance": records.provenance,
    }


def _splits(workplace: Workplace, seed: int) -> str:
    """Which picture was in which split of the delivered trial, as CSV."""
    images, files, split = workplace.images, workplace.pictures.files, workplace.split(seed)
    task = workplace.task(seed)
    column = np.full(len(images), "", dtype="U5")
    for name in ("train", "valid", "test"):
        column[getattr(split, name)] = name
    hashes = images.hashes.astype(str) if files is None else np.array(files.file_hashes)
    used = np.flatnonzero(column != "")
    labels = task.images.labels
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["filename", "content_hash", "label", "split"])
    for row in used.tolist():
        name = str(row) if files is None else files.names[row]
        writer.writerow([name, hashes[row], images.class_names[labels[row]], column[row]])
    return buffer.getvalue()
