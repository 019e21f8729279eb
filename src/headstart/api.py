"""The library's front door: compare a study, read what was compared before."""

from pathlib import Path

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.study.compare import train_and_score
from headstart.study.deciding import until_decided
from headstart.study.folder import study_folder
from headstart.study.progress import Listener, Progress, silent
from headstart.study.results import StudyRecords
from headstart.study.spec import Study


def compare(
    study: Study,
    output: Path | str = "studies/study",
    *,
    images: ImageSet | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    jobs: int | None = None,
    max_seeds: int | None = None,
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
        listener: Told how the study goes on.

    Returns:
        The results: ``summary``, ``trials`` (a data frame), ``report(path)``.

    Raises:
        HeadstartError: If something asked for cannot be had; nothing was trained then.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    with study_folder(Path(output), fresh=fresh) as folder:

        def done(wanted: Study, reader: str = "compare") -> StudyRecords:
            return train_and_score(
                wanted,
                folder,
                images=images,
                retry_failed=retry_failed,
                jobs=jobs,
                listener=listener,
                reader=reader,
            )

        if max_seeds is None:
            records = done(study)
        else:
            records = until_decided(study, folder, done, max_seeds)
        listener(Progress("drawing the report"))
        results = Results(records)
        results.write_files()
    return results
