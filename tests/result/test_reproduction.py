"""A build held against what was published of its mixture, and the licences of its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import CallError, MixtureError
from curate.mix.amounts import Rows
from curate.mix.published import Published
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import built, chat, chats, source

PUBLISHED = {
    "equal": Published(20, cite="paper, table 1"),
    "sample": Published(10, sampled=True),
    "filtered": Published(20, kept=18, cite="paper, section 2"),
    "fewer": Published(30),
    "asked": Published(20, note="only the first part"),
    "ahead": Published(20, kept=18, sampled=True),
    "lost": Published(50, gone="taken down in 2024"),
    "left": Published(5),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Build:
    refused = [chat(f"No {i}?", "As an AI language model, I cannot.") for i in range(3)]
    return built(
        tmp_path_factory.mktemp("published") / "out",
        source("equal", chats(20)),
        source("sample", chats(40, 100), take=Rows(10)),
        source("filtered", [*chats(17, 200), *refused]),
        source("fewer", chats(25, 300)),
        source("asked", chats(25, 400), take=Rows(4)),
        source("ahead", chats(25, 600), before=Rows(6)),
        source("new", chats(3, 500)),
        steps=(refusals(),),
        published=PUBLISHED,
    )


def test_each_difference_is_explained(found: Build) -> None:
    lines = {line["source"]: line for line in found.reproduction().to_dicts()}
    assert {name: (line["difference"], line["why"]) for name, line in lines.items()} == {
        "equal": (0, "same count"),
        "sample": (0, "random sample, not published"),
        "filtered": (-1, "filter differs: refusals drops 3, the published filter dropped 2"),
        "fewer": (-5, "the source has 25 rows now"),
        "asked": (-16, "4 rows were asked for; only the first part"),
        "ahead": (-12, "6 rows were asked for; random sample, not published"),
        "lost": (None, "source gone: taken down in 2024"),
        "left": (None, "left out of this mixture"),
        "new": (None, "not in the published mixture"),
        "total": (85 - 171, ""),
    }
    assert (lines["filtered"]["published"], lines["filtered"]["published_kept"]) == (20, 18)
    assert (lines["filtered"]["read"], lines["filtered"]["dropped"], lines["filtered"]["rows"]) == (20, 3, 17)
    assert lines["filtered"]["cite"] == "paper, section 2"


def test_page_and_card_show_it(found: Build) -> None:
    page, card = (found.path / "report.html").read_text(), (found.path / "README.md").read_text()
    for text in (page, card):
        assert "Against what was published" in text
        assert "source gone: taken down in 2024" in text


def test_rows_that_are_in_several_sources_are_named(tmp_path: Path) -> None:
    other = built(tmp_path / "other", source("other", chats(2, 50)))
    made = built(
        tmp_path / "out",
        source("flan", chats(10)),
        source("orca", [*chats(6, 7), *chats(3, 30)]),
        source("more", [*chats(1), *chats(5, 12), *chats(1, 40), *chats(1, 50)]),
        steps=(exact_dedup(), dedup(against=other)),
        published={"flan": Published(10), "orca": Published(9), "more": Published(8)},
    )
    why = dict(made.reproduction().select("source", "why").rows())
    assert why == {
        "flan": "same count",
        "orca": "filter differs: exact_dedup drops 3; 3 rows are also in flan",
        "more": "filter differs: exact_dedup drops 2, dedup drops 1; 1 row is also in other builds; "
        "1 row is also in flan; 1 row is also in orca",
        "total": "",
    }
    assert made.overlap("exact_dedup").select("source", "kept_source", "rows").rows() == [
        ("more", "flan", 1),
        ("more", "orca", 1),
        ("orca", "flan", 3),
    ]
    page, card = (made.path / "report.html").read_text(), (made.path / "README.md").read_text()
    assert all("3 rows are also in flan" in text for text in (page, card))
    assert "## Duplicates: exact_dedup" in card
    assert "| orca | flan | 3 | 33.3 % |" in card


def test_what_was_published_decides_nothing(tmp_path: Path, found: Build) -> None:
    plain = built(tmp_path / "out", source("equal", chats(20)))
    held = built(tmp_path / "held", source("equal", chats(20)), published=PUBLISHED, use="commercial")
    assert plain.manifest["fingerprint"] == held.manifest["fingerprint"] != found.manifest["fingerprint"]
    with pytest.raises(CallError, match="nothing was published of mixture 'mix'"):
        plain.reproduction()


def test_licences_are_counted_by_row_and_conflicts_named(tmp_path: Path) -> None:
    rows = [
        *chats(4, license="cc-by-4.0"),
        *chats(3, 10, license="CC-BY-NC-4.0"),
        *chats(2, 20, license="llama3.1"),
        *chats(1, 30),
    ]
    made = built(
        tmp_path / "out",
        source("own", rows, licence_field="license"),
        source("one", chats(5, 40), licence="odc-by"),
        source("none", chats(5, 50)),
        use="commercial",
    )
    assert made.licences.rows() == [
        ("own", "", 1, "not stated"),
        ("own", "CC-BY-NC-4.0", 3, "not allowed"),
        ("own", "cc-by-4.0", 4, "allowed"),
        ("own", "llama3.1", 2, "not stated"),
        ("one", "odc-by", 5, "allowed"),
        ("none", "", 5, "not stated"),
    ]
    assert made.notes == [
        "source 'own': the licence of 1 rows is not stated",
        "source 'own': the licence of 3 rows, CC-BY-NC-4.0, does not allow commercial use",
        "source 'own': the licence of 2 rows, llama3.1, may or may not allow commercial use: read it",
        "source 'none': its licence is not stated",
    ]
    assert "CC-BY-NC-4.0" in (made.path / "report.html").read_text()
    plain = built(tmp_path / "plain", source("one", chats(5, 40), licence="odc-by"))
    assert plain.licences.rows() == [("one", "odc-by", 5, None)]
    assert "Rows in the data files by licence" not in (plain.path / "README.md").read_text()


def test_what_is_nothing_published_is_an_error() -> None:
    with pytest.raises(MixtureError, match=r"published=\{'a': ...\} is no Published"):
        Mixture("mix", (source("a", chats(1)),), published={"a": 5})  # type: ignore[dict-item]
    with pytest.raises(MixtureError, match="use='comercial': did you mean 'commercial'"):
        Mixture("mix", (source("a", chats(1)),), use="comercial")  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match="Published"):
        Published(-1)
