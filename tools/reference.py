"""Write the reference of the Python API as HTML, a page a module.

python tools/reference.py build/docs
"""

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc
from pdoc import render

import headstart

HARMLESS = (
    "The module specification",  # each module is named, since `__all__` would hide some
    "Error parsing type annotation pd.Series",  # Series[float] is known to its stubs only
    "Error parsing type annotation dict.*pd.Series",
)


def main(folder: Path) -> None:
    """Write the pages; modules whose name begins with an underscore have none."""
    for message in HARMLESS:
        warnings.filterwarnings("ignore", message)
    for name in headstart.__all__:  # loaded on first use, and pdoc looks without using
        setattr(headstart, name, getattr(headstart, name))
    inside = pkgutil.walk_packages(headstart.__path__, prefix="headstart.")
    modules = [module.name for module in inside if "._" not in module.name]
    render.configure(docformat="google", footer_text="headstart")
    pdoc.pdoc("headstart", *modules, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
