"""Commands on what a study is made of: pictures, networks, strategies, and what is kept."""

from typing import Annotated

import typer

from headstart.cli.application import app
from headstart.cli.options import AsJson, Pictures
from headstart.errors import StudyError

data = typer.Typer(help="The catalogue of data sets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")
kept = typer.Typer(
    help="What is kept so that work is done once: decoded pictures and features.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(kept, name="cache")


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
