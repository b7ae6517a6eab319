"""A build delivers what its plan says: takes, weights, shortages, and tokens by estimate or by a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import ShortageError
from curate.mix.amounts import Fraction, Repeat, Rows, Tokens
from curate.mix.spec import Source
from curate.result.build import Build
from curate.result.tables import composition
from curate.rows.tokens import Tokenizer
from curate.steps.filters.shape import shape
from tests.support.build_data import built, chat, chats, hashes, said, source, texts

SENTENCES = ("one two three", "one", "two two two two two two", "three one unknown")


def rows_of(done: Build) -> dict[str, int]:
    return dict(done.composition.select("source", "rows").iter_rows())


def tokens_of(done: Build) -> dict[str, int]:
    return dict(done.composition.select("source", "tokens").iter_rows())


@pytest.fixture
def tokenizer(words_tokenizer: Path) -> Tokenizer:
    """A tokenizer that knows three words."""
    return Tokenizer(str(words_tokenizer), per_turn=2)


def test_every_take_comes_to_its_count(tmp_path: Path) -> None:
    takes = {"rows": Rows(13), "part": Fraction(0.25), "twice": Repeat(2)}
    sources = [source(name, chats(40, 100 * i), take=take) for i, (name, take) in enumerate(takes.items())]
    assert rows_of(built(tmp_path / "out", *sources)) == {"rows": 13, "part": 10, "twice": 80}


def test_counts_are_counts_of_clean_rows(tmp_path: Path) -> None:
    rows = [*chats(20), *(chat(f"Hm {i}?", "") for i in range(10))]
    done = built(tmp_path / "out", source("s", rows, take=Fraction(0.5)), steps=[shape()])
    assert rows_of(done) == {"s": 10}
    with pytest.raises(ShortageError, match=r"s has 20 rows after the steps, asked: 21"):
        built(tmp_path / "more", source("s", rows, take=Rows(21)), steps=[shape()])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out"]


def test_weights_share_a_total_of_rows(tmp_path: Path) -> None:
    sources = [source("a", chats(80)), source("b", chats(80, 200)), source("c", chats(40, 500))]
    done = built(tmp_path / "out", *sources, weights={"a": 2, "b": 1, "c": 1}, total=Rows(101))
    assert rows_of(done) == {"a": 51, "b": 25, "c": 25}
    sized = built(tmp_path / "sized", *sources, weights="size", total=Rows(50))
    assert rows_of(sized) == {"a": 20, "b": 20, "c": 10}


def test_weights_share_a_total_of_tokens(tmp_path: Path) -> None:
    sources = [source("a", chats(80)), source("b", chats(80, 200))]
    done = built(tmp_path / "out", *sources, weights={"a": 3, "b": 1}, total=Tokens(600))
    lines = done.composition.select("source", "unit", "asked", "delivered", "tokens").rows()
    assert [line[:3] for line in lines] == [("a", "tokens", 450), ("b", "tokens", 150)]
    largest = done.ledger.select("tokens").max().collect().item()
    for _, _, asked, delivered, tokens in lines:
        assert asked - largest < tokens <= asked
        assert delivered == tokens


def short(tmp_path: Path, **options: Any) -> Build:  # noqa: ANN401
    return built(tmp_path, source("few", chats(10), take=Rows(25)), source("b", chats(5, 50)), **options)


def test_a_shortage_stops_shrinks_or_repeats(tmp_path: Path) -> None:
    with pytest.raises(ShortageError, match="few has 10 rows after the steps, asked: 25"):
        short(tmp_path / "out")
    assert rows_of(short(tmp_path / "less", on_shortage="shrink")) == {"few": 10, "b": 5}
    again = short(tmp_path / "again", on_shortage="repeat")
    assert rows_of(again) == {"few": 25, "b": 5}
    copies = again.ledger.filter(source="few").select("copies").collect()["copies"]
    assert sorted(copies) == [2] * 5 + [3] * 5
    with pytest.raises(ShortageError, match="cannot deliver within max_repeat=2"):
        short(tmp_path / "out", on_shortage="repeat", max_repeat=2)


def test_tokens_are_counted_by_the_tokenizer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    done = built(tmp_path / "out", source("s", [chat(text, "one") for text in SENTENCES]), tokenizer=tokenizer)
    counted = {len(text.split()) + 1 + 2 * 2 for text in SENTENCES}
    assert set(done.ledger.collect()["tokens"]) == counted
    assert tokens_of(done) == {"s": sum(len(text.split()) + 5 for text in SENTENCES)}
    assert done.manifest["tokens"] == "exact"
    assert str(tmp_path) not in (done.path / "manifest.json").read_text("utf-8")


def test_a_tokenizer_is_known_by_its_content(tmp_path: Path, tokenizer: Tokenizer) -> None:
    elsewhere = tmp_path / "copy.json"
    elsewhere.write_bytes(Path(tokenizer.path).read_bytes())
    rows = source("s", chats(8), take=Tokens(60))
    one = built(tmp_path / "one", rows, tokenizer=tokenizer)
    two = built(tmp_path / "two", rows, tokenizer=Tokenizer(str(elsewhere), per_turn=2))
    assert hashes(one.path) == hashes(two.path)


def test_the_estimate_is_as_stated(tmp_path: Path) -> None:
    asks = ["", "four", "fives", "héé", "你好世界"]
    done = built(tmp_path / "out", source("s", [chat(ask, "x") for ask in asks]))
    counts = done.kept().join(done.ledger, on="id").select("messages", "tokens").collect()
    for messages, tokens in counts.iter_rows():
        assert tokens == sum(-(-len(turn["content"].encode()) // 4) + 4 for turn in messages)


@pytest.fixture(scope="module")
def pool() -> list[Source]:
    return [source("a", chats(60)), source("b", chats(30, 100))]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**64 - 1), small=st.integers(1, 30), more=st.integers(0, 30))
def test_a_smaller_build_is_part_of_a_larger(
    tmp_path_factory: pytest.TempPathFactory, pool: list[Source], seed: int, small: int, more: int
) -> None:
    folder = tmp_path_factory.mktemp("nested")
    rows = chats(60)
    few = built(folder / "few", source("a", rows, take=Rows(small)), seed=seed)
    many = built(folder / "many", source("a", rows, take=Rows(small + more)), pool[1], seed=seed)
    held = set(texts(many.kept().filter(source="a")))
    assert set(texts(few.kept())) <= held <= set(said(rows))
    assert len(held) == small + more


def test_rows_come_in_a_mixed_order(tmp_path: Path) -> None:
    done = built(tmp_path / "out", source("a", chats(300)), source("b", chats(300, 1000)))
    first = done.kept().collect().head(200)["source"]
    # 100 of 200 are expected, standard deviation under 7
    assert 65 < (first == "a").sum() < 135
    assert done.composition["share"].to_list() == [0.5, 0.5]
    assert pl.Series(done.composition["token_share"]).sum() == pytest.approx(1)


def test_a_capped_source_is_a_share_of_the_build_and_the_report_says_what_stayed_out(tmp_path: Path) -> None:
    chatty, maths = chats(80), chats(40, 200)
    done = built(tmp_path / "out", source("chat", chatty, max_share=0.35), source("maths", maths))
    lines = done.composition.select("source", "take", "capped", "asked", "rows").rows()
    assert lines == [("chat", "All(), at most 35 %", 59, 21, 21), ("maths", "All()", 0, 40, 40)]
    heads = [cell.text for cell in composition(done.composition, estimated=True).heads]
    assert heads[:4] == ["source", "take", "capped", "asked"]
    more = built(tmp_path / "more", source("chat", chatty, max_share=0.5), source("maths", maths))
    assert set(texts(done.kept())) < set(texts(more.kept()))
    assert done.funnel.filter(pl.col("source") == "chat")["unsampled"].item() == 59
