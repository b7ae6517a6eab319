"""`curate recut`: what it prints, what it takes, and what it says of a wrong call."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from curate.cli import app as cli

MIXTURE = """
import curate as c
rows = c.files("words.jsonl", "messages")
mix = c.Mixture("words", [c.Source("a", rows)], [c.refusals(), c.shape(on="response", min_words=10), c.dedup()])
other = c.Mixture("other", [c.Source("a", rows)])
"""


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a mixture file and a build of it."""
    monkeypatch.chdir(tmp_path)
    line = (
        '{{"id":"r{0}","messages":[{{"role":"user","content":"Ask {0}?"}},{{"role":"assistant","content":"{1}"}}]}}\n'
    )
    texts = [" ".join(f"w{number}n{i}" for i in range(number)) for number in range(1, 25)]
    Path("words.jsonl").write_text("".join(line.format(i, text) for i, text in enumerate(texts, 1)), "utf-8")
    Path("mix.py").write_text(MIXTURE, "utf-8")
    run("build", "mix.py:words", "-o", "b", "-q")
    return tmp_path


def run(*line: str, code: int = 0) -> Result:
    found = CliRunner().invoke(cli.app, list(line))
    assert found.exit_code == code, found.output
    return found


@pytest.mark.usefixtures("words")
def test_recut_prints_what_moved_what_changes_and_the_nearest_rows() -> None:
    shown = run("recut", "b", "--set", "shape.too_few_words=12", "-n", "2").stdout
    for line in ("shape(min_words=12)", "dropped shape too_few_words      2", "nearest to the bounds"):
        assert line in shown
    assert "unknown" not in shown
    assert "dedup(threshold=0.9)" in run("recut", "b", "--set", "dedup=0.9", "--mixture", "mix.py").stdout
    loose = run("recut", "b", "--without", "shape", "--no-compute").stdout
    assert "leave out shape()" in loose
    assert "dedup would have to decide on it      9" in loose
    assert "no row changes" in loose
    assert "entered" in run("recut", "b", "--set", "shape.too_few_words=none").stdout


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ((), "recut() moves nothing: name a step of the build: refusals, shape, dedup"),
        (("--set", "shape.too_few_words=x"), "--set shape.too_few_words=x: write a number, or none for no limit"),
        (("--set", "dedup"), "--set dedup: write NAME=VALUE"),
        (("--set", "shap.too_few_words=1"), "this build has no step 'shap'; did you mean 'shape'?"),
        (("--without", "shap"), "this build has no step 'shap'; did you mean 'shape'?"),
        (("--set", "dedup=0.9", "--mixture", "mix.py:other"), "mix.py:other declares no mixture 'words'"),
    ],
)
def test_recut_says_what_is_wrong_with_a_call(line: tuple[str, ...], message: str) -> None:
    assert message in run("recut", "b", *line, code=2).stderr
