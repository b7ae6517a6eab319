"""Makes the documentation site: `python .ci/site [FOLDER]`, by default `build/site`; open its `index.html`.

The pages are made from README.md, HOWTO.md, CONTRIBUTING.md, CHANGELOG.md, the notebooks and docstrings, and Zensical
turns them into HTML. Any warning is an error, and so is a link to nothing, a page that loads something from elsewhere,
or a public name without an entry. Exit codes: 0 done, 1 the site is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check import faults
from pages import pages

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme would load from elsewhere for the search; `worker.js` does its work."""


def main() -> None:
    """Make the site and say where it is."""
    parser = argparse.ArgumentParser(prog="python .ci/site", description="Make the documentation site.")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    parser.add_argument("--pages", type=Path, help="keep the Markdown pages in this folder")
    asked = parser.parse_args()
    out = asked.out.absolute()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="curate-site-") as name:
        work = Path(name)
        write(work)
        if asked.pages:
            shutil.copytree(work / "pages", asked.pages, dirs_exist_ok=True)
        build(work)
        found = faults(work / "site")
        if found:
            sys.exit("\n".join(found))
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(work / "site", out)
    print(f"{out / 'index.html'}: {sum(1 for _ in out.rglob('*.html'))} pages")


def write(work: Path) -> None:
    """Write the pages and the configuration into a folder."""
    folder = work / "pages"
    found, order = pages(ROOT, folder / "notebooks" / "pictures")
    for path, text in found.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    for name in ("site.css", "worker.js"):
        shutil.copy(HERE / name, folder / name)
    shown = json.dumps(order).replace('": ', '" = ')  # JSON of lists, texts and objects of one field is nearly TOML
    config = (HERE / "zensical.toml").read_text("utf-8")
    config = config.replace("[project]\n", f"[project]\nnav = {shown}\n", 1)
    config = config.replace('paths = ["."]', f"paths = {json.dumps([str(ROOT)])}", 1)
    config = config.replace('"docstrings.py"', json.dumps(str(HERE / "docstrings.py")), 1)
    (work / "zensical.toml").write_text(config, "utf-8")


def build(work: Path) -> None:
    """Turn the pages into HTML; raises `SystemExit` with what was said if anything is wrong."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(work / "zensical.toml")]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode or re.search("warning|griffe:", said, re.IGNORECASE):
        sys.exit(f"{said}\nzensical: exit code {done.returncode}")
    (work / "site" / "404.html").unlink()  # its links are those of a server's root
    for file in (work / "site").rglob("*.html"):
        up = "../" * (len(file.relative_to(work / "site").parts) - 1)
        file.write_text(file.read_text("utf-8").replace(SHIM, f"{up}worker.js"), "utf-8")


if __name__ == "__main__":
    main()
