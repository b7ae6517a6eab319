"""Files at their place or not at all: the same bytes at two places."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.io.atomic import share


def test_a_file_at_a_second_place_takes_no_space(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("whole")
    share(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").samefile(tmp_path / "one")
    share(tmp_path / "one", tmp_path / "two")  # as a worker does that takes over from a lost one
    assert (tmp_path / "two").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_where_a_file_cannot_be_at_two_places_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    (tmp_path / "one").write_text("whole")
    (tmp_path / "two").write_text("old")
    share(tmp_path / "one", tmp_path / "two")
    assert not (tmp_path / "two").samefile(tmp_path / "one")
    assert (tmp_path / "two").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
