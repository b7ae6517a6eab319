"""The documentation site, as far as it can be checked without building it; CI builds it, strictly."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any, Final

import pytest

import check
import curate
import notebooks
import pages
import reference
import text

ROOT: Final = Path(__file__).parents[1]


def test_examples_of_the_site_run() -> None:
    assert doctest.testmod(text).failed == 0


def test_every_public_name_has_a_page() -> None:
    homes = {name: getattr(curate, name).__module__ for name in curate.__all__}
    assert {name for name, home in homes.items() if reference.place_of(f"{home}.{name}") is None} == set()


def test_readme_and_howto_are_cut_into_pages() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    found = pages.from_readme(readme, ROOT)
    assert set(pages.README_PAGES.values()) <= found.keys()
    assert all(page.startswith("# ") for page in found.values())
    lost = [
        line for line in readme.splitlines() if line.strip("# ") and line.strip("# ") not in "\n".join(found.values())
    ]
    assert lost == []


def test_links_to_files_become_links_to_pages() -> None:
    targets, there = {"mixtures/lima.py": "guide/recipes.md#lima"}, {"tutorial/a.md", "tutorial/b.md"}
    linked = text.linked("[x](mixtures/lima.py) [b](b.md) [y](https://x.org)\n", "tutorial/a.md", targets, there)
    assert linked == "[x](../guide/recipes.md#lima) [b](b.md) [y](https://x.org)\n"
    fence = "```\n[x](nothing.py)\n```\n"
    assert text.linked(fence, "a.md", targets, there) == fence
    with pytest.raises(SystemExit, match=r"a\.md: the link to nothing\.py has no page"):
        text.linked("[x](nothing.py)", "a.md", targets, there)


def test_links_in_what_a_notebook_shows_stay(tmp_path: Path) -> None:
    shown = "<script>\nrows[at](row); rows\n[x](row)\n</script>"
    said = notebooks.notebook(saved(tmp_path, {"output_type": "display_data", "data": {"text/html": shown}}), tmp_path)
    assert shown in text.linked(said, "a.md", {}, set())


def test_charts_of_notebooks_are_shown_where_they_are_not_trusted() -> None:
    """JupyterLab shows no SVG of a notebook that it did not run, and a chart in HTML as one line of its words."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        outputs = [one for cell in json.loads(path.read_text("utf-8"))["cells"] for one in cell.get("outputs", [])]
        held = [one.get("data", {}) for one in outputs]
        assert any("image/png" in one for one in held), path.name
        assert not any("image/svg+xml" in one or "<svg" in "".join(one.get("text/html", "")) for one in held), path.name


def test_names_in_code_become_references() -> None:
    names = {"dedup": "curate.dedup", "rated": "curate.rated", "build.scores": "curate.Build.scores"}
    said = '`dedup()`, `c.dedup(on="all")`, `build.scores("x")`, a `rated` row, [`dedup()`](a.md)\n'
    found = '[`dedup()`][curate.dedup], [`c.dedup(on="all")`][curate.dedup], [`build.scores("x")`][curate.Build.scores]'
    assert text.with_references(said, names) == f"{found}, a `rated` row, [`dedup()`](a.md)\n"


def saved(tmp_path: Path, *outputs: dict[str, Any]) -> Path:
    cells = [
        {"cell_type": "markdown", "source": ["# A title"]},
        {"cell_type": "code", "source": ["show()"], "outputs": list(outputs)},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), "utf-8")
    return tmp_path / "a.ipynb"


def test_a_notebook_is_shown_with_outputs_that_load_nothing(tmp_path: Path) -> None:
    loads = {"text/html": "<script src='https://x.org/a.js'></script>", "image/svg+xml": "<svg/>", "text/plain": "x"}
    picture = {"image/png": "aGVsbG8=", "text/plain": "<x>"}
    shown = [
        {"text/html": "<b>1</b>", "text/plain": "1"},
        loads,
        {"text/html": loads["text/html"], "text/plain": "<2>"},
    ]
    outputs = [{"output_type": "display_data", "data": data} for data in [*shown, picture]]
    stream = {"output_type": "stream", "text": ["a\x1b[1m<b>\n"]}
    found = notebooks.notebook(saved(tmp_path, stream, *outputs), tmp_path / "pictures")
    assert "x.org" not in found
    for part in ("<pre>a&lt;b&gt;</pre>", "<b>1</b>", "<svg/>", "<pre>&lt;2&gt;</pre>", 'alt="&lt;x&gt;"'):
        assert part in found
    assert [path.read_bytes() for path in (tmp_path / "pictures").iterdir()] == [b"hello"]
    assert notebooks.title(tmp_path / "a.ipynb") == "A title"


@pytest.mark.parametrize(
    "html",
    [
        '<script async src="https://x.org/a.js"></script>',
        "<img src=//x.org/a.png>",
        '<link rel="stylesheet" href="https://x.org/a.css">',
        "<style>@import 'https://x.org/a.css'</style>",
        '<p style="background: url(https://x.org/a.png)">',
    ],
)
def test_a_page_that_loads_something_is_a_fault(html: str, tmp_path: Path) -> None:
    entries = " ".join(f'<h2 id="curate.{name}">' for name in curate.__all__)
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "all.html").write_text(entries, "utf-8")
    (tmp_path / "index.html").write_text('<a href="https://x.org">x</a><link rel="canonical" href="https://x.org">')
    assert check.faults(tmp_path) == []
    (tmp_path / "index.html").write_text(html, "utf-8")
    assert [fault.split(":")[0] for fault in check.faults(tmp_path)] == ["index.html"]


def test_a_name_without_an_entry_is_a_fault(tmp_path: Path) -> None:
    assert len(check.faults(tmp_path)) == len(curate.__all__)


def test_ci_builds_the_site() -> None:
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "python .ci/site " in ci
    assert '\nstage "site" site\n' in ci
