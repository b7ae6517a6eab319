"""The pages of the site, as Markdown by path, and the order in which the navigation has them.

Every text has its home elsewhere: README.md, HOWTO.md, CONTRIBUTING.md, CHANGELOG.md, the notebooks, docstrings. This
file says which part goes where.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import notebooks
import reference
from curate.cli.mixture_recipes import recipe_names
from text import linked, raised, sections, with_references

README_PAGES: Final = {
    "Start": "index.md",
    "What it promises": "index.md",
    "Your own mixture": "tutorial/mixture.md",
    "Look at the result": "tutorial/result.md",
    "Train on it": "tutorial/training.md",
    "Published mixtures": "guide/recipes.md",
    "Formats": "guide/formats.md",
    "Steps": "guide/steps.md",
    "Your own step": "guide/own-step.md",
    "Preference pairs": "guide/pairs.md",
    "Export to another trainer": "guide/export.md",
    "The commands": "reference/commands.md",
    "Development": "development/contributing.md",
}
"""The page of each section of README.md. A section that is not here is on the page of the section before it."""

NEXT: Final = """## Where to go

- **New here?** [Your own mixture](tutorial/mixture.md), then [look at the result](tutorial/result.md), or read the
  [first notebook]({notebook}).
- **A task at hand?** [The how-tos](howto/index.md) are short, and their code runs as it is.
- **A name?** [The commands](reference/commands.md), [the build folder](reference/folder.md), and
  [every class and function](reference/mixtures.md).
"""


def pages(root: Path, images: Path) -> tuple[dict[str, str], list[Any]]:
    """Return all pages by path, and the navigation; pictures of notebooks are written into a folder."""
    found = from_readme((root / "README.md").read_text("utf-8"), root)
    files = sorted((root / "notebooks").glob("*.ipynb"))
    books = {path: f"notebooks/{path.stem}.md" for path in files}
    found |= {page: notebooks.notebook(path, images) for path, page in books.items()}
    found["index.md"] += "\n\n" + NEXT.format(notebook=books[files[0]])
    howtos = _howtos((root / "HOWTO.md").read_text("utf-8"))
    found |= howtos
    entries = {f"reference/{name}.md": text for name, text in reference.pages().items()}
    found |= entries
    found["reference/folder.md"] = reference.folder_page((root / "README.md").read_text("utf-8"))
    found["development/benchmarks.md"] = reference.benches(root)
    found["development/contributing.md"] = (root / "CONTRIBUTING.md").read_text("utf-8")
    found["development/changelog.md"] = (root / "CHANGELOG.md").read_text("utf-8")
    targets = _targets(files)
    prose = found.keys() - entries.keys()
    names = reference.links()
    found |= {page: with_references(linked(found[page], page, targets, found), names) for page in prose}
    guide = [page for page in dict.fromkeys(README_PAGES.values()) if page.startswith("guide/")]
    tutorial = [page for page in dict.fromkeys(README_PAGES.values()) if page.startswith("tutorial/")]
    return found, [
        {"Home": "index.md"},
        {"Tutorial": [*tutorial, *({notebooks.title(path): page} for path, page in books.items())]},
        {"How to": list(howtos)},
        {"Guide": guide},
        {"Reference": ["reference/commands.md", "reference/folder.md", *entries]},
        {"Development": [f"development/{name}.md" for name in ("contributing", "benchmarks", "changelog")]},
    ]


def from_readme(readme: str, root: Path) -> dict[str, str]:
    """Return the pages that README.md is cut into."""
    found: dict[str, list[str]] = {"index.md": []}
    page = "index.md"
    for name, text in sections(readme).items():
        page = README_PAGES.get(name, page)
        found.setdefault(page, []).append(text)
    missing = ", ".join(sorted(README_PAGES.keys() - sections(readme).keys()))
    if missing:
        raise SystemExit(f"README.md has no section {missing}; see README_PAGES in .ci/site/pages.py")
    made = {page: "\n\n".join([raised(texts[0]), *texts[1:]]) for page, texts in found.items()}
    made["guide/recipes.md"] += "\n\n" + reference.recipes(root)
    made["reference/commands.md"] += "\n\n" + reference.commands()
    return made


def _howtos(text: str) -> dict[str, str]:
    """Return a page for each section of HOWTO.md, and the page that lists them."""
    found = sections(text)
    opening = found.pop("")
    paths = {name: f"howto/{_slug(name)}.md" for name in found}
    listed = "\n".join(f"- [{name}]({Path(path).name})" for name, path in paths.items())
    return {"howto/index.md": f"{opening}\n\n{listed}\n"} | {paths[name]: raised(part) for name, part in found.items()}


def _slug(name: str) -> str:
    return "-".join("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())


def _targets(books: list[Path]) -> dict[str, str]:
    """Return the page of each file that a document links to, by its path in the repository."""
    return {
        **{f"mixtures/{name}.py": f"guide/recipes.md#{name}" for name in recipe_names()},
        **{f"notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in books},
        **{path.name: f"notebooks/{path.stem}.md" for path in books},  # as one notebook names another
        **{f"README.md#{_slug(name)}": page for name, page in README_PAGES.items()},
        "README.md": "index.md",
        "HOWTO.md": "howto/index.md",
        "CONTRIBUTING.md": "development/contributing.md",
        "CHANGELOG.md": "development/changelog.md",
    }
