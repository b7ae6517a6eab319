"""The folder that a build replaces: what curate wrote goes, what a person put there stays."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from curate.engine.workspace import workspace
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


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        (".out.partial/out/data/a.parquet", errno.EACCES, r"^cannot write to .*: denied; choose another folder$"),
        ("out", errno.EACCES, r"^cannot write to .*: denied; choose another folder$"),
        (None, errno.ENOSPC, r"^the disk that holds .* is full"),
        ("model.bin", errno.ENOENT, r"denied: '.*model\.bin'$"),
        (None, None, r"^denied$"),
    ],
)
def test_only_an_error_of_the_folder_is_called_one(
    tmp_path: Path, place: str | None, code: int | None, message: str
) -> None:
    """Functions of users raise `OSError` too, as for a model that is not there; nothing is left behind either way."""
    named = () if place is None else (str(tmp_path / place),)
    error = OSError("denied") if code is None else OSError(code, "denied", *named)
    with (
        pytest.raises((OSError, BuildFolderError), match=message) as caught,
        workspace(tmp_path / "out", {}, resume=False, overwrite=False),
    ):
        raise error
    assert (caught.value is error) is message.startswith(("denied", "^denied"))
    assert list(tmp_path.iterdir()) == []
