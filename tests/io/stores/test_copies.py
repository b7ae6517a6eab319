"""Each file of a store is fetched once, whole, and never to a place that its name chooses; what goes wrong is said."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from curate.errors import CurateError, FormatError, MixtureError, SourceNotFoundError
from curate.io.inputs import files
from curate.io.stores.copies import find, here
from curate.io.stores.drivers import WAITS, at_once, transfer
from tests.support.bucket import Bucket
from tests.support.build_data import built, chats, hashes, source

fsspec = pytest.importorskip("fsspec")

ROOT: Final = Path(__file__).parents[3]
ROWS: Final = b"".join(json.dumps(row).encode() + b"\n" for row in chats(40))


def test_a_file_is_fetched_once(store: Bucket) -> None:
    store.put({"in/a.jsonl": ROWS, "in/b.jsonl.gz": gzip.compress(ROWS)})
    first = find(["s3://bucket/in/*"])
    assert sorted(store.asked("GET", "jsonl")) == ["/bucket/in/a.jsonl", "/bucket/in/b.jsonl.gz"]
    store.requests.clear()
    assert find(["s3://bucket/in/*"]) == first
    assert [here(file) for file in first] == [file.path for file in first]
    assert store.asked("GET", r"jsonl") == []


def test_a_file_that_changed_is_fetched_again(store: Bucket) -> None:
    store.put({"a.jsonl": ROWS})
    opened = files("s3://bucket/a.jsonl").open()
    store.put({"a.jsonl": ROWS[::-1]})  # as many bytes
    again = files("s3://bucket/a.jsonl", "messages")
    assert [file.path.read_bytes() for file in again.parts(None)] == [ROWS[::-1]]
    assert opened.stamp() == [("a.jsonl", len(ROWS), 0)]
    assert opened.parts[0].path.read_bytes() == ROWS


def test_whoever_reads_fetches(store: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store.put({"a.jsonl": ROWS})
    (file,) = find(["s3://bucket/a.jsonl"])
    (tmp_path / "copies").rename(tmp_path / "copies of this machine")
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "of another machine"))
    there = here(pickle.loads(pickle.dumps(file)))  # noqa: S301
    assert there.is_relative_to(tmp_path / "of another machine")
    assert there.read_bytes() == ROWS
    store.remove("a.jsonl")
    there.unlink()
    with pytest.raises(
        SourceNotFoundError, match=r"^s3://bucket/a\.jsonl is not there\. It may have been moved or del"
    ):
        here(file)


HOSTILE: Final = (
    *("../up.jsonl", "a/../../up.jsonl", "/abs.jsonl", "~/home.jsonl", "..%2fup.jsonl", "%2e%2e/up.jsonl"),
    *("a b\té.jsonl", "\u202egnol.jsonl", "$(touch x).jsonl", "[red]a.jsonl", "a\\b.jsonl", "a" * 300 + ".jsonl"),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_store_chooses_a_path(store: Bucket, tmp_path: Path, name: str) -> None:
    fine = {"in/fine.jsonl": ROWS, "in/fine/fine.jsonl": ROWS}
    store.put({**fine, f"in/{name}": ROWS, f"in/fine/{name}": ROWS})
    before = set(tmp_path.rglob("*"))
    found = {file.name: file for file in find(["s3://bucket/in"])}
    assert {"fine.jsonl", "fine/fine.jsonl"} <= found.keys()
    made = set(tmp_path.rglob("*")) - before
    assert all(path.relative_to(tmp_path / "copies").parts[:1] in {(), ("files",)} for path in made)
    assert all(file.path.is_relative_to(tmp_path / "copies" / "files") for file in found.values())
    assert all(file.path.read_bytes() == ROWS for file in found.values())
    assert not any(part in {"", ".", ".."} for file in found for part in file.split("/"))


@pytest.mark.parametrize(
    ("failure", "fetches"),
    [({"status": 503}, 2), ({"status": 500, "times": 2}, 3), ({"cut": 100}, 2), ({"cut": 0, "times": 2}, 3)],
)
def test_a_failure_that_passes_costs_a_try(store: Bucket, failure: dict[str, Any], fetches: int) -> None:
    store.put({"a.jsonl": ROWS})
    store.fail("GET", r"a\.jsonl", **failure)
    (file,) = find(["s3://bucket/a.jsonl"])
    assert file.path.read_bytes() == ROWS
    assert len(store.asked("GET", r"a\.jsonl")) == fetches


class Failing:
    """Lets a method of a driver fail for a while; counts the calls."""

    def __init__(self, call: Callable[..., Any], *errors: Exception) -> None:
        self.call, self.errors, self.calls = call, list(errors), 0

    def __call__(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.call(*given, **named)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The store `memory://` with a file."""
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "copies"))
    monkeypatch.setattr("curate.io.stores.drivers.WAITS", (0.0,) * len(WAITS))
    driver = fsspec.filesystem("memory")
    driver.store.clear()
    driver.pipe_file("/in/a.jsonl", ROWS)
    yield driver
    driver.store.clear()


@pytest.mark.parametrize("times", range(len(WAITS) + 2))
@pytest.mark.parametrize("method", ["get_file", "info", "find"])
def test_a_driver_without_tries_of_its_own_is_tried_again(memory: Any, method: str, times: int) -> None:  # noqa: ANN401
    failing = Failing(getattr(memory, method), *[ConnectionResetError("cut by the peer")] * times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), method, failing)
        if times <= len(WAITS):
            (file,) = find(["memory://in"])
            assert file.path.read_bytes() == ROWS
            return
        with pytest.raises(
            SourceNotFoundError, match=r"^memory://in.*: the store fails or cannot be reached \(cut by t"
        ):
            find(["memory://in"])
        assert failing.calls == len(WAITS) + 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError("Forbidden"),
            r"^memory://in/a\.jsonl: no access \(Forbidden\)\. If it is closed, give them as its",
        ),
        (
            FileNotFoundError("in/a.jsonl"),
            r"^memory://in/a\.jsonl is not there\. It may have been moved or deleted mean",
        ),
        (OSError(28, "No space left on device"), r"no file can be written on this machine .*set CURATE_BUCKETS"),
        (ValueError("no such thing"), r"^memory://in/a\.jsonl: no such thing$"),
    ],
)
def test_what_stays_wrong_is_said_at_once(memory: Any, error: Exception, said: str, tmp_path: Path) -> None:  # noqa: ANN401
    failing = Failing(memory.get_file, error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "get_file", failing)
        with pytest.raises(SourceNotFoundError, match=said):
            find(["memory://in/a.jsonl"])
    assert failing.calls == 1
    assert [path.name for path in (tmp_path / "copies").rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    (file,) = find(["memory://in/a.jsonl"])
    assert file.path.read_bytes() == ROWS


def test_a_file_that_changes_while_it_is_fetched_is_no_copy(memory: Any, tmp_path: Path) -> None:  # noqa: ANN401
    fetch = memory.get_file

    def meddle(_: object, path: str, to: str, **__: object) -> None:
        fetch(path, to)
        memory.pipe_file(path, b"{}" + memory.cat_file(path)[2:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "get_file", meddle)
        with pytest.raises(FormatError, match=r"^memory://in/a\.jsonl changes while it is read, or comes incomplete"):
            find(["memory://in/a.jsonl"])
    assert not [path for path in (tmp_path / "copies").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_store_that_says_nothing_of_changes_is_read_each_time(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    def info(path: str) -> dict[str, Any]:
        return {"name": path, "size": None, "type": "file"}

    monkeypatch.setattr(type(memory), "info", staticmethod(info))
    (first,) = find(["memory://in/a.jsonl"])
    (same,) = find(["memory://in/a.jsonl"])
    memory.pipe_file("/in/a.jsonl", ROWS[::-1])
    (other,) = find(["memory://in/a.jsonl"])
    assert first == same
    assert here(first) == first.path
    first.path.unlink()
    with pytest.raises(FormatError, match=r"^memory://in/a\.jsonl changed while it was being read"):
        here(first)
    memory.pipe_file("/in/a.jsonl", ROWS)
    assert here(first) == first.path
    assert other.path != first.path
    assert (first.path.read_bytes(), other.path.read_bytes()) == (ROWS, ROWS[::-1])


def test_a_folder_that_cannot_be_written_is_named(memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: ANN401
    assert memory.exists("/in/a.jsonl")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "file" / "in"))
    with pytest.raises(
        MixtureError, match=r"file/in cannot be written: Not a directory; name a folder: CURATE_BUCKETS"
    ):
        find(["memory://in/a.jsonl"])


class _Signed(BaseHTTPRequestHandler):
    """Serves rows to whoever has a signature, which says which rows; says nothing of when they change."""

    def serve(self) -> None:
        number = parse_qs(urlsplit(self.path).query).get("id", [""])[0]
        rows = ROWS.replace(b"Ask", b"Tell" + number.encode()) if "sig=s3cr3t/x" in self.path else b""
        self.send_response(200 if rows else 403)
        self.send_header("Content-Length", str(len(rows)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(rows)

    def log_message(self, *_: object) -> None: ...

    do_GET = do_HEAD = serve  # noqa: N815  names that the base class calls


def test_signed_web_addresses_are_read_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "copies"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Signed)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}/rows.jsonl"
    urls = [f"{base}?id={number}&sig=s3cr3t/x" for number in (1, 2)]
    try:
        opened = files(urls, "messages").open()
        assert [(file.name, file.place) for file in opened.parts] == [("rows (2).jsonl", base), ("rows.jsonl", base)]
        made = built(tmp_path / "out", source("s", files(urls, "messages")))
        with pytest.raises(SourceNotFoundError, match=r"^http://127.*/rows\.jsonl: ") as caught:
            files(f"{base}?sig=s3cr3t-no").open()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "s3cr3t" not in str(caught.value)
    for number in (1, 2):
        name = "rows.jsonl" if number == 1 else "rows (2).jsonl"
        own = made.ledger.filter(pl.col("file") == name).select("source", "id")
        rows = made.kept().join(own, on=["source", "id"], how="semi").collect()
        asked = rows["messages"].list.first().struct.field("content")
        assert asked.str.starts_with(f"Tell{number} ").all()
        assert rows.height == 40
    assert not [name for name in hashes(made.path) if b"s3cr3t" in (made.path / name).read_bytes()]


KILLED: Final = """
import os, sys
from curate.io.stores import copies

def die(*_):
    os.kill(os.getpid(), 9)

copies.is_still = die
copies.find(["s3://bucket/a.jsonl"])
"""


def test_a_fetch_that_was_killed_leaves_no_copy(store: Bucket, tmp_path: Path) -> None:
    store.put({"a.jsonl": ROWS})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    left = list((tmp_path / "copies").rglob("*.part"))
    assert len(left) == 1
    (file,) = find(["s3://bucket/a.jsonl"])
    assert file.path.read_bytes() == ROWS
    assert not left[0].exists()


def test_errors_of_a_store_say_what_to_do(store: Bucket) -> None:
    store.put({"a.jsonl": ROWS})
    with pytest.raises(SourceNotFoundError, match=r"s3://other/a\.jsonl: there is no such bucket"):
        find(["s3://other/a.jsonl"])
    store.fail("HEAD", r"a\.jsonl", status=403, times=9)
    with pytest.raises(
        SourceNotFoundError, match=r"no access \(Forbidden\)\. If it is closed, set AWS_ACCESS_KEY_ID and"
    ):
        find(["s3://bucket/a.jsonl"])
    with pytest.raises(
        SourceNotFoundError, match=r"the pattern 's3://bucket/\*\.csv' matches no file; s3://bucket holds a"
    ):
        find(["s3://bucket/*.csv"])


def test_rows_of_a_bucket_name_their_file_as_those_on_disk(store: Bucket, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_bytes(ROWS + b"no row\n")
    (tmp_path / "in" / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(ROWS.replace(b"Ask", b"Say")))
    store.put(tmp_path / "in", "in/")
    on_disk = built(tmp_path / "disk", source("s", files(tmp_path / "in"), max_quarantine=0.5))
    in_store = built(tmp_path / "store", source("s", files("s3://bucket/in"), max_quarantine=0.5))
    assert hashes(in_store.path) == hashes(on_disk.path)
    assert in_store.ledger.collect()["file"].unique().sort().to_list() == ["a.jsonl", "deep/b.jsonl.gz"]
    text = json.dumps(in_store.manifest) + (in_store.path / "report.html").read_text("utf-8")
    assert "hidden-key" not in text
    assert str(tmp_path) not in text


def test_secrets_of_a_url_are_in_no_message_and_no_build(memory: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """`memory://` has no users; a user and a password are a part of the path to it, which a message must not show."""
    memory.pipe_file("/ann:s3cr3t@in/a.jsonl", ROWS)
    made = built(tmp_path / "out", source("s", files("memory://ann:s3cr3t@in/a.jsonl")))
    assert not [name for name in hashes(made.path) if b"s3cr3t" in (made.path / name).read_bytes()]
    for wrong in ("memory://ann:s3cr3t@in/b.jsonl", "memory://ann:s3cr3t@in/*.csv", "memory://ann:s3cr3t@no"):
        with pytest.raises(SourceNotFoundError, match=r"^(?!.*s3cr3t).*memory://") as caught:
            find([wrong])
        assert caught.value.__cause__ is None
    declared = source("s", files("memory://ann:s3cr3t@in/a.jsonl"))
    assert "s3cr3t" not in repr(declared)
    assert "memory://in/a.jsonl" in repr(pickle.loads(pickle.dumps(declared)))  # noqa: S301


def test_the_first_error_ends_a_fetch_of_many_files(memory: Any) -> None:  # noqa: ANN401
    for number in range(200):
        memory.pipe_file(f"/in/{number}.jsonl", ROWS)
    calls: list[str] = []
    fetch = memory.get_file

    def failing(_: object, path: str, to: str, **__: object) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise PermissionError("Forbidden")
        time.sleep(0.01)
        fetch(path, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "get_file", failing)
        with pytest.raises(SourceNotFoundError, match=r"no access \(Forbidden\)"):
            find(["memory://in"])
    assert len(calls) < 40


def test_the_first_error_ends_a_transfer_in_the_middle() -> None:
    """As Ctrl-C does: what is under way does not go on to its end."""
    ended: list[str] = []

    def transferred(which: str) -> None:
        if which == "fails":
            raise PermissionError("Forbidden")
        while True:  # a file without an end
            transfer(endless, "from", "to")

    def endless(start: str, end: str, callback: Any) -> None:  # noqa: ANN401
        assert (start, end) == ("from", "to")
        for _ in range(10_000):
            time.sleep(0.001)
            try:
                callback.relative_update(1)
            except CurateError:
                ended.append("in the middle")
                raise

    with pytest.raises(PermissionError, match="Forbidden"):
        at_once(transferred, ["runs", "fails"], 2)
    assert ended == ["in the middle"]
