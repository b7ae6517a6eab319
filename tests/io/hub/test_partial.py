"""Of Parquet on the Hub, only the columns and row groups that are needed are fetched, and read as if it were whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.utils._http
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import FormatError
from curate.io.arrow_rows import ParquetPart
from curate.io.blocks import Block
from curate.io.hub.hub import hub
from curate.io.hub.partial import ByteRange, fetch_parts, joined, without
from curate.io.hub.repository import snapshot
from curate.io.inputs import Input, Opened
from curate.mix.spec import Source
from curate.mixture import Mixture
from tests.support.hub_server import Hub, serving, sha256
from tests.support.hub_sets import REPOSITORIES, TRAIN, chats, count, parquet

NEEDED = ["id", "messages"]
FILE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with serving(REPOSITORIES) as found, found.here(tmp_path / "hf"):
        yield found


def train(columns: Sequence[str] | None = None) -> Input:
    return hub("lab/chat", config="chat", split="train", columns=columns)


def rows(opened: Opened) -> pa.Table:
    """Return the rows without what the columns that are left out would add."""
    return pa.Table.from_batches([opened.parse(block).body for block in opened.blocks()]).drop_columns("meta")


def test_columns_fetch_no_others(server: Hub) -> None:
    opened = train(NEEDED).open()
    assert opened.fields() == ("id", "messages")
    narrow = rows(opened)
    fetched = server.sent(sha256(TRAIN))
    assert 0 < fetched < len(TRAIN) / 4
    assert all(one.range for one in server.asked(sha256(TRAIN)))
    asked = len(server.asked(sha256(TRAIN)))
    assert rows(train(NEEDED).open()).equals(narrow)
    assert len(server.asked(sha256(TRAIN))) == asked, "once"
    whole = train().open()
    assert whole.fields() == ("id", "dataset", "messages", "extra")
    assert rows(whole).equals(narrow)
    assert rows(train(NEEDED).open()).equals(narrow), "also from the whole file"


def test_more_columns_fetch_only_what_is_not_there(server: Hub) -> None:
    opened = train(["messages"]).open()
    before = server.sent(sha256(TRAIN))
    assert rows(train(["messages", "dataset"]).open()).num_rows == 400
    assert 0 < server.sent(sha256(TRAIN)) - before < before
    assert [(one.size, one.mtime_ns) for one in train(["messages", "dataset"]).open().parts] == [
        (one.size, one.mtime_ns) for one in opened.parts
    ], "the same file, for a build that has it open"


def test_columns_are_read_offline_afterwards(server: Hub, tmp_path: Path) -> None:
    online = rows(train(NEEDED).open())
    with server.here(tmp_path / "hf", offline=True):
        asked = len(server.requests)
        assert rows(train(NEEDED).open()).equals(online)
        assert len(server.requests) == asked
        with pytest.raises(ValueError, match=r"lab/chat at revision .* is not, or not whole, in the Hub's cache"):
            train(["extra", "messages"]).open()


def test_a_range_that_is_cut_or_refused_is_fetched_again(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(sleep=waits.append))
    server.fail(sha256(TRAIN), cut=100)
    server.fail(sha256(TRAIN), status=503)
    server.fail(f"resolve/.*{FILE}", status=429, headers={"Retry-After": "9"})
    assert count(train(NEEDED).open()) == {FILE: 400}
    assert waits == [10, 2, 4]


def test_a_server_without_ranges_is_refused(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.hub_server.Storage.file", lambda self, data: self.answer(200, data))
    with pytest.raises(FormatError, match="is not served in parts; leave columns= out"):
        train(NEEDED).open()
    assert server.requests


def test_row_groups_that_cannot_match_are_not_fetched_and_numbers_stay(server: Hub) -> None:
    """A source that is a part of another by a column: `chats` has a half of each of two sets, in row groups of 50."""
    opened = replace(train(NEEDED), where={"dataset": ("lima",)}).open()
    assert opened.fields() == ("id", "dataset", "messages"), "what chooses the rows is read too"
    fetched = server.sent(sha256(TRAIN))
    found = list(opened.blocks())
    assert [number for block in found for number, _ in _numbered(opened, block)] == list(range(201, 401))
    ids = pa.concat_arrays([opened.parse(block).ids for block in found]).to_pylist()
    assert ids == [f"r{i}" for i in range(200, 400)]
    assert list(replace(train(NEEDED), where={"dataset": ("neither",)}).open().blocks()) == []
    whole = train(NEEDED).open()
    assert server.sent(sha256(TRAIN)) > fetched, "what was left out"
    numbered = [row for block in whole.blocks() for row in _numbered(whole, block)]
    assert [row for block in found for row in _numbered(opened, block)] == numbered[200:]


def _numbered(opened: Opened, block: Block) -> list[tuple[int, str]]:
    parsed = opened.parse(block)
    return list(zip(parsed.line.tolist(), parsed.ids.to_pylist(), strict=True))


def test_a_part_of_a_set_builds_the_same_bytes_as_the_whole_file(server: Hub, tmp_path: Path) -> None:
    mixture = Mixture("part", [Source("lima", train(), where={"dataset": "lima"})])
    part = mixture.build(tmp_path / "part", quiet=True)
    assert 0 < server.sent(sha256(TRAIN)) < 0.6 * len(TRAIN)
    assert count(train().open()) == {FILE: 400}
    whole = mixture.build(tmp_path / "whole", quiet=True)
    files = sorted(path.relative_to(whole.path) for path in whole.path.rglob("*") if path.is_file())
    assert all((part.path / file).read_bytes() == (whole.path / file).read_bytes() for file in files)
    assert len(files) > 4


def test_a_footer_that_is_long_is_fetched_whole(server: Hub) -> None:
    """300 row groups have a footer of more than the 64 KiB that are fetched first."""
    data = parquet(chats(300, large=20_000), row_group_size=1)
    server.commit("lab/facts", {"data/train.parquet": data})
    assert count(hub("lab/facts", columns=["messages"]).open()) == {"data/train.parquet": 300}
    assert server.sent(sha256(data)) < len(data) / 2


def test_a_stand_in_whose_note_is_lost_is_fetched_again(server: Hub) -> None:
    found = snapshot("lab/chat", None)
    place = fetch_parts(found, FILE, ParquetPart(("id",)))
    asked = len(server.asked(sha256(TRAIN)))
    place.with_name(f"{place.name}.parts.json").write_text("[[")
    assert fetch_parts(found, FILE, ParquetPart(("id",))) == place
    assert len(server.asked(sha256(TRAIN))) == 2 * asked


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda pair: ByteRange(pair[0], sum(pair))))


def bytes_of(found: Sequence[ByteRange]) -> set[int]:
    return {byte for span in found for byte in range(*span)}


@given(spans, spans, st.integers(0, 3))
def test_spans_are_sets_of_bytes(wanted: list[ByteRange], held: list[ByteRange], gap: int) -> None:
    assert bytes_of(joined(wanted, 0)) == bytes_of(wanted)
    assert bytes_of(wanted) <= bytes_of(joined(wanted, gap))
    apart = joined(wanted, gap)
    assert all(two.start - one.end > gap for one, two in pairwise(apart))
    assert bytes_of(list(without(wanted, joined(held, 0)))) == bytes_of(wanted) - bytes_of(held)
