"""A folder with a small mixture file and its data, in which the commands run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.build_data import chat, chats, write_lines

MIXTURE = """\
import curate as c

first = c.Mixture(
    "first-mix",
    [c.Source("a", c.files("data/a.jsonl", "messages"), take=c.Rows(20))],
    [c.refusals(), c.exact_dedup(on="prompt")],
    seed=1,
)
second = c.Mixture("second-mix", [c.Source("b", c.files("data/b.jsonl", "messages"))])
again = second
_hidden = c.Mixture("hidden", [c.Source("b", c.files("data/b.jsonl"))])
"""

REFUSAL = "As an AI language model, I do not have opinions."


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: `mix.py`, and its data in `data/`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "mix.py").write_text(MIXTURE, "utf-8")
    refusing = [chat(f"Say {n}!", REFUSAL, id=f"r{n}") for n in range(3)]
    named = [{"id": f"a{n}", **row} for n, row in enumerate(chats(30))]
    write_lines(tmp_path / "data" / "a.jsonl", [*named, *refusing, "no json"])
    write_lines(tmp_path / "data" / "b.jsonl", chats(5))
    return tmp_path
