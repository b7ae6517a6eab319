"""The folder that a build replaces: what curate wrote goes, what a person put there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import BuildFolderError
from curate.steps.dedup.exact_dedup import exact_dedup
from tests.support.build_data import built, chats, source


def test_overwrite_deletes_no_file_that_a_build_did_not_write(tmp_path: Path) -> None:
    out = built(tmp_path / "out", source("s", chats(3)), steps=(exact_dedup(),)).path
    kept = [out / "notes.txt", out / "data" / "mine.parquet", out / "figures" / "a.png"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", "utf-8")
    message = r"no build wrote: data/mine\.parquet, figures/a\.png, notes\.txt; nothing was deleted"
    with pytest.raises(BuildFolderError, match=message):
        built(out, source("s", chats(4)), overwrite=True)
    assert [path.read_text("utf-8") for path in kept] == ["mine"] * 3
    for path in kept:
        path.unlink()
    assert built(out, source("s", chats(4)), overwrite=True).kept().collect().height == 4
