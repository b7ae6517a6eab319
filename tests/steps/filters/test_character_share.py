"""`character_share` counts Chinese characters as Olmo 3 does, and characters shown as emoji."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.io.formats.dialogues import alpaca
from curate.io.inputs import files
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Scores, decide
from curate.steps.filters.character_share import CharacterShare, character_share
from tests.support.build_data import built, source

CHINESE = re.compile("[\u4e00-\u9fff]")
TEXTS = st.lists(st.sampled_from(["a", "é", "中", "文", "、", "😀", "❤\ufe0f", "©", "🇩🇪", "カ"]), max_size=30).map(
    "".join
)


def olmo3(text: str, threshold: float) -> bool:
    """filter_chinese.py: dropped where a character is Chinese, and no smaller a share of them than the threshold."""
    found = CHINESE.findall(text)
    return bool(found) and len(found) / len(text) >= threshold


def chats(*answers: str | None) -> pa.RecordBatch:
    first = {"role": "user", "content": "中文"}, {"role": "assistant", "content": "好的😀"}
    rows: list[dict[str, Any]] = [
        {"messages": [*first, first[0], {"role": "assistant", "content": text}], "meta": "{}"} for text in answers
    ]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def judged(step: CharacterShare, batch: pa.RecordBatch) -> tuple[list[bool], Scores]:
    scores = step.score(segments(batch, step.reads))
    return [place >= 0 for place in decide(scores, step.bounds(), batch.num_rows).bound], scores


@given(st.lists(TEXTS, max_size=6), st.sampled_from([0.05, 0.2, 0.25, 0.5, 1.0]))
def test_the_last_answer_is_judged_as_olmo_3_does(texts: list[str], threshold: float) -> None:
    dropped, _ = judged(character_share(chinese=threshold), chats(*texts))
    assert dropped == [olmo3(text, threshold) for text in texts]


def test_emoji_are_what_is_shown_as_one() -> None:
    texts = ["Hi 😀", "I ❤\ufe0f it", "I ❤ it", "1\ufe0f\u20e3", "🇩🇪", "(c) © ™ ↔ 5", "中文", "", None]
    dropped, scores = judged(character_share(emoji="any"), chats(*texts))
    assert dropped == [True, True, False, True, True, False, False, False, False]
    assert scores.columns["emoji"].tolist()[:2] == [0.25, 1 / 7]


def test_the_evidence_is_the_first_run_in_each_segment() -> None:
    _, scores = judged(character_share(chinese=0.2, emoji="any", on="all"), chats("é 中文 a 文 😀😀"))
    assert scores.evidence is not None
    names, texts = scores.evidence.reason.tolist(), scores.evidence.match.to_pylist()
    places = zip(
        scores.evidence.turn.tolist(), scores.evidence.start.tolist(), scores.evidence.end.tolist(), strict=True
    )
    assert list(zip(names, texts, places, strict=True)) == [
        (0, "中文", (0, 0, 2)),
        (0, "好的", (1, 0, 2)),
        (1, "😀", (1, 2, 3)),
        (0, "中文", (2, 0, 2)),
        (0, "中文", (3, 2, 4)),
        (1, "😀😀", (3, 9, 11)),
    ]


def test_texts_at_the_edge(edge_text: str) -> None:
    _, scores = judged(character_share(chinese="any", emoji="any"), chats(edge_text))
    assert scores.columns["chinese"].tolist() == [len(CHINESE.findall(edge_text)) / max(len(edge_text), 1)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "measures nothing"),
        ({"chinese": 0}, "above 0, at most 1, or"),
        ({"emoji": "some"}, "above 0, at most 1, or"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        character_share(**wrong)


def test_chinese_answers_are_dropped_and_english_ones_stay(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    sources = {"zh": "sft/alpaca_zh_demo.json", "en": "sft/alpaca_en_demo.json"}
    step = character_share(chinese=0.05, allow_large_drop=True)
    done = built(
        tmp_path / "out",
        *(source(name, files(real_file(path), alpaca())) for name, path in sources.items()),
        steps=[step],
    )
    kept = dict(done.funnel.select("source", "kept").rows())
    read = dict(done.funnel.select("source", "read").rows())
    assert kept["en"] > 0.99 * read["en"]
    assert kept["zh"] < 0.05 * read["zh"]
