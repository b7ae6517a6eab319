"""Builds with a Pairing at the edge: nothing to pair, ids that clash, wrong declarations, suspicious drops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pytest

from curate.engine.pipeline import rated_phase, run
from curate.errors import ConservationError, LargeDropError, MixtureError, QuarantineError
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.rows.schema import BODIES
from curate.steps.base import Paired, Pairing
from curate.steps.pairs.binarize import binarize
from tests.support.build_data import built, built_empty, chats, of_rows, source, write_lines
from tests.support.rated_data import LONG, STEPS, ask, asks, count_fates, of_rated, pair, rated_file, sides

MAIN: Final = asks(120, seed=1)


def test_sources_without_rows_and_without_pairs(tmp_path: Path) -> None:
    empty = Source("empty", rated_file(tmp_path / "none.jsonl", []))
    alone = Source("alone", of_rated([ask("A?", ("a", 1.0)), ask("B?", ("b", 1.0))]))
    some = Source("some", of_rated([ask("A?", ("a", 1.0), ("b", 2.0))]))
    for name, sources, kept in (("a", [empty], 0), ("b", [alone], 0), ("c", [empty, alone, some], 1)):
        done = (built if kept else built_empty)(tmp_path / name, *sources, steps=STEPS)
        count_fates(done)
        assert done.kept().collect().height == kept
        assert done.kept().collect().columns == ["source", "id", *BODIES["preference"].names]
        assert done.dropped("shape-2").is_empty()
        assert "chosen" in done.dropped("shape-2").columns
        assert done.dropped("binarize").height == (0 if name == "a" else 2)
    same = rated_file(tmp_path / "same.jsonl", [ask("A?", ("a", 1.0), ("b", 2.0))] * 3)
    done = built(tmp_path / "same", Source("s", same), steps=STEPS)
    names = done.ledger.collect()["id"].to_list()
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-3"]
    assert done.pairs.collect()["id"].to_list() == [f"{name}/0" for name in names]


def test_rows_that_share_an_id_give_pairs_of_their_own(tmp_path: Path) -> None:
    """The second `a` is called `a-2`, as another row calls itself; of the two called `b` only one is kept."""
    one, two = (("x", 1.0), ("y", 2.0)), (("u", 1.0), ("v", 2.0))
    rows = [ask("A?", *one, id="a"), ask("A?", *one, id="a"), ask("C?", *two, id="a-2")]
    rows += [ask("B?", *one, id="b"), ask("B?", *two, id="b")]
    done = built(tmp_path / "out", source("s", of_rated(rows)), steps=(binarize(),))
    count_fates(done)
    assert sorted(done.ledger.filter(fate="paired").collect()["id"])[:3] == ["a", "a-2", "a-2"]
    assert set(done.pairs.collect()["fate"]) == {"kept"}
    assert done.kept().collect().height == 4


def test_what_does_not_fit_together_says_so(tmp_path: Path) -> None:
    rated, ready = of_rated(MAIN), files(write_lines(tmp_path / "b.jsonl", [pair("Why?", "yes", "no")]), "preference")
    talk = of_rows(chats(3))
    wrong: list[tuple[tuple[Source, ...], tuple[Any, ...], str]] = [
        ((Source("c", talk),), (binarize(),), "'binarize' pairs rated rows, but source 'c' holds conversation rows"),
        ((Source("p", ready),), (binarize(),), r"give the sources to be paired the step .* steps=\[binarize\(\.\.\.\)"),
        ((Source("p", ready, steps=(binarize(),)),), (), "'p:binarize' pairs rated rows, but source 'p' holds pref"),
        ((Source("r", rated), Source("p", ready)), (), "r holds rated rows, p holds preference rows.*pair the rated"),
        (
            (Source("r", rated, steps=(binarize(),)), Source("q", rated)),
            (),
            "r holds rated rows, paired, q holds rated",
        ),
        ((Source("r", rated, steps=(binarize(),)), Source("c", talk)), (), "c holds conversation rows; make a mixture"),
    ]
    for sources, steps, message in wrong:
        for verb in (check, lambda one: one.build(tmp_path / "out", quiet=True)):
            with pytest.raises(MixtureError, match=message):
                verb(Mixture("m", sources, steps))


def test_a_pairing_that_pairs_little_needs_a_word(tmp_path: Path) -> None:
    rows = [ask(f"Ask {i}?", ("a", 1.0), ("b", 1.0 + i % 4 // 3)) for i in range(20)]
    message = "step 'binarize' drops 15 of the 20 rows of source 's' .75%.*allow_large_drop=True"
    with pytest.raises(LargeDropError, match=message):
        built(tmp_path / "out", source("s", of_rated(rows)), steps=(binarize(),))
    assert any(
        "'binarize' drops 15" in stop
        for stop in check(Mixture("m", (source("s", of_rated(rows)),), (binarize(),))).stops
    )
    done = built(tmp_path / "out", source("s", of_rated(rows)), steps=(binarize(allow_large_drop=True),))
    assert done.kept().collect().height == 5
    pairs = [ask(f"Ask {i}?", ("a " * 9, 9.0), *((f"b{k}", k / 1.0) for k in range(3))) for i in range(6)]
    with pytest.raises(LargeDropError, match="'shape-2' drops 18 of the 18 pairs of source 's'"):
        built(tmp_path / "late", source("s", of_rated(pairs)), steps=STEPS)


def test_too_many_bad_rated_rows_stop_the_build(tmp_path: Path) -> None:
    bad = rated_file(tmp_path / "a.jsonl", [*MAIN, *["no json"] * 20])
    with pytest.raises(QuarantineError, match="source 's': 20 of 142 rows"):
        built(tmp_path / "out", Source("s", bad), steps=STEPS)
    done = built(tmp_path / "out", Source("s", bad, max_quarantine=0.5), steps=STEPS)
    count_fates(done)
    assert done.quarantined().height == 20


@dataclass(frozen=True, kw_only=True)
class Silent(Pairing):
    """A Pairing that forgets to say why a row gives nothing."""

    name: ClassVar[str] = "silent"

    def reasons(self) -> tuple[str, ...]:
        return ("none",)

    def pair(self, body: pa.RecordBatch) -> Paired:
        nothing = pa.RecordBatch.from_pylist([], BODIES["preference"])
        return Paired(nothing, np.zeros(0, np.int32), np.full(body.num_rows, -1, np.int16))


def test_a_row_that_vanishes_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(ConservationError, match=r"2 rows were paired, 0 of them gave 0 pairs.*defect of curate"):
        built(
            tmp_path / "out", source("s", of_rated([ask("A?", ("a", 1.0)), ask("B?", ("b", 1.0))])), steps=(Silent(),)
        )


def test_a_frame_and_a_file_give_the_same_pairs(tmp_path: Path) -> None:
    plain = [{**row, "id": row.get("id", f"n{i}")} for i, row in enumerate(MAIN[:60])]
    held = {"frame": of_rated(plain), "file": rated_file(tmp_path / "a.jsonl", plain)}
    found = [
        sides(built(tmp_path / name, Source("s", one), steps=STEPS).kept().collect()) for name, one in held.items()
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 40


def test_rows_dropped_earlier_are_not_paired() -> None:
    rows = [ask(f"Ask? {LONG}", ("a", 1.0), ("b", 2.0)), ask("Ask?", ("c", 1.0), ("d", 2.0))]
    opened = of_rated(rows).open()
    body = pa.concat_batches([opened.parse(block).body for block in opened.blocks()])
    mixture = Mixture("m", (source("s", of_rated(rows)),), STEPS)
    pipeline = rated_phase(mixture, (opened,)).pipelines[0]
    passed = run(pipeline, body, protect=False)
    assert passed.pairs is not None
    assert passed.pairs.row.tolist() == [1]
    assert passed.dropped_by.tolist() == [0, -1]
    assert run(pipeline, body, protect=True).pairs.row.tolist() == [0, 1]  # type: ignore[union-attr]
