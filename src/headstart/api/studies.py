"""The library's front door to studies: compare one, or draw a map of depths."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from headstart.data.image_set import ImageSet
from headstart.engine.limits import NO_LIMITS, MachineLimits
from headstart.report.depth_map import DepthMap
from headstart.report.results import Results, get_ready_to_draw
from headstart.report.study_warnings import nothing_to_compare
from headstart.study.compare import open_workplace, train_and_score
from headstart.study.deciding import until_decided
from headstart.study.depth_map import map_parts
from headstart.study.folder import study_folder
from headstart.study.progress import Listener, Progress, silent
from headstart.study.results import StudyRecords
from headstart.study.spec import Study
from headstart.study.workplace import Workplace


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
        jobs: How many trials to train at a time; by default the number of CPU cores, or one where
            that is sooner done.
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
    return compare_in(
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


def compare_in(
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
    alone = nothing_to_compare(study) if workplace is None else None
    if alone is not None:
        listener(Progress("training", said=f"warning: {alone}"))
    meanwhile = cache(get_ready_to_draw)
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
                meanwhile=meanwhile,
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
        jobs: How many trials to train at a time; by default the number of CPU cores, or one where
            that is sooner done.
        listener: Told how it goes on.

    Raises:
        HeadstartError: If something asked for cannot be had. Every class split is checked before
            the first is trained; only a folder that another process holds, or that holds another
            study, may be found out later.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    directory = Path(output).absolute()
    parts = map_parts(study, images=images, listener=_of_part(listener, "planning"))
    for part in parts[1:]:  # the first is checked right before it is trained
        open_workplace(part.study, _of_part(listener, f"planning {part.name}"), images=images)
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
    """A listener that is told which class split is being done, or that none is yet."""
    if not name:
        return listener
    return lambda progress: listener(replace(progress, doing=f"{name}: {progress.doing}"))
