"""An upload is whole or no build: refused, killed or beside another one, the next one goes on where it ended."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from curate.errors import BuildFolderError, PushError
from curate.io.inputs import files
from curate.io.stores.remote_folder import RemoteFolder
from curate.mix.amounts import Rows
from curate.mixture import Mixture
from curate.result import bucket as store_of
from curate.result.bucket import AGAIN, UNFINISHED, work_folder
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from tests.support.bucket import Bucket
from tests.support.build_data import built, chats, hashes, source, write_lines

fsspec = pytest.importorskip("fsspec")

ROOT: Final = Path(__file__).parents[2]
OUT: Final = "s3://bucket/out"


def simple(place: str | Path = "s3://bucket/in", name: str = "mix", **more: Any) -> Mixture:  # noqa: ANN401
    return Mixture(name, [source("s", files(place, "messages"))], [shape(), exact_dedup()], **more)


def sums(there: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in there.items()}


def test_an_upload_that_was_refused_goes_on(store: Bucket, tmp_path: Path) -> None:
    store.put({"in/a.jsonl": write_lines(tmp_path / "a.jsonl", [*chats(30), *chats(2)]).read_bytes()})
    store.fail("PUT", r"report\.html", status=403, times=99)
    with pytest.raises(PushError, match=rf"^s3://bucket/out/report\.html: no access .*\. {re.escape(AGAIN)}$"):
        simple().build(OUT, quiet=True)
    assert UNFINISHED in store.names("out/")
    assert "manifest.json" not in store.names("out/")
    with pytest.raises(
        BuildFolderError, match=r"^no build at s3://bucket/out: it has no manifest\.json\. An upload of o"
    ):
        Build(OUT)
    partial = work_folder(OUT).with_name(".out.partial")
    kept = {path: path.stat().st_mtime_ns for path in partial.glob("partitions/*.lines.arrow")}
    there = set(store.names("out/"))
    assert kept
    store.requests.clear()
    store.failures.clear()
    stamps: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        sent = store_of.send

        def look(folder: Path, url: str, *, overwrite: bool) -> None:
            stamps.extend(path.stat().st_mtime_ns == at for path, at in kept.items())
            sent(folder, url, overwrite=overwrite)

        patch.setattr("curate.mixture.send", look)
        made = simple().build(OUT, quiet=True)
    assert stamps == [True] * len(kept)
    assert sums(store.read("out/")) == hashes(made.path)
    again = {name.removeprefix("/bucket/out/") for name in store.asked("PUT", "/out/")}
    assert again == {*hashes(made.path), UNFINISHED} - (there - {UNFINISHED})
    assert "report.html" in again
    assert not again & {name for name in there if name.startswith(("data/", "ledger/", "dropped/"))}


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_a_store_that_fails_now_and_then_changes_nothing(store: Bucket, tmp_path: Path, seed: int) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        write_lines(tmp_path / "in" / f"{number}.jsonl", chats(30, 20 * number))
    store.put(tmp_path / "in", "in/")
    store.chance.seed(seed)
    store.share = 0.15
    made = simple().build(OUT, quiet=True)
    store.share = 0.0
    assert sums(store.read("out/")) == hashes(made.path) == hashes(simple(tmp_path / "in").build(tmp_path / "out").path)


SCRIPT: Final = """
import sys
from functools import partial
import curate as c

c.Mixture("mix", [c.Source("s", c.files("s3://bucket/in", "messages"))], [c.shape(), c.exact_dedup()]).build(
    "s3://bucket/out", quiet=True, overwrite=len(sys.argv) > 1
)
"""


@pytest.mark.parametrize("at", [r"unfinished", r"ledger/", r"data/train", r"report\.html", r"manifest\.json"])
@pytest.mark.parametrize("over", [False, True])
def test_an_upload_that_was_killed_is_no_build_and_goes_on(store: Bucket, tmp_path: Path, at: str, over: bool) -> None:  # noqa: FBT001
    """`over` another build, whose test split and whose ledger differ."""
    store.put({"in/a.jsonl": write_lines(tmp_path / "a.jsonl", [*chats(30), *chats(2)]).read_bytes()})
    wanted = hashes(simple().build(tmp_path / "disk", quiet=True).path)
    if over:
        store.put(simple(test=Rows(4), name="older").build(tmp_path / "older", quiet=True).path, "out/")
    running: list[subprocess.Popen[bytes]] = []
    skip = 1 if at == "unfinished" else 0  # the first one only shows that the place can be written
    store.fail("PUT", at, status=0, times=skip)
    store.fail("PUT", at, status=503, then=lambda: running[0].send_signal(signal.SIGKILL))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *["over"] * over], env=environment) as process:
        running.append(process)
        assert process.wait(60) == -signal.SIGKILL
    if at != "unfinished":
        assert UNFINISHED in store.names("out/")
        with pytest.raises(BuildFolderError, match="no build at s3://bucket/out"):
            Build(OUT)
    sent = set(store.names("out/"))
    store.requests.clear()
    made = simple().build(OUT, overwrite=over, quiet=True)
    assert sums(store.read("out/")) == wanted == hashes(made.path)
    if not over:
        again = {name.removeprefix("/bucket/out/") for name in store.asked("PUT", "/out/")}
        assert not again & (sent - {UNFINISHED})


def test_two_builds_for_one_place_do_not_mix(store: Bucket, tmp_path: Path) -> None:
    store.put({"in/a.jsonl": write_lines(tmp_path / "a.jsonl", chats(30)).read_bytes()})

    card = len(simple().build(tmp_path / "disk", quiet=True).path.joinpath("README.md").read_bytes())
    meddling = {UNFINISHED: b"{}", "data/train-00009-of-00010.parquet": b"theirs", "README.md": b"?" * card}
    for name, content in meddling.items():
        store.fail("GET", r"prefix=out%2F&delimiter=&", status=0, times=2)  # the third time all should be there
        store.fail("GET", r"prefix=out%2F&delimiter=&", status=0, then=partial(store.put, {f"out/{name}": content}))
        what = "README.md is not there, or not whole" if name == "README.md" else "someone else sends a build there"
        with pytest.raises(PushError, match=rf"^s3://bucket/out: {what}"):
            simple().build(OUT, quiet=True)
        assert "manifest.json" not in store.names("out/")
        store.failures.clear()
    made = simple().build(OUT, quiet=True)
    assert sums(store.read("out/")) == hashes(made.path)


@pytest.mark.usefixtures("store")
def test_a_file_in_parts_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 5 << 20
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *_, **__: part)
    path = tmp_path / "large"
    for size in (part // 2, 2 * part - 1, 2 * part, 2 * part + 7):
        path.write_bytes(os.urandom(size))
        folder = RemoteFolder(OUT, PushError)
        folder.put(path, "large")
        (info,) = folder.files().values()
        assert ("-" in info["ETag"]) is (size >= 2 * part)
        assert folder.holds("large", info, path)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert not folder.holds("large", info, path)
        path.write_bytes(data[:-1])
        assert not folder.holds("large", info, path)


def test_a_store_without_checksums_is_read_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "copies"))
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    disk = built(tmp_path / "disk", source("s", chats(9)))
    path = write_lines(tmp_path / "a.jsonl", chats(9))
    declared = Mixture("mix", [source("s", files(path, "messages"))])
    made = declared.build("memory://top/out", quiet=True)
    there = {name.removeprefix("/top/out/"): file.getvalue() for name, file in memory.store.items()}
    assert sums(there) == hashes(made.path)
    assert made.kept().collect().drop("id").equals(disk.kept().collect().drop("id"))
    folder = RemoteFolder("memory://top/out", PushError)
    for name, info in folder.files().items():
        assert folder.holds(name, info, made.path / name)
        changed = tmp_path / "changed"
        changed.write_bytes((made.path / name).read_bytes()[::-1])
        assert not folder.holds(name, info, changed)
    memory.store.clear()
