"""Every how-to runs as it is written, in an empty folder, with a Hub, a judge and a bucket on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.document_code import run_code
from tests.support.hub_server import serving
from tests.support.judge_server import judging
from tests.support.replicas import repository, text

HOWTO: Final = (Path(__file__).parents[1] / "HOWTO.md").read_text("utf-8")
TITLES: Final = [line.removeprefix("## ") for line in HOWTO.splitlines() if line.startswith("## ")]
LIMA: Final = [
    {"conversations": [text(f"{row}/{turn}") for turn in range(2)], "source": "wikihow"} for row in range(10)
]
TOKEN: Final = "hf_" + "w" * 24


def section(title: str) -> tuple[str, int]:
    """Return a section, and the line of the file that it begins with."""
    start = HOWTO.index(f"\n## {title}\n") + 1
    end = HOWTO.find("\n## ", start)
    return HOWTO[start : end if end > 0 else None], HOWTO.count("\n", 0, start)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the Hub's client, at each upload
@pytest.mark.parametrize("title", TITLES)
def test_a_howto_runs(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    document, line = section(title)
    with (
        serving(
            {"GAIR/lima": repository({"train.jsonl": LIMA}, licence="other", gated=True)},
            tokens={TOKEN: {"lab/*", "GAIR/lima"}},
        ) as hub,
        hub.here(tmp_path / "hf", token=TOKEN),
        judging() as judge,
    ):
        monkeypatch.setenv("JUDGE_URL", judge.url)
        if "s3://" in document:
            request.getfixturevalue("store")
        assert run_code(document, "HOWTO.md", {"python", "sh"}, line)


def test_there_are_sixteen() -> None:
    assert len(TITLES) == 16
