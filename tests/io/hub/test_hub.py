"""Rows come from the Hub: a loopback server plays it to the real client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from curate.engine.manifest import canonical
from curate.errors import EmptyBuildError, MixtureError
from curate.io.hub.card import DatasetCard
from curate.io.hub.hub import CONVERTED, hub
from curate.io.hub.repository import resolved_once
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.report.check import check_parts
from curate.steps.dedup.exact_dedup import exclude_prompts_of
from tests.support.hub_server import Hub, serving
from tests.support.hub_sets import FACT, REPOSITORIES, count, refusal

TRAIN = "data/train-00000-of-00001.parquet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with serving(REPOSITORIES) as found, found.here(tmp_path / "hf"):
        yield found


def test_files_of_a_repository_are_read_as_files(server: Hub) -> None:
    assert count(hub("lab/facts").open()) == {"more/two.jsonl": 2, "one.jsonl": 1}
    assert count(hub("lab/facts", "question_answer", files="*.jsonl").open()) == {"one.jsonl": 1}
    assert count(hub("lab/facts", files=["more", "one.jsonl"]).open()) == {"more/two.jsonl": 2, "one.jsonl": 1}
    assert count(hub("lab/many").open()) == {f"part/{i:03}.jsonl": 1 for i in range(120)}
    assert len(server.asked("api/.*lab/many/tree")) == 3, "pages"


def test_configs_and_splits_are_chosen_by_name(server: Hub) -> None:
    assert count(hub("lab/chat", config="chat", split="train").open()) == {TRAIN: 400}
    both = hub("lab/chat", config="chat", split=["test", "train"]).open()
    assert count(both) == {"data/test-00000-of-00001.parquet": 3, TRAIN: 400}
    assert count(hub("lab/chat", config="facts").open()) == {"facts.jsonl": 2}
    assert count(hub("lab/chat", config="more", split="validation").open()) == {"more/valid/a.jsonl": 3}
    assert not server.asked("test-00000-of-00001.parquet.*of=train"), "nothing else is fetched"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "lab/chat has 3 configs; choose one: hub('lab/chat', config=...): chat (403 rows), facts, more"),
        ({"config": "chats"}, "lab/chat has no config 'chats' (did you mean 'chat'?); it has chat (403 rows), facts"),
        ({"config": "chat"}, "lab/chat has 2 splits; choose one: hub('lab/chat', split=...): train (400 rows), test"),
        ({"config": "chat", "split": "dev"}, "lab/chat has no split 'dev'; it has train (400 rows), test (3 rows)"),
        ({"files": "fact.jsonl"}, "lab/chat has no file 'fact.jsonl'; did you mean 'facts.jsonl'?"),
        ({"revision": "v2"}, "lab/chat has no revision 'v2'; known: main, v1"),
        ({"revision": "f" * 40}, "lab/chat has no revision 'ffffffff"),
        ({"config": "facts", "columns": ["question"]}, "facts.jsonl is not Parquet; leave columns= out"),
        ({"config": "chat", "split": "train", "columns": ["idx"]}, f"lab/chat: {TRAIN} has no column 'idx'; did you"),
    ],
)
def test_a_refusal_says_what_is_there(server: Hub, asked: dict[str, object], said: str) -> None:
    found = refusal("lab/chat", **asked)
    assert found.startswith("SourceNotFoundError: ")
    assert said in found
    assert not server.asked("resolve/.*jsonl")


def test_a_loading_script_is_never_run_and_its_parquet_is_read(server: Hub) -> None:
    converted = hub("lab/scripted", split="train").open()
    assert count(converted) == {"plain/train/0000.parquet": 4, "plain/train/0001.parquet": 2}
    assert converted.origin is not None
    assert converted.origin.commit == server.refs["lab/scripted"][CONVERTED]
    assert converted.origin.card.licence == "mit"
    assert not converted.notes
    partial = hub("lab/scripted", config="plain", split="test").open()
    assert partial.notes == ("lab/scripted has more rows than the Hub converted to Parquet",)
    pinned = hub("lab/scripted", split="train", revision=converted.origin.commit)
    assert count(pinned.open()) == count(converted)
    assert "has 2 splits" in refusal("lab/scripted")
    assert "v1 is a loading script" in refusal("lab/scripted", revision="v1")
    assert "the Hub has no Parquet of it (refs/convert/parquet) either" in refusal("lab/lost")
    assert "lab/card has no data files" in refusal("lab/card")
    assert not server.asked("resolve/.*[.]py")


def test_the_card_gives_licence_and_citation(server: Hub) -> None:
    origin = hub("lab/chat", config="facts").open().origin
    assert origin is not None
    assert origin.card == DatasetCard(
        "Chats of a lab", "odc-by", None, "@misc{lab2026,\n  title={{Chats} of a lab},\n}"
    )
    assert origin.describe() == (
        f"lab/chat at {server.refs['lab/chat']['main']} (main), config facts, split train; licence odc-by"
    )


def test_the_manifest_names_the_commit_and_the_licence_is_that_of_the_card(server: Hub, tmp_path: Path) -> None:
    commit = server.refs["lab/chat"]["main"]
    sources = [
        Source("facts", hub("lab/chat", config="facts")),
        Source("own", hub("lab/facts"), licence="CC0-1.0"),
    ]
    mixture = Mixture("facts", sources)
    built = mixture.build(tmp_path / "build", quiet=True)
    facts, own = built.manifest["sources"]
    assert facts["origin"] == {
        "repository": "lab/chat", "commit": commit, "config": "facts", "splits": ["train"], "title": "Chats of a lab",
        "licence": "odc-by", "citation": "@misc{lab2026,\n  title={{Chats} of a lab},\n}",
    }  # fmt: skip
    assert facts["licence"] == "odc-by"
    assert own["licence"] == "CC0-1.0"
    shown = "\n".join(str(part) for part in check_parts(check(mixture)))
    assert f"lab/chat at {commit} (main), config facts, split train; licence odc-by" in shown

    server.commit("lab/chat", {"README.md": b"", "facts.jsonl": FACT})
    pinned = replace(mixture, sources=(replace(sources[0], input=hub("lab/chat", config="facts", revision=commit)),))
    again = pinned.build(tmp_path / "pinned", quiet=True)
    assert again.manifest["sources"][0]["content"] == facts["content"]


def test_a_build_reads_one_commit_of_a_set_that_moves(server: Hub, tmp_path: Path) -> None:
    """The set moves while the build runs: all its sources, and what a step is held against, are of one commit."""
    server.repositories["lab/moving"] = REPOSITORIES["lab/facts"]
    server.refs["lab/moving"] = {}
    first = server.commit("lab/moving", {"one.jsonl": FACT})

    def asked() -> int:
        return len(server.asked("api/datasets/lab/moving/revision/main"))

    with resolved_once():
        one = hub("lab/moving").open()
        server.commit("lab/moving", {"one.jsonl": FACT * 3})
        other = hub("lab/moving").open()
    assert one.origin == other.origin
    assert (count(other), asked()) == ({"one.jsonl": 1}, 1)
    mixture = Mixture(
        "moving",
        [Source("a", hub("lab/moving")), Source("b", hub("lab/moving"))],
        steps=[exclude_prompts_of(hub("lab/moving"), allow_large_drop=True)],
    )
    before = asked()
    with pytest.raises(EmptyBuildError, match="keeps no row"):
        mixture.build(tmp_path / "build", quiet=True)
    assert asked() == before + 1
    manifest = json.loads((tmp_path / "build" / "manifest.json").read_text())
    commits = {source["origin"]["commit"] for source in manifest["sources"]}
    assert commits == {server.refs["lab/moving"]["main"]}
    assert first not in commits


def test_without_a_network_the_cache_gives_the_same_build(server: Hub, tmp_path: Path) -> None:
    mixture = Mixture("facts", [Source("facts", hub("lab/chat", config="facts"))])
    online = mixture.build(tmp_path / "online", quiet=True)
    with server.here(tmp_path / "hf", offline=True):
        asked = len(server.requests)
        offline = mixture.build(tmp_path / "offline", quiet=True)
        assert offline.manifest == online.manifest
        assert (offline.path / "manifest.json").read_bytes() == (online.path / "manifest.json").read_bytes()
        found = hub("lab/chat", config="facts").open()
        assert found.origin is not None
        assert "(main, as cached)" in found.origin.describe()
        said = refusal("lab/facts")
        assert len(server.requests) == asked
    assert said == (
        "SourceNotFoundError: lab/facts is not, or not whole, in the Hub's cache on this machine (HF_HOME), and "
        "HF_HUB_OFFLINE is set. Build once without it, or fetch its files elsewhere and give them to files()"
    )


def test_a_hub_input_is_known_by_what_it_names() -> None:
    one, other = hub("lab/feedback", revision="a"), hub("lab/feedback", revision="b")
    assert canonical(one) != canonical(other)
    assert canonical(one) == canonical(hub("lab/feedback", revision="a"))
    assert canonical(hub("lab/x", split="train")) == canonical(hub("lab/x", split=["train"]))


@pytest.mark.parametrize("setting", ["files", "split", "columns"])
def test_what_names_nothing_is_refused(setting: str) -> None:
    with pytest.raises(MixtureError, match=rf"hub\('lab/feedback', {setting}=\[\]\) names none"):
        hub("lab/feedback", **{setting: []})  # type: ignore[arg-type]


def test_files_and_a_split_exclude_each_other() -> None:
    with pytest.raises(MixtureError, match="files= names the files, so leave config= and split= out"):
        hub("lab/feedback", files="*.jsonl", split="train")


def test_other_inputs_have_no_origin(tmp_path: Path) -> None:
    rows = pl.DataFrame({"question": ["2+2?"], "answer": ["4"]})
    built = Mixture("plain", [Source("plain", frame(rows))]).build(tmp_path / "build", quiet=True)
    assert "origin" not in built.manifest["sources"][0]
    assert frame(rows).open().origin is None
