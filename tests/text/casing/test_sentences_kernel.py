"""Sentences open where they plainly do: shown with ^ before the letter that opens one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.compile import kernel
from curate.text.casing.lexicon import OPENS, CaseTables, tables
from curate.text.casing.protected_kernel import mark
from curate.text.casing.variables_kernel import is_pronoun


@kernel
def opened(data: NDArray[np.uint8], user: bool, known: CaseTables) -> NDArray[np.uint8]:  # noqa: FBT001
    marks = np.zeros(len(data), np.uint8)
    mark(data, 0, len(data), marks, user, known)
    for i in range(len(data)):
        marks[i] = 1 if marks[i] & OPENS else 2 if is_pronoun(data, i, 0, len(data), marks, known) else 0
    return marks


def shown(text: str, *, user: bool = False) -> str:
    """Put ^ before letters that open a sentence, and ~ before other small "i" that are the pronoun."""
    data = text.encode()
    marks = opened(view(pa.array([text])).data, user, tables())
    return b"".join((b"", b"^", b"~")[m] + data[i : i + 1] for i, m in enumerate(marks)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "^Hello. ^how are you?",
        "^hello there. ^How are you?  ^fine, thanks.\n^so it is.\n\n^good.",
        "^Is it? ^yes! ^it is.",
        "^He came (late). ^it was 1990. ^she left. ^then he ran.",
        "^Использую книгу. ^так и есть. ^я там.",
        "^Qué tal. ¿^cómo estás? ^bien.",
        "^Das Haus ist groß. ^über den Berg.",
        "^Ἦν ἐκεῖ ὁ λόγος. ^ὁ λόγος.",
        "^See the cat. ^a dog ran. ^i think so.",
        "^I go; ~i'm here, ~i’ve seen it, and ~i'd say so.",
        "^so ~i think that you can do what ~i did with it.",
        "^can ~i help you with the thing?",
    ],
)
def test_opens(text: str) -> None:
    assert shown(text.replace("^", "").replace("~", "")) == text


@pytest.mark.parametrize(
    "text",
    [
        "See e.g. the cat, i.e. one, vs. two, etc. and so",
        "Dr. no, Mr. x, the U.S. economy, at 5 a.m. today, No. five, approx. ten, J. r. smith, Inc. and",
        "Wait... what? … and so; then: yes",
        "Zeit z. B. der Tag, bzw. die Nacht, d. h. das, usw. und",
        "x = 3. y = 4. n is even",
        "1. apples 2. pears\n3. the plums\n- they. x\na) one",
        "i. first ii. second iv. third",
        "Note: so it is; and this",
        'He said "no." then left. "Why?" she asked.',
        "Oh (what? no. yes) well",
        "On Yahoo! is, and the number 5! has",
        "Here n! denotes the product, k! when it is small, and (n-1)! if it is less. We write (n)! which is so",
        "The factorial x! is defined, so is (2)! but not y! for all",
        "The hole is 5-1/2 in. deep, 3 in. wide, 12 in. and more, 40-in. long, 7 mi. away, 2 yd. high",
        "Where i is the index, i can be what you think it is",
        "Let i be one of the numbers: if i have to be even, then you know that it is the one",
        "For each i we have a value, and if i was zero it is the same as what you have",
        "The index i will be what it was before, and i could be the last of them",
        "When i and j are equal, what i would be is the same as that of j",
        "Here i denotes the row, and that i have the value of it is what you want",
        "Use the pH. k-means is, pH. n-grams are",
        "Add. quot; and nbsp; too",
        "positive",
        "apples, pears, plums.",
        "which is why it was.",
        "is a man of few words. The words are known.",
        "Een dag. ijs is koud. 's avonds",
        "Bu bir şey ığ. iyi. in",
        "End of it.\n    ls the_folder here",
        "End of it.\nfi",
        "Mówi i am tak, i do domu, i was. Ok",
        "for i in the list, where i is the index of it, and i and j are what you think",
        "一二. 三四. abc",
        "",
        " ",
        ".",
        "! ?",
    ],
)
def test_opens_nothing_but_what_is_a_capital(text: str) -> None:
    marks = shown(text)
    opens = [marks[i + 1] for i, sign in enumerate(marks) if sign in "^~"]
    assert not any(letter.islower() for letter in opens), marks


def test_no_sentence_of_a_user_opens_on_a_new_line() -> None:
    assert shown("Use the words.\nthe sea. the sky.", user=False) == "^Use the words.\n^the sea. ^the sky."
    assert shown("Use the words.\nthe sea. the sky.", user=True) == "^Use the words.\nthe sea. ^the sky."


@pytest.mark.parametrize("lines", [3, 4])
def test_a_poem_in_small_letters_stays(lines: int) -> None:
    text = "\n".join(["the sea. the sky", "and all that is", "between them", "and you"][:lines])
    assert ("^" in shown(text)) == (lines == 3)
