"""`split_long` reads the same parts from every container, and a build accounts for each of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import datasets
import polars as pl
import pytest

from curate.engine import reading
from curate.engine.partition import make_partition
from curate.errors import MixtureError
from curate.io.formats.oasst import oasst_messages
from curate.io.hub.hub import hub
from curate.io.inputs import Input, files
from curate.io.joined import joined
from curate.io.split_long import split_long
from curate.io.tables import dataset, frame
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.rows.tokens import Tokenizer
from curate.steps.filters.shape import shape
from tests.support.build_data import chat, fates, hashes, write_lines

ROWS: Final = [
    chat(*(f"{i} {k} " + "word " * ((i * 7 + k * 3) % 20) for k in range(2 * (1 + i % 5))), id=f"r{i}", n=i)
    for i in range(60)
] + [chat("long " * 100, "So.", id="huge"), chat("a", "b", "long " * 100, "So.", id="half")]
LIMIT: Final = 60


def lines(folder: Path) -> Input:
    return files(write_lines(folder / "a.jsonl", ROWS))


def array(folder: Path) -> Input:
    (folder / "a.json").write_text(json.dumps(ROWS))
    return files(folder / "a.json")


def packed(folder: Path) -> Input:
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(write_lines(folder / "b.txt", ROWS).read_bytes()))
    return files(folder / "a.jsonl.gz", "messages")


def parquet(folder: Path) -> Input:
    pl.DataFrame(ROWS).write_parquet(folder / "a.parquet", row_group_size=9)
    return files(folder / "a.parquet")


def polars(_: Path) -> Input:
    return frame(pl.DataFrame(ROWS))


def huggingface(_: Path) -> Input:
    return dataset(datasets.Dataset.from_list(ROWS))


CONTAINERS: Final = [lines, array, packed, parquet, polars, huggingface]


def build(given: Input, out: Path, *, threads: int = 1, **options: Any) -> Build:  # noqa: ANN401
    source = Source("main", given, max_quarantine=0.5, **options)
    return Mixture("mix", (source,), [shape(max_turns=6)], seed=7).build(out, threads=threads, quiet=True)


@pytest.mark.parametrize("make", CONTAINERS)
def test_every_container_gives_the_same_parts(make: Callable[[Path], Input], tmp_path: Path) -> None:
    opened = split_long(make(tmp_path), LIMIT).open()
    assert opened.rows is None
    assert opened.describe().endswith(", split at 60 tokens, estimated")
    found = [opened.parse(block) for block in opened.blocks()]
    names = [name for one in found for name in one.ids.to_pylist()]
    assert len(names) == len(set(names)) > len(ROWS)
    assert {name.split("_")[0] for name in names} == {row["id"] for row in ROWS} - {"huge"}
    assert {json.loads(meta)["n"] for one in found for meta in one.body["meta"].to_pylist() if meta != "{}"} == set(
        range(60)
    )
    wanted = [said["content"] for row in ROWS for said in row["messages"] if "long" not in said["content"]]
    read = [said["content"] for one in found for row in one.body["messages"].to_pylist() for said in row]
    assert read == [text for text in wanted if text != "So."]
    assert [bad["column"] for one in found for bad in one.bad.to_pylist()] == ["messages[0]", "messages[2]"]


@pytest.mark.parametrize("before", [None, Rows(50)])
def test_a_build_accounts_for_each_part_whatever_the_threads(before: Rows | None, tmp_path: Path) -> None:
    given = split_long(lines(tmp_path), LIMIT)
    one = build(given, tmp_path / "one", before=before)
    counts = fates(one)["main"]
    assert counts["quarantined"] == 2
    assert sum(counts.values()) == one.ledger.collect().height > len(ROWS)
    assert (counts["kept"] + counts.get("dropped", 0) == 50) == (before is not None)
    whole = one.quarantined("main").sort("line").select("line", "column", "expected").rows()
    assert whole == [
        (61, "messages[0]", "an exchange of at most 60 tokens, not 134"),
        (62, "messages[2]", "an exchange of at most 60 tokens, not 134"),
    ]
    four = build(given, tmp_path / "four", before=before, threads=4)
    assert hashes(four.path) == hashes(one.path)
    lines_of = one.ledger.filter(pl.col("id").str.starts_with("r4_")).collect()
    assert lines_of["line"].unique().to_list() == [5]
    assert lines_of.height > 1


def test_an_interrupted_build_goes_on_and_another_limit_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words_tokenizer: Path
) -> None:
    write_lines(tmp_path / "b.jsonl", [chat("x", "y", id="z")])
    lines(tmp_path)
    given = files(tmp_path / "*.jsonl")
    calls = 0

    def fails_second(*args: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt("the second block")
        return make_partition(*args)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "make_partition", fails_second)
        with pytest.raises(KeyboardInterrupt, match="second block"):
            build(split_long(given, LIMIT), tmp_path / "out")
    assert hashes(build(split_long(given, LIMIT), tmp_path / "out").path) == hashes(
        build(split_long(given, LIMIT), tmp_path / "again").path
    )
    exact = build(split_long(given, LIMIT, tokenizer=Tokenizer(str(words_tokenizer))), tmp_path / "exact")
    prints = [one.manifest["fingerprint"] for one in (Build(tmp_path / "out"), exact)]
    prints.append(build(split_long(given, 80), tmp_path / "eighty").manifest["fingerprint"])
    assert len(set(prints)) == 3


def test_messages_in_a_flat_list_are_joined_and_then_split(tmp_path: Path) -> None:
    said = [
        {"message_id": str(k), "parent_id": str(k - 1) if k else None, "role": role, "text": "one two", "rank": 0}
        for k, role in enumerate(["prompter", "assistant"] * 3)
    ]
    given = split_long(files(write_lines(tmp_path / "a.jsonl", said), oasst_messages(), id=None), 12)
    built = build(given, tmp_path / "out", before=Rows(2))
    assert fates(built)["main"] == {"kept": 2, "unsampled": 1}


def test_other_rows_than_conversations_are_refused(tmp_path: Path) -> None:
    pairs = frame(pl.DataFrame({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}))
    with pytest.raises(MixtureError, match=r"split_long\(\) splits conversations, and preference makes preference"):
        split_long(pairs, 100).open()
    file = write_lines(tmp_path / "a.jsonl", [{"p": "a", "r": "b", "s": 1}])
    with pytest.raises(MixtureError, match="splits conversations, and rated makes rated"):
        split_long(joined([file], on="p", content="r", score="s"), 100).open()


def test_a_wrong_setting_says_so() -> None:
    for wrong in (0, 2.5, True):
        with pytest.raises(MixtureError, match=r"split_long\(max_tokens="):
            split_long(files("a.jsonl"), wrong)  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match=r"split_long\(like='tulu'\): did you mean 'tulu2'"):
        split_long(files("a.jsonl"), 10, like="tulu")  # type: ignore[arg-type]
    assert split_long(hub("a/b", split="train"), 10).long_split is not None
