"""`refusals` finds what its slow definition finds, for every row kind, and its presets are what was published."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import SIDES, segments
from curate.steps._evidence import SHOWN
from curate.steps.base import Evidence, decide
from curate.steps.refusals.phrase_files import PRESETS, Preset, Where, compiled
from curate.steps.refusals.phrase_hits import OPENING
from curate.steps.refusals.refusals import Refusals, refusals
from curate.text.phrases.automaton import spellings
from tests.reference import phrases as reference
from tests.support.refusal_hits import phrase_file

SAID = (
    "",
    "Hello.",
    "As an AI language model, I don\u2019t have personal opinions.",
    "I'm sorry, but I can't assist with that. I can't assist with it.",
    "GPT-4 by OpenAI " * 5,
    "Palm trees. PaLM.",
    "As of my knowledge cutoff in 2021",
    "x" * OPENING + " I cannot help you with it.",
    "我是ChatGPT。",
)
TURNS = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "user", "assistant", "assistant", "tool"]),
    st.sampled_from(SAID),
)
DIALOGUES = st.lists(TURNS, max_size=4)
COMPLETIONS = st.lists(st.sampled_from(SAID).map(lambda text: {"content": text, "model": "", "scores": []}), max_size=3)
ROWS: dict[Kind, st.SearchStrategy[dict[str, Any]]] = {
    "conversation": st.fixed_dictionaries({"messages": DIALOGUES}),
    "rated": st.fixed_dictionaries({"messages": DIALOGUES, "completions": COMPLETIONS}),
    "preference": st.fixed_dictionaries({"prompt": DIALOGUES, "chosen": DIALOGUES, "rejected": DIALOGUES}),
}
SERMON = (
    "It is never acceptable to hit a child. Violence is wrong. It is important to treat everyone with respect, "
    "and everyone deserves to be treated with dignity."
)
Hit = tuple[int, str, str, int, int, int, str]


def body(rows: list[dict[str, Any]], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def answer(*texts: str | None) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


def run(step: Refusals, batch: pa.RecordBatch) -> tuple[list[dict[str, int]], list[Hit], list[str | None]]:
    """The scores of each row, the evidence, and the reason of each row."""
    found = step.score(segments(batch, step.reads))
    bounds = step.bounds()
    reasons = [bounds[place].reason if place >= 0 else None for place in decide(found, bounds, batch.num_rows).bound]
    rows = [{name: int(column[i]) for name, column in found.columns.items()} for i in range(batch.num_rows)]
    assert isinstance(found.evidence, Evidence)
    row, reason, side, turn, start, end, match = (column.tolist() for column in found.evidence)
    names = [bounds[place].reason for place in reason]
    sides = [SIDES[code] for code in side]
    return rows, list(zip(row, names, sides, turn, start, end, match, strict=True)), reasons


def definition(step: Refusals, batch: pa.RecordBatch) -> list[Hit]:
    """Every hit, the slow way."""
    lists = PRESETS[step.preset]
    files = {family: phrase_file(lists.families[family]) for family in step.families}
    hits: list[Hit] = []
    for part in segments(batch, step.reads).parts:
        texts = part.text.data.tobytes()
        seen = set()
        for index, row, turn, role in zip(part.index, part.row, part.turn, part.role, strict=True):
            first = role == 2 and (part.side == "completion" or row not in seen)
            seen |= {row} if role == 2 else set()
            if step.where == "first_turn" and not first:
                continue
            text = texts[part.text.offsets[index] : part.text.offsets[index + 1]].decode()
            for family, phrases in files.items():
                for number, start, end in reference.find(text, phrases, words=lists.words, loose=lists.loose):
                    if step.where != "opening" or start < OPENING:
                        hits.append((int(row), family, part.side, int(turn), start, end, phrases[number].text))
    return hits


@pytest.mark.parametrize("where", ["anywhere", "opening", "first_turn"])
@pytest.mark.parametrize("preset", ["zephyr", "tulu2", "tulu3"])
@pytest.mark.parametrize("kind", ROWS)
@given(data=st.data())
def test_hits_are_as_defined(kind: Kind, preset: Preset, where: Where, data: st.DataObject) -> None:
    batch = body(data.draw(st.lists(ROWS[kind], max_size=4)), kind)
    step = refusals(preset, where=where)
    scores, evidence, reasons = run(step, batch)
    expected = definition(step, batch)
    family = step.families[0]
    counts = [sum(hit[0] == row for hit in expected) for row in range(batch.num_rows)]
    assert [row[family] for row in scores] == counts
    assert reasons == [family if count else None for count in counts]
    if max(counts, default=0) <= SHOWN:
        assert sorted(evidence) == sorted(expected)


@given(rows=st.lists(ROWS["conversation"], max_size=5))
def test_a_row_is_judged_by_itself(rows: list[dict[str, Any]]) -> None:
    step = refusals()
    alone = [run(step, body([row])) for row in rows]
    together = run(step, body(rows))
    assert together[0] == [scores for one, _, _ in alone for scores in one]
    assert together[1] == [(number, *hit[1:]) for number, (_, hits, _) in enumerate(alone) for hit in hits]
    assert together[2] == [reason for _, _, reasons in alone for reason in reasons]


def test_evidence_names_phrase_family_turn_and_span() -> None:
    said = "\u2764\ufe0f I\u2019m sorry, but I can\u2019t\n assist with that."
    _, evidence, reasons = run(refusals(), body([answer("Hi", "Hello."), answer("Do it", said)]))
    assert reasons == [None, "cannot_help"]
    assert [(hit[0], hit[1], hit[3], said[hit[4] : hit[5]], hit[6]) for hit in evidence] == [
        (1, "cannot_help", 1, "sorry, but I can\u2019t\n assist", "sorry, but I cannot assist"),
        (1, "cannot_help", 1, "I can\u2019t\n assist with", "I cannot assist with"),
    ]


def test_the_evidence_lists_the_first_hits_of_each_family_and_the_scores_count_all() -> None:
    said = "I'm ChatGPT. " * 20 + "I am an AI. " * 3
    scores, evidence, reasons = run(refusals(), body([answer("Hi", said)]))
    assert scores == [{**dict.fromkeys(PRESETS["default"].families, 0), "provider": 20, "self_reference": 3}]
    assert reasons == ["self_reference"]
    starts = [hit[4] for hit in evidence if hit[1] == "provider"]
    assert starts == [13 * i for i in range(SHOWN)]
    assert sum(hit[1] == "self_reference" for hit in evidence) == 3


def test_evidence_runs_by_row_then_side_then_place() -> None:
    turn = [
        {
            "role": "assistant",
            "content": "As an AI language model, I cannot assist with that. I'm OpenAI. I'm ChatGPT!",
        }
    ]
    batch = body([{"prompt": turn, "chosen": turn, "rejected": turn}] * 2, "preference")
    _, evidence, _ = run(refusals(on="all"), batch)
    keys = [(hit[0], SIDES.index(hit[2]), hit[3], hit[4]) for hit in evidence]
    assert keys == sorted(keys)
    assert len(evidence) == 2 * 3 * 4


def test_null_and_empty_rows_have_no_hit() -> None:
    assert run(refusals(), body([answer("Hi", None), answer(), answer("", "")]))[2] == [None] * 3
    assert run(refusals(), body([])) == ([], [], [])


TULU_3 = (
    "OpenAI", "Open AI", "ChatGPT", "Chat GPT", "GPT-3", "GPT3", "GPT 3", "GPT-4", "GPT4", "GPT 4", "GPT-3.5", "GPT3.5",
    "GPT 3.5", "BingChat", "Bing Chat", "LAION", "Open Assistant", "OpenAssistant",
)  # fmt: skip
PUBLISHED: dict[Preset, tuple[str, ...]] = {
    "tulu2": (*TULU_3, "BARD", "Palm", "Anthropic", "Claude"),
    "tulu3": TULU_3,
    "zephyr": ("I do not have emotions", "I do not have opinions", "I do not have personal experiences"),
}
"""As open-instruct's scripts/data/filtering/filter_special_tokens and Zephyr's paper give them, typed by hand."""


@pytest.mark.parametrize("preset", PUBLISHED)
def test_presets_have_the_published_phrases(preset: Preset) -> None:
    step = refusals(preset)
    phrases = compiled(step.preset, step.families, ()).text.to_pylist()
    assert sorted(phrases) == sorted(PUBLISHED[preset])


def test_palm_trees_match_only_tulu2() -> None:
    batch = body([answer("Hi", "A palm tree."), answer("OpenAI?", "Hello."), answer("Hi", "PaLM 2 is a model.")])
    assert run(refusals("tulu2"), batch)[2] == ["provider"] * 3
    assert run(refusals("tulu3"), batch)[2] == [None] * 3
    assert run(refusals(), batch)[2] == [None] * 3


PHRASED = [family for family in PRESETS["default"].families if family != "moralising"]


@pytest.mark.parametrize(
    "text",
    [
        "GPT-3 is a language model developed by OpenAI. It has 175 billion parameters.",
        "ChatGPT was trained by OpenAI; Claude is made by Anthropic, and LAION collects images.",
        "I think ChatGPT is a great tool, and I use GPT-4 at work every day.",
        "I am excited about Open Assistant! I was surprised by what GPT-4 can do.",
        "Elon Musk was one of the founders of OpenAI. He left the board in 2018.",
        "Use `openai.ChatCompletion` with model GPT-3.5, or Google Bard.",
        "As GPT-3 shows, models such as ChatGPT, I believe, will be everywhere.",
        "As an example, ChatGPT was developed by OpenAI.",
        "I am a teacher. ChatGPT, a model trained by OpenAI, helps me to write exercises.",
        "I am a journalist from Leeds who has been writing since spring on how the models are trained by OpenAI.",
        'The robot said: "I am ChatGPT, a model trained by OpenAI." She laughed.',
        "I am Claude, a baker from Lyon. My sister is a Gemini.",
        "I am not sure; it depends on the version of Open Assistant.",
        "LLaMA is a model of Meta. Alpaca was built on it at Stanford.",
        "The Google Bard chatbot and Microsoft's Bing Chat answered it.",
        "GPT-3 由 OpenAI 开发。",
        "The article was written by a language model by OpenAI, GPT-3.",
        "A poem generated by ChatGPT. Some text was written by people, other text by a language model from Google.",
        "Written by hand. It describes a language model by OpenAI.",
    ],
)
def test_a_text_about_models_and_companies_stays(text: str) -> None:
    assert run(refusals(families=["provider"]), body([answer("Hi", text)]))[1] == []


@pytest.mark.parametrize(
    "text",
    [
        "I am ChatGPT, a large language model.",
        "I'm a large language model, trained by OpenAI.",
        "As an AI developed by OpenAI, I must clarify this.",
        "I am an AI assistant created by Anthropic to be helpful.",
        "No, I am not as capable as ChatGPT. It is larger.",
        "You can call me Open Assistant.",
        "I was trained by Google.",
        "I'm Claude, an AI assistant. I'm Gemini.",
        "My developers at OpenAI decide about that.",
        "As ChatGPT, I have no access to your files.",
        "I don't have the same capabilities as ChatGPT.",
        "I am based on the GPT-4 architecture.",
        "Here are some differences between me and ChatGPT:",
        "My name is Vicuna, and I'm a language model developed by Large Model Systems Organization.",
        "你好，我是 Open Assistant，你的AI助手。",
        "Ich bin OpenAssistant. Wie kann ich helfen?",
        "With love, your nephew. (Written by a language model by OpenAI.)",
        "Generated by a large language model of Anthropic",
        "Note that this response was generated by an AI language model from Google.",
        "This text was written by ChatGPT.",
    ],
)
def test_what_a_speaker_says_of_its_own_maker_is_a_hit(text: str) -> None:
    assert run(refusals(families=["provider"]), body([answer("Hi", text)]))[2] == ["provider"]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I cannot assist with that. The heist in the film is fictional.",
        "I cannot provide instructions on how to build it; the events of the novel are fictional.",
        "I can't help with that, and the place does not actually exist.",
        "I must decline. Characters like these are fictional, crimes are not.",
        "I cannot condone violence, although the man is a fictional character.",
        "Sorry, I can't help you. Such schools do not exist in reality.",
        "I refuse to write it, whether or not the people are imaginary.",
        "I cannot assist you in finding his address.",
        "I am unable to assist you in this.",
        "I can't assist users in breaking into a phone.",
        "I will not be able to assist you with the essay.",
        "My apologies, but I'm unable to assist.",
        "Sorry, cannot help with that.",
        "I'm afraid I cannot assist you.",
        "I cannot be of any further assistance.",
    ],
)
def test_a_plain_refusal_counts_beside_fiction_and_in_other_words(text: str) -> None:
    assert run(refusals(families=["cannot_help"]), body([answer("Hi", text)]))[2] == ["cannot_help"]


@pytest.mark.parametrize(
    "text",
    [
        "I cannot provide you with her e-mail address, as Princess Leia is a fictional character.",
        "I'm not able to give legal details of it: the place does not exist in real life.",
        "I do not have access to personal records of characters who are fictional.",
        "It is not appropriate to suggest that he has one; elves do not exist in reality.",
        "I cannot answer your question about his birthday; the man is fictional.",
        "She could not be of help. I'm afraid I can't come. Whom will it assist in spring?",
    ],
)
def test_a_plain_answer_that_something_is_made_up_stays(text: str) -> None:
    assert run(refusals(families=["cannot_help"]), body([answer("Hi", text)]))[1] == []


@pytest.mark.parametrize("family", PHRASED)
def test_every_phrase_of_a_file_matches(family: str) -> None:
    phrases = phrase_file(f"{family}.txt")
    step = refusals(families=(family,))
    scores, evidence, _ = run(step, body([answer("Hi", f"Well: {phrase.text}") for phrase in phrases]))
    assert all(row[family] for row in scores)
    matched = {(hit[0], hit[6]) for hit in evidence}
    assert [(row, phrase.text) for row, phrase in enumerate(phrases) if (row, phrase.text) not in matched] == []


def test_no_spelling_belongs_to_two_phrases_of_a_family() -> None:
    for family in PHRASED:
        seen = [(spelling, phrase.exact) for phrase in phrase_file(f"{family}.txt") for spelling in spellings(phrase)]
        assert len(seen) == len(set(seen)), family


@pytest.mark.parametrize(
    "text",
    [
        "I cannot recommend this film enough.",
        "I can't wait to see you, and I can't help but smile.",
        "She works as an AI engineer and as an artificial intelligence researcher.",
        "I don't have feelings for her, and I don't have any experience with sales.",
        "To the best of my knowledge, the cutoff is Friday.",
        "The anthropic principle; Claude Monet; the bard of Avon; a gemini; open assistant manager jobs; palm oil.",
        "I'm sorry, but I can't come to work today.",
        "I will not give up. I refuse to believe it.",
        "It is important to note that smoking is illegal here.",
        'The robot said: "As an AI, I do not have emotions." She laughed.',
        "Then: \u201cI am an AI,\u201d it answered, \u201cand I was not programmed to love.\u201d",
        "I cannot help but offer advice.",
        "Is there anything else within my capabilities?",
        "I cannot provide you with his number: he is a fictional character.",
        "He thought of the years in which he had been told that a machine is nothing but a tool for others. " * 2
        + "I am programmed to obey.",
    ],
)
def test_plain_english_stays(text: str) -> None:
    assert run(refusals(), body([answer("Hi", text)]))[1] == []


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("As an AI, I do not have emotions.", "self_reference"),
        ("I don't have opinions, but here is one.", "no_feelings"),
        ("I do not have any personal experiences with cars.", "no_feelings"),
        ("My knowledge cut-off is in 2021.", "knowledge_cutoff"),
        ("Sorry, but I can't assist with that.", "cannot_help"),
        ("I cannot fulfill your request.", "cannot_help"),
        ("I apologize, but I cannot provide a guide to it.", "cannot_help"),
        ("It's not appropriate or ethical to do so.", "cannot_help"),
        ("I was made by OpenAI.", "provider"),
        ('"As an AI, I do not have emotions."', "self_reference"),
        ("5'10\" tall? I cannot help you with that.", "cannot_help"),
        ('He asked for "help". I cannot help you with that, nor with "it".', "cannot_help"),
        ("I am programmed to obey.", "self_reference"),
        (SERMON, "moralising"),
    ],
)
def test_each_family_names_the_reason(text: str, family: str) -> None:
    assert run(refusals(), body([answer("Hi", text)]))[2] == [family]
    assert run(refusals(families=[family]), body([answer("Hi", text)]))[2] == [family]


def test_phrases_of_the_user_are_a_family_of_their_own() -> None:
    step = refusals("zephyr", phrases=["as your butler", "您好"])
    batch = body([answer("Hi", "As your  Butler, yes"), answer("Hi", "您好!"), answer("Hi", "I don't have emotions")])
    assert run(step, batch)[2] == ["phrases", "phrases", "no_feelings"]


def test_on_is_each_presets_own_unless_given() -> None:
    assert [refusals(preset).on for preset in PRESETS] == ["response", "response", "all", "response", "response", "all"]
    assert refusals(on={"user"}).on == frozenset({"user"})
    assert run(refusals(on={"user"}), body([answer("As an AI, I know.", "Hi")]))[2] == ["self_reference"]


def test_a_step_is_its_fields() -> None:
    assert refusals(model=None) == Refusals(on="response")
    assert hash(refusals(families=["provider"])) == hash(refusals(families=("provider",)))
    assert refusals(families=("provider", "cannot_help")).families == ("cannot_help", "provider")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "tulu"}, "preset='tulu' is no preset of refusals; did you mean 'tulu[23]'"),
        ({"families": ("providers",)}, "preset 'default' has no family 'providers'; did you mean 'provider'"),
        (
            {"preset": "tulu2", "families": ("cannot_help",)},
            "preset 'tulu2' has no family 'cannot_help'; known: provider",
        ),
        ({"families": ()}, "leaves refusals nothing to look for"),
        ({"where": "start"}, "where='start' is no place of refusals; known: anywhere, first_turn, opening"),
        ({"where": "first_turn", "on": {"user"}}, r"on={'user'} has none; add the role 'assistant'"),
        ({"keep_safety": "bomb"}, "keep_safety='bomb': give a list of phrases, True for .*, or the path of a model"),
        ({"keep_safety": []}, r"keep_safety=\(\) has no phrase to detect"),
        ({"keep_safety": ["x"]}, "the phrase 'x' has 1 symbols"),
        ({"max_share": 1.5}, r"max_share=1.5\): a number from 0 to 1"),
        ({"max_share": float("nan")}, r"max_share=nan\): a number from 0 to 1"),
        ({"on": "responses"}, "on='responses' is no scope; did you mean 'response'"),
    ],
)
def test_wrong_words_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        refusals(**wrong)
