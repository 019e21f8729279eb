"""The report as one HTML file that asks nothing of the network."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from headstart.errors import RecordsError
from headstart.report import palette, tables, words
from headstart.report.content import ReportContent
from headstart.report.figures import FIGURES, MakeFigure
from headstart.report.highlights import highlights, named, signs, verdicts
from headstart.report.searching import search_table
from headstart.report.svg import warm_up

_HERE = Path(__file__).parent


def render(content: ReportContent, shown: Sequence[MakeFigure] = FIGURES) -> str:
    """The report as an HTML document, with those of the figures that there is something for.

    Nothing in it is fetched: fonts, pictures, styles and the one small script are inside, and its
    Content-Security-Policy forbids every request and every other script. All names are escaped.
    """
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    figures = [made for made in (figure(content) for figure in shown) if made is not None]
    text = _template().render(
        content=content,
        style=Markup(_style()),
        script=Markup(script),
        script_hash=digest,
        figures=figures,
        verdicts=verdicts(content),
        signs=signs(content),
        named=named,
        highlights=highlights(content),
        split=content.provenance.get("split", "").rstrip("."),
        tables=tables,
        failed=tables.failures(content),
        sources=tables.sources(content),
        searched=search_table(content),
        metrics=tables.other_metrics(content),
        words=words,
        colours={
            name: palette.colour_variable(pair)
            for name, pair in palette.strategy_colours(content.strategies, content.baseline).items()
        },
    )
    return text.encode("utf-8", "replace").decode()


def get_ready() -> None:
    """Do ahead of time what the first page would have to wait for."""
    _template()
    _style()
    warm_up()


def write(content: ReportContent, path: Path, shown: Sequence[MakeFigure] = FIGURES) -> Path:
    """Write the report, whole or not at all.

    Args:
        content: What to show.
        path: The HTML file; one that is there is replaced.
        shown: Its figures.

    Returns:
        `path`.

    Raises:
        RecordsError: If the file cannot be written.
    """
    text = render(content, shown)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            unfinished.chmod(0o644)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise RecordsError(
            f"the report cannot be written to {path}: {error.strerror or error}; choose a folder "
            "that exists, can be written and has room"
        ) from error
    return path


def data_uri(png: bytes) -> str:
    """A PNG file as a `data:` address."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def is_small(png: bytes) -> bool:
    """Whether a PNG file's picture is narrower than it is shown, so that its pixels are seen."""
    return int.from_bytes(png[16:20], "big") < 96


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": data_uri, "is_small": is_small}
    return environment.get_template("template.html")


@cache
def _style() -> str:
    """All style rules: colours, fonts, page."""
    faces = "".join(
        f"@font-face{{font-family:'{family}';font-weight:200 900;font-display:block;"
        f"src:url(data:font/woff2;base64,{_encoded(file)}) format('woff2')}}"
        for family, file in (
            ("Headstart Sans", "inter.woff2"),
            ("Headstart Serif", "source-serif.woff2"),
        )
    )
    page = (_HERE / "style.css").read_text(encoding="utf-8")
    return faces + palette.variables_css() + palette.scheme_css() + page


def _encoded(name: str) -> str:
    return base64.b64encode((_HERE / "assets" / name).read_bytes()).decode()
