"""Bad input ends in a clear error or in the quarantine, and never in phase a build."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curate.errors import (
    BuildFolderError,
    FormatError,
    MixtureError,
    QuarantineError,
    ShortageError,
    SourceNotFoundError,
)
from curate.io.inputs import files
from curate.mix.amounts import Rows
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import built, chat, chats, fates, hashes, left_behind, said, source, texts, write_lines

GOOD = [json.dumps(row).encode() for row in chats(20)]
UNPRIVILEGED = 65_534


def plain(out: Path, path: Path, **options: Any) -> Build:  # noqa: ANN401
    return built(out, source("s", files(path, "messages")), steps=[refusals(), exact_dedup()], **options)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.jsonl", b""),
        ("empty.json", b""),
        ("blank.jsonl", b"\n \n\n"),
        ("nothing.json", b"[]"),
        ("header.csv", b"prompt,completion\n"),
        ("header.tsv", b"prompt\tcompletion\n"),
        ("empty.csv", b""),
        ("packed.jsonl.gz", gzip.compress(b"", mtime=0)),
    ],
)
def test_a_file_without_rows_gives_none(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    other = source("other", chats(3))
    done = built(tmp_path / "out", source("s", files(tmp_path / name)), other, steps=[refusals(), exact_dedup()])
    assert done.funnel["read"].to_list() == [0, 3, 3]
    assert done.kept().collect().height == 3
    with pytest.raises(ShortageError, match="s has 0 rows after the steps, asked: 5"):
        built(tmp_path / "asked", source("s", files(tmp_path / name), take=Rows(5)), other)
    assert left_behind(tmp_path / "asked") == []


def test_a_format_that_reads_no_row_names_one_that_does(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", chats(20))
    with pytest.raises(
        QuarantineError, match=r"found '.*\nmessages\(\) reads such rows: name it, or leave out format=$"
    ):
        built(tmp_path / "out", source("s", files(path, "sharegpt")))
    write_lines(path, [{"a": "1", "b": "2"}] * 20)
    with pytest.raises(QuarantineError, match=r"Map the columns yourself: .* with two of 'a', 'b'$"):
        built(tmp_path / "out", source("s", files(path, "sharegpt")))


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "invalid UTF-8": (b'{"messages": [{"role": "user", "content": "caf\xe9"}]}', r"UTF-8"),
    "a line of 50 MB": (b'{"messages": [{"role": "user", "content": "' + b"a" * (50 << 20) + b'"}]}', "at most 32 MiB"),
    "deeply nested": (b'{"messages": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "at most 200 levels"),
    "cut off": (b'{"messages": [{"role": "user", "conte', "valid JSON; it ends early"),
    "no object": (b'"just text"', "object"),
    "NUL": (b'{"messages": [{"role": "user", "content": "a\\u0000b"}]}', "text without NUL"),
    "phase a pair": (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', "lone surrogate"),
    "null": (b'{"messages": [{"role": "user", "content": null}]}', "text"),
    "a number": (b'{"messages": [{"role": "user", "content": 5}]}', "str"),
    "no field": (b'{"message": []}', "a field of this name"),
    "no turn": (b'{"messages": []}', "at least one message"),
    "a key twice": (b'{"messages": [], "messages": []}', "once, not twice"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_is_quarantined_alone(tmp_path: Path, what: str) -> None:
    line, expected = BAD_LINES[what]
    done = plain(tmp_path / "out", write_lines(tmp_path / "rows.jsonl", [*GOOD[:7], line, *GOOD[7:]]))
    assert fates(done) == {"s": {"kept": 20, "quarantined": 1}}
    assert texts(done.kept()) == said(chats(20))
    bad_row = done.quarantined().row(0, named=True)
    assert (bad_row["file"], bad_row["line"]) == ("rows.jsonl", 8)
    assert expected in bad_row["expected"]
    assert len(bad_row["excerpt"]) <= 200
    assert line.startswith(bad_row["excerpt"][:10].encode())


def test_all_bad_lines_at_once(tmp_path: Path) -> None:
    bad = [line for line, _ in BAD_LINES.values()]
    mixed = [each for pair in zip(bad, GOOD, strict=False) for each in pair] + GOOD[len(bad) :]
    path = write_lines(tmp_path / "rows.jsonl", mixed)
    done = built(tmp_path / "out", source("s", files(path, "messages"), max_quarantine=0.5), threads=2)
    assert done.quarantined()["line"].to_list() == list(range(1, 2 * len(bad), 2))
    assert texts(done.kept()) == said(chats(20))


PACKED = gzip.compress(b"\n".join(GOOD * 500))
BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "truncated gzip": ("rows.jsonl.gz", PACKED[: len(PACKED) // 2], r"rows\.jsonl\.gz cannot be read: .*[Tt]runcated"),
    "gzip with a wrong byte": ("rows.jsonl.gz", PACKED[:200] + b"\0\0\0\0" + PACKED[204:], "cannot be read"),
    "half a JSON array": ("rows.json", b"[" + b",\n".join(GOOD), r"rows\.json is not valid JSON, line 20"),
    "a deeply nested array": ("rows.json", b"[" + b"[" * 100_000 + b"]" * 100_000 + b"]", "nested too deeply"),
    "half a character of UTF-16": ("rows.jsonl", "{}".encode("utf-16") + b"\0", "cannot be read: .*truncated"),
    "a zip archive": ("rows.jsonl", b"PK\x03\x04" + b"\0" * 50, "is a zip archive"),
    "phase a Parquet file": ("rows.parquet", b"PAR1" + b"\0" * 50, "cannot be read"),
    "no Arrow file": ("rows.arrow", b"ARROW1\0\0", "cannot be read"),
    "a picture": ("rows.png", b"\x89PNG\r\n\x1a\n", "none of the layouts"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_cannot_be_read_stops_the_build(tmp_path: Path, what: str) -> None:
    name, data, message = BAD_FILES[what]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=message):
        plain(tmp_path / "out", tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", GOOD)
    with pytest.raises(SourceNotFoundError, match=r"row\.jsonl' is not there; .* holds rows\.jsonl"):
        plain(tmp_path / "out", tmp_path / "row.jsonl")
    with pytest.raises(FormatError, match="no format fits"):
        built(tmp_path / "out", source("s", files(write_lines(tmp_path / "odd.jsonl", ['{"a": 1}']))))
    with pytest.raises(SourceNotFoundError, match=r"^source 's': "):
        plain(tmp_path / "out", tmp_path / "row.jsonl")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["odd.jsonl", "rows.jsonl"]


def test_a_build_that_fails_leaves_no_folder_it_made(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    short = source("s", chats(3), take=Rows(4))
    for out in (tmp_path / "here" / "a" / "b" / "out", tmp_path / "c" / "out"):
        with pytest.raises(ShortageError, match="cannot deliver"):
            built(out, short)
    assert [each.name for each in tmp_path.rglob("*")] == ["here"]


# --- folders that cannot be written -------------------------------------------------------------------------------


@contextmanager
def without_privileges() -> Iterator[None]:
    """Give up root's rights for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can write to; `tmp_path` is closed to others.

    A build as ourselves comes first: what loads late, from a place that others may not read, is loaded then.
    """
    plain(tmp_path / "first", write_lines(tmp_path / "rows.jsonl", GOOD))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def test_an_input_without_permission_is_named(open_folder: Path) -> None:
    out = open_folder / "out"
    path = write_lines(open_folder / "rows.jsonl", GOOD)
    with without_privileges():
        plain(out, path)
    (open_folder / "shut").mkdir()
    write_lines(open_folder / "shut" / "rows.jsonl", GOOD)
    (open_folder / "shut").chmod(0)
    path.chmod(0)
    with (
        without_privileges(),
        pytest.raises(FormatError, match=r"rows\.jsonl cannot be read: Permission denied\. Give it read"),
    ):
        plain(out, path, overwrite=True)
    with without_privileges(), pytest.raises(FormatError, match=r"shut.* cannot be read: Permission denied"):
        plain(out, open_folder / "shut", overwrite=True)
    (open_folder / "shut").chmod(0o755)
    assert Build(out).kept().collect().height == 20
    assert left_behind(out) == []


def test_a_folder_without_permission_is_named(open_folder: Path) -> None:
    path = write_lines(open_folder / "rows.jsonl", GOOD)
    plain(open_folder / "warm", path)
    shut = open_folder / "shut"
    shut.mkdir(mode=0o555)
    for out in (shut / "out", shut / "deep" / "out"):
        with (
            without_privileges(),
            pytest.raises(BuildFolderError, match=r"cannot write to .*shut.*: Permission denied; choose"),
        ):
            plain(out, path)
    assert list(shut.iterdir()) == []


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", GOOD)
    with pytest.raises(BuildFolderError, match=r"rows\.jsonl exists; choose another folder"):
        plain(path, path)
    with pytest.raises(BuildFolderError, match=r"exists and is no build of curate"):
        plain(path, path, overwrite=True)
    with pytest.raises(BuildFolderError, match=r"cannot write to .*rows\.jsonl: Not a directory"):
        plain(path / "out", path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BuildFolderError, match="link exists"):
        plain(tmp_path / "link", path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "rows.jsonl"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of so many bytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"needs to mount a small disk: {done.stderr.decode().strip()}")
        mounted.append(disk)
        return disk

    yield mount
    for each in mounted:
        subprocess.run(["umount", str(each)], check=True)


def packed(path: Path) -> Path:
    """Pack a file as gzip, and return the packed one."""
    made = path.with_name(path.name + ".gz")
    made.write_bytes(gzip.compress(path.read_bytes()))
    return made


@pytest.mark.parametrize("size", [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 1_300 << 10])
def test_a_full_disk_is_reported_and_left_clean(tmp_path: Path, small_disk: Callable[[int], Path], size: int) -> None:
    # 4 kB is full at the first note, 1.3 MB when the partitions (1.2 MB) are there and data and ledger come.
    words = [chat(f"Ask {i}?", hex(i**40)) for i in range(3_000)]
    path = packed(write_lines(tmp_path / "rows.jsonl", words))  # rows of a plain file would stay there
    disk = small_disk(size)
    with pytest.raises(BuildFolderError, match=r"the disk that holds .*disk is full; free space or choose"):
        plain(disk / "out", path, threads=2)
    assert list(disk.iterdir()) == []


def test_a_full_disk_leaves_the_old_build(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(1 << 20)
    plain(disk / "out", write_lines(tmp_path / "rows.jsonl", GOOD))
    before = hashes(disk)
    words = [chat(f"Ask {i}?", hex(i**40)) for i in range(3_000)]
    with pytest.raises(BuildFolderError, match="is full"):
        plain(disk / "out", packed(write_lines(tmp_path / "rows.jsonl", words)), overwrite=True)
    assert hashes(disk) == before


def test_a_wrong_declaration_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="needs sources"):
        built(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
