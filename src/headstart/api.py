"""The library's front door: compare a study, read what was compared before."""

from pathlib import Path

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.study.compare import train_and_score
from headstart.study.progress import Listener, silent
from headstart.study.spec import Study


def compare(
    study: Study,
    output: Path | str = "studies/study",
    *,
    images: ImageSet | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    jobs: int | None = None,
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
        listener: Told how the study goes on.

    Returns:
        The results: ``summary``, ``trials`` (a data frame), ``report(path)``.

    Raises:
        HeadstartError: If something asked for cannot be had; nothing was trained then.
        KeyboardInterrupt: On Ctrl-C; the same call goes on where it stopped.
    """
    records = train_and_score(
        study,
        output,
        images=images,
        fresh=fresh,
        retry_failed=retry_failed,
        jobs=jobs,
        listener=listener,
    )
    results = Results(records)
    results.write_files()
    return results
