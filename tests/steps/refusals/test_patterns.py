"""The presets "olmo3" and "olmo3_dates" match what Python's `re` matches, in the turns that Olmo 3 reads."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Scores
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.phrase_files import pattern_file
from curate.steps.refusals.refusals import Refusals, refusals

FRAGMENTS = (
    *("I am", "I'm", "im", " called", " a language model", " an AI assistant", " developed", " trained", " by ", " is"),
    *(" OpenAI", " openai", " xOpenAI", " Meta's", " policies", " against", " Qwen", "Qwen2", " Alibaba\u2003Cloud"),
    *(" the team of ", ".", "! ", " \n", " é", "中", "x" * 99, " as my last update", " knowledge  cutoff", " in"),
    *(" May ", " 2023", " 20 23", " latest knowledge was", " last updated"),
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join)


def scored(step: Refusals, *texts: str, role: str = "assistant") -> Scores:
    rows = [{"messages": [{"role": role, "content": text}], "meta": "{}"} for text in texts]
    return step.score(segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), step.reads))


@pytest.mark.parametrize("preset", ["olmo3", "olmo3_dates"])
@given(texts=st.lists(TEXTS, max_size=6))
def test_hits_are_the_first_matches_of_each_pattern(preset: str, texts: list[str]) -> None:
    step = refusals(preset)  # type: ignore[call-overload]
    scores, file = scored(step, *texts), pattern_file(f"{preset}.txt")
    want = [
        (row, found.start(), found.end(), name)
        for row, text in enumerate(texts)
        for name, pattern in zip(file.names, file.patterns, strict=True)
        if (found := re.search(pattern, text)) is not None
    ]
    counts = [sum(hit[0] == row for hit in want) for row in range(len(texts))]
    assert scores.columns[step.families[0]].tolist() == counts
    evidence = scores.evidence
    assert evidence is not None
    places = evidence.row.tolist(), evidence.start.tolist(), evidence.end.tolist(), evidence.match.to_pylist()
    assert sorted(zip(*places, strict=True)) == sorted(want)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I am ChatGPT, how can I help?", ["I am a provider"]),
        (
            "I'm Claude, an AI assistant made by Anthropic.",
            ["I'm a provider, an AI made by a provider", "I am a provider", "made by a provider"],
        ),
        ("This is against OpenAI's use-case policy.", ["against a provider's policy", "policy of a provider"]),
        ("It was developed by a team at Cohere in 2020.", ["developed by a provider"]),
        ("DeepSeek R1 is a model.", ["DeepSeek"]),
        ("I read of ChatGPT.", []),
        ("I am ChatGPT", []),  # no sentence ends within a hundred characters
        ("It was trained by us. OpenAI was not there.", []),
    ],
)
def test_what_a_model_says_of_its_maker(text: str, names: list[str]) -> None:
    evidence = scored(refusals("olmo3"), text).evidence
    assert evidence is not None
    assert sorted(evidence.match.to_pylist()) == sorted(names)


@pytest.mark.parametrize(
    ("text", "dated"),
    [
        ("As of my last update in April 2023, yes.", 1),
        ("my knowledge cutoff 2021", 1),
        ("LAST UPDATED IN 1999", 1),
        ("my knowledge cutoff is September 2021", 0),
        ("as of April 2023", 0),
    ],
)
def test_dates_count_in_any_role(text: str, dated: int) -> None:
    for role in ("user", "assistant", "system"):
        assert scored(refusals("olmo3_dates"), text, role=role).columns["knowledge_cutoff"].tolist() == [dated]
    assert scored(refusals("olmo3"), "I am Qwen.", role="user").columns["provider"].tolist() == [0]


def test_phrases_of_your_own_join_the_patterns() -> None:
    step = refusals("olmo3", phrases=["as an AI"], where="opening")
    found = scored(step, "I am Qwen. I say so as an AI.", f"{'x' * 120} I am Qwen.").columns
    assert {name: column.tolist() for name, column in found.items()} == {"provider": [2, 0], "phrases": [1, 0]}
    batch = [{"role": ("user", "assistant")[i % 2], "content": f"I am {i} Qwen."} for i in range(4)]
    batch[3]["content"] = "I am Qwen."
    rows = pa.RecordBatch.from_pylist([{"messages": batch, "meta": "{}"}], BODIES["conversation"])
    assert cut_refusals("olmo3").edit(segments(rows)).turns is not None
