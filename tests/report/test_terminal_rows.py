"""Rows in a terminal: marked, cut, and harmless whatever users wrote."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from curate.errors import BuildFolderError, CallError
from curate.mix.amounts import Repeat, Rows
from curate.report.terminal_rows import CLOSE, OPEN, Fate, cut_text, show, spread
from curate.result.browser.highlights import Hit, cut
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.report.conftest import NASTY, PHRASE
from tests.support.build_data import built, chat, chats, source

LONG = "Well. " * 400 + PHRASE + " and so on." * 400


def printed(parts: list[Text], *, colours: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=200, force_terminal=colours, color_system="truecolor" if colours else None
    )
    for part in parts:
        console.print(part, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_dropped_rows_show_name_verdict_and_the_phrase_marked(nasty: Build) -> None:
    text = printed(show(nasty, step="refusals", n=20))
    assert text.count(f"{OPEN}{PHRASE}{CLOSE}") == len(NASTY)
    assert "first/wide  first.jsonl:3  refusals: no_feelings (1, at most 0)\n" in text
    assert "  user: {{ 7 * 7 }} {% raw %} {# gone #}\n" in text


def test_nothing_that_steers_a_terminal_gets_through(nasty: Build) -> None:
    text = printed([*show(nasty, n=50), *show(nasty, "quarantined"), *show(nasty, "kept")])
    steering = {letter for letter in text if not letter.isprintable()} - set("\n\u200d\u200b")
    assert steering <= set("\ufe0f\u200c"), f"{steering!r} got through"
    assert "[U+202E]" in text
    assert "[U+001B][31m" in text


def test_markup_of_users_is_text(tmp_path: Path) -> None:
    rows = [chat("[bold]Hi[/bold] [/] [link=file:///etc]x[/link] :smile:", PHRASE, id="[red]id[/red]"), *chats(20)]
    made = built(tmp_path / "out", source("a", rows), steps=[refusals()])
    text = printed(show(made), colours=True)
    assert "[bold]Hi[/bold] [/] [link=file:///etc]x[/link] :smile:" in text
    assert "a/[red]id[/red]" in text
    assert "]8;" not in text, "no link"


def test_a_long_turn_is_cut_around_the_evidence(tmp_path: Path) -> None:
    made = built(tmp_path / "out", source("a", [chat("Why?", LONG), *chats(20)]), steps=[refusals()])
    text = printed(show(made))
    assert f"{OPEN}{PHRASE}{CLOSE} and so on." in text
    assert text.count(" characters left out … ") == 2
    assert len(text) < 1_200


def test_one_turn_left_out_is_one_turn(tmp_path: Path) -> None:
    words = ["Why?", "So.", "And?", *[PHRASE, "Why?"] * 6, PHRASE]
    made = built(tmp_path / "out", source("a", [chat(*words), *chats(20)]), steps=[refusals()])
    text = printed(show(made))
    assert "… 1 turn without a hit left out …" in text
    assert "1 turns" not in text


def test_a_duplicate_is_shown_with_the_row_that_it_duplicates(demo: Build) -> None:
    text = printed(show(demo, step="exact_dedup", source="forum", n=1))
    assert text.startswith("forum/thread-")
    assert "exact_dedup: duplicate\n" in text
    assert "  duplicate of " in text
    assert text.count("  assistant: ") >= 2


def test_both_answers_of_a_pair_are_named(pairs: Build) -> None:
    text = printed(show(pairs, step="refusals"))
    for side in ("prompt user: ", "chosen assistant: ", "rejected assistant: "):
        assert f"  {side}" in text


def test_few_rows_show_each_reason(nasty: Build, demo: Build) -> None:
    every = demo.dropped().select("step", "reason").unique().height
    shown = [part.plain.split("\n")[0].split("  ")[2].split(" (")[0] for part in show(demo, n=every)]
    assert len(set(shown)) == every
    assert len(show(nasty, n=3)) == 3


def test_step_reason_and_source_choose(demo: Build) -> None:
    wanted = demo.dropped(step="refusals", reason="provider", source="assistant")
    shown = show(demo, step="refusals", reason="provider", source="assistant", n=100)
    assert len(shown) == wanted.height > 0
    assert show(demo, step="refusals", source="identity") == []


def test_kept_rows_say_where_they_went(tmp_path: Path) -> None:
    own = source("own", [chat("Who?", PHRASE, id="own")], take=Repeat(3), protect=True)
    text = printed(show(built(tmp_path / "out", source("a", chats(2)), own, steps=[refusals()]), "kept"))
    assert "own/own  frame:1  kept 3 times, in the train split\n" in text
    assert f"  assistant: {OPEN}{PHRASE}{CLOSE}\n" in text, "a protected row is marked, and stays"


def test_an_edited_row_is_not_marked_where_its_text_moved(tmp_path: Path) -> None:
    steps = [refusals(), cut_refusals("tulu2")]
    protected = source("a", [chat("So?", PHRASE, "And you?", "I am OpenAI's.", id="cut")], protect=True)
    text = printed(show(built(tmp_path / "out", protected, steps=steps), "kept"))
    assert "kept, in the train split, changed by cut_refusals\n" in text
    assert f"  assistant: {PHRASE}\n" in text


def test_rows_that_were_not_sampled_have_no_text(tmp_path: Path) -> None:
    made = built(tmp_path / "out", source("a", chats(9), take=Rows(5)))
    text = printed(show(made, "unsampled", n=3))
    assert text.count("not sampled, so its text is not in the build folder\n") == 3
    assert "Answer" not in text


def test_rows_in_quarantine_show_what_was_expected(demo: Build) -> None:
    text = printed(show(demo, "quarantined"))
    assert "assistant  assistant.jsonl:26  quarantined: expected valid JSON" in text
    assert text.count("quarantined: ") == demo.quarantined().height
    assert printed(show(demo, "quarantined", source="instructions")).count("quarantined: ") == 2


@pytest.mark.parametrize("fate", ["dropped", "kept", "quarantined", "unsampled"])
def test_a_build_without_such_rows_shows_none(tmp_path: Path, fate: Fate) -> None:
    made = built(tmp_path / "out", source("a", chats(3)))
    assert len(show(made, fate)) == (3 if fate == "kept" else 0)


def test_a_name_that_the_build_does_not_have_says_so(demo: Build) -> None:
    with pytest.raises(CallError, match="no step 'refusal'; did you mean 'refusals'"):
        show(demo, step="refusal")
    with pytest.raises(CallError, match="no source 'forums'; did you mean 'forum'"):
        show(demo, source="forums")
    with pytest.raises(CallError, match="dropped for the reason 'providers'; did you mean 'provider'"):
        show(demo, reason="providers")
    with pytest.raises(CallError, match="choose among dropped rows, not among kept ones"):
        show(demo, "kept", step="refusals")
    with pytest.raises(CallError, match="choose among dropped rows, not among unsampled ones"):
        show(demo, "unsampled", reason="provider")


def test_a_build_that_is_not_whole_says_so(tmp_path: Path) -> None:
    made = built(tmp_path / "out", source("a", chats(3)), steps=[exact_dedup()])
    for path in (made.path / "ledger").glob("*"):
        path.unlink()
    with pytest.raises(BuildFolderError, match=r"the build at .*out is not whole"):
        show(made)


@given(st.text(max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_marks_surround_what_was_found(text: str, start: int, length: int) -> None:
    hit = Hit(start, start + length, "x")
    plain = "".join(letter if letter.isprintable() or letter == "\n" else "" for letter in text)
    if plain != text or OPEN in text or CLOSE in text or "\n" in text or "[U+" in text:
        return
    shown = cut_text(cut(text, [hit])).plain
    fits = length and start + length <= len(text)
    expected = f"{text[:start]}{OPEN}{text[start : start + length]}{CLOSE}{text[start + length :]}" if fits else text
    assert shown == expected


def test_neighbouring_hits_share_their_marks() -> None:
    assert cut_text(cut("abcdef", [Hit(1, 3, "x"), Hit(2, 5, "y")])).plain == "a»bcde«f"
    assert cut_text(cut("ab", [Hit(1, 2, "x")])).plain == "a»b«"


@given(st.lists(st.sampled_from("abc")), st.integers(0, 12))
def test_spread_takes_in_turn_and_keeps_the_order(rows: list[str], n: int) -> None:
    picked = spread(list(enumerate(rows)), lambda row: row[1], n)
    assert len(picked) == min(n, len(rows))
    assert picked == sorted(picked)
    taken = {letter: [row for row in picked if row[1] == letter] for letter in set(rows)}
    for letter, own in taken.items():
        every = [row for row in enumerate(rows) if row[1] == letter]
        assert own == every[: len(own)]
        least = min(len(other) for name, other in taken.items() if len(other) < rows.count(name) or name == letter)
        assert len(own) <= least + 1
