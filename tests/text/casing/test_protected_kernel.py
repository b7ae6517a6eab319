"""What must keep its case is protected: shown with the protected stretches of a text in ⟦ ⟧."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.compile import kernel
from curate.text.casing.lexicon import OPENS, PROTECTED, CaseTables, tables
from curate.text.casing.protected_kernel import mark


@kernel
def marked(data: NDArray[np.uint8], start: int, end: int, user: bool, known: CaseTables) -> NDArray[np.uint8]:  # noqa: FBT001
    marks = np.full(end - start, 0xFF, np.uint8)
    mark(data, start, end, marks, user, known)
    return marks


def marks_of(text: str, *, user: bool = False) -> NDArray[np.uint8]:
    """Mark a text between others, which must not matter."""
    seen = view(pa.array(['`` " $', text, "\" ' } `` end. so"]))
    return marked(seen.data, int(seen.offsets[1]), int(seen.offsets[2]), user, tables())


def shown(text: str, *, user: bool = False) -> str:
    """Put protected stretches of `text` in brackets."""
    marks = marks_of(text, user=user) & PROTECTED
    data, out = text.encode(), b""
    for i, byte in enumerate(data):
        before = marks[i - 1] if i else 0
        out += "⟦".encode() * bool(marks[i] and not before) + "⟧".encode() * bool(before and not marks[i])
        out += bytes([byte])
    return (out + "⟧".encode() * bool(len(marks) and marks[-1])).decode()


@pytest.mark.parametrize(
    "text",
    [
        "So ⟦`x. y`⟧ and ⟦``a ` b``⟧ but no ` alone.",
        "Run:\n⟦```sh\nls. cd\n```⟧\nand so.",
        "Run:\n⟦```\nnever closed.\n\nso it goes⟧",
        "> ⟦~~~\na. b\n~~~⟧",
        "Price $5 and $6, but ⟦$a. b$⟧ and ⟦$$c. d$$⟧.",
        r"Also ⟦\(a. b\)⟧ and ⟦\[ c. d \]⟧.",
        r"⟦\begin{a} x. \begin{b} y. \end{b} \end{a}⟧ z",
        "See ⟦https://a.b/c⟧, ⟦www.x.org⟧ or ⟦me@x.org⟧.",
        "In ⟦/usr/lib⟧, ⟦~/x⟧ and ⟦a/b/c⟧, but and/or.",
        "The ⟦snake_case⟧, ⟦camelCase⟧, ⟦dotted.name⟧, ⟦file.py⟧.",
        "With ⟦#tag⟧ and ⟦@name⟧, (⟦iPhone⟧), **⟦eBay⟧**.",
        "At 3.14 or 1,000 or 9:30, ⟦5pm⟧, ⟦x2⟧.",
        "A tag ⟦<b>⟧ bold ⟦</b>⟧ and 1 < 2.",
        'So ⟦{"a": "b. c"}⟧ is JSON.',
        'He said ⟦"no. never"⟧ and ⟦“so. be it”⟧, ⟦«oui. non»⟧, ⟦„ja. nein“⟧.',
        "She's ⟦'here. now'⟧ and the dogs' tails aren't. It's ⟦‘so. so’⟧.",
        'He began: ⟦"one paragraph.⟧\n\n⟦"and another."⟧ Done.',
        "Then:\n⟦for (int i = 0; i < n; i++) {\nx += 1;\n}⟧",
        "⟦if (a == b):⟧\n    ⟦so();⟧",
        "⟦# heading. so⟧\n⟦// comment. so⟧\n⟦| a. b |⟧",
        ("⟦def f():⟧\n    ⟦" + '"""doc. string\n\n    more. of it."""⟧\n    ⟦return x == 1⟧'),
        "the sea\nthe sky. so\nand all that is\nbetween them".join("⟦⟧"),
        "你好。世界",
        "",
    ],
)
def test_protected(text: str) -> None:
    assert shown(text.replace("⟦", "").replace("⟧", "")) == text


@pytest.mark.parametrize(
    "text",
    [
        "Correct this sentence⟦: he go. she go⟧",
        "Summarise⟦: it is. so⟧",
        "⟦Fix the grammar. he go⟧",
        "Translate the text.⟦\nhello. so⟧",
        "How are you? i am fine.\nso it is at 9:30.",
    ],
)
def test_what_a_user_gives_is_protected(text: str) -> None:
    plain = text.replace("⟦", "").replace("⟧", "")
    assert shown(plain, user=True) == text
    assert shown(plain) == plain


@given(st.text(alphabet=" \n.!?:'\"`$\\{}<>()[]#@/_-=aAbIié’“”«»\u00df中🎉0", max_size=60), st.booleans())
def test_marks_are_whole(text: str, user: bool) -> None:  # noqa: FBT001
    """Every byte gets a mark, no byte both, the bytes of a character the same, and `OPENS` is on letters."""
    marks, data = marks_of(text, user=user), text.encode()
    assert len(marks) == len(data)
    assert set(marks.tolist()) <= {0, PROTECTED, OPENS}
    at = 0
    for letter in text:
        width = len(letter.encode())
        assert len({int(m) & PROTECTED for m in marks[at : at + width]}) == 1
        assert not marks[at] & OPENS or letter.isalpha()
        assert not (marks[at + 1 : at + width] & OPENS).any()
        at += width


@pytest.mark.parametrize(
    "fragment", ["`", "$a ", "{", '"a ', "<a", "\\begin{", "“a", "'a ", "~~~\n", "a. ", "i ", "(", "¿"]
)
def test_no_text_takes_more_than_linear_time(fragment: str) -> None:
    marks_of(fragment)
    begin = time.process_time()
    marks_of(fragment * (400_000 // len(fragment)))
    assert time.process_time() - begin < 1
