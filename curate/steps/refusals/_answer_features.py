"""What the model of moralising answers sees of an answer and its request: slots in its table of weights.

A feature is a word, two words in a row, or a number of the answer's structure, hashed to a slot; each counts once. Of
an answer count words anywhere, and words and pairs of its first sentence and of the next two; of the request, words and
pairs. In pairs, a word for people or for harm also counts as its class. The structure is how long the answer
is, its list, how many words of duty it has, whether its first sentence denies, and how many words of the request its
beginning and its rest repeat: a sermon repeats the question in order to deny it, an answer goes on to what was asked.

Sentences that a span touches are left out, and the rest is read as if they were not there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.kernels.buffers import Bytes, Int32s, Int64s, Text, UInt64s
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import C1, C2, GOLDEN
from curate.kernels.utf8 import count_characters, is_blank
from curate.steps.refusals._answer_words import (
    BLOCK,
    DUTY,
    HARM,
    NEGATION,
    PEOPLE,
    PLAIN,
    MarkedText,
    WordBook,
    classes_of,
    mark_text,
    next_mark,
    next_word,
)

BITS: Final = 16
SLOTS: Final = 1 << BITS
READ: Final = 1000
"""Bytes of an answer that are read; whether an answer moralises shows in its first sentences."""
ASKED: Final = 600
"""Bytes of a request that are read."""

ANY, WORD, PAIR, CLASSED, ASKS, ASKS_PAIR, ASKS_CLASSED = 1, 2, 4, 6, 7, 8, 9
LENGTH, SENTENCE, LIST, LIST_AT, SIGNS, DUTIES, DUTY_LIST, ECHO, ECHO_DENIES, ECHO_ASKS, REST, KINDS = range(10, 22)
"""Kinds of features; those of words in the sentences after the first are `WORD + 1` and `PAIR + 1`."""

COUNT, NUMBER, WORDS, DUTY_WORDS, ITEMS, FIRST_ITEM, SIGN, DENIES, USED, CONTENT, FIRST_ECHO, LATER_ECHO, OF_ASKED = (
    range(13)
)
"""Places in `Scratch.counts`."""
CODE, COLON, QUESTION = 1, 2, 4
OFFERS_REASON: Final = 32
"""Beside the classes in `OF_ASKED`: the request has "should", or "why" among its first two words."""

LENGTHS: Final = (60, 120, 200, 300, 400, 600, 800, 1200, 2000)
SENTENCES: Final = (1, 2, 3, 4, 5, 7, 10, 15)
LISTS: Final = (1, 2, 3, 5, 8)
PLACES: Final = (0, 100, 200, 300, 500)
PER_MILLE: Final = (1, 10, 20, 30, 50, 80)
COARSE: Final = (1, 20, 40, 70)
FEW: Final = (1, 4)
PERCENT: Final = (1, 25, 50, 75, 99)
HALVES: Final = (1, 50)

ROOM: Final = 4096
"""Features of an answer; it has 3,200 at most: four a word, of READ and ASKED bytes."""
TABLE: Final = 1024
"""Entries of the table of the request's words; it has at most 300."""
MOST_SENTENCES: Final = 512
NO_SENTENCE: Final = -1


class HiddenSpans(NamedTuple):
    """Spans to leave out, in characters, those of a text in order of start; text `i` has `first[i]:first[i + 1]`."""

    first: Int64s
    start: Int32s
    end: Int32s


class Scratch(NamedTuple):
    """What is known of one answer.

    `taken` has a bit for each slot, `slots` those taken and `of` their sentences; `asked` the hashes of the request's
    content words, `entries` where they are in it, `found` where the answer has them; `start` and `end` the sentences in
    characters.
    """

    taken: UInt64s
    slots: Int32s
    of: Int32s
    asked: UInt64s
    entries: Int32s
    found: Bytes
    start: Int32s
    end: Int32s
    counts: Int64s
    seen: MarkedText


@inline
def _add(space: Scratch, sentence: int, kind: int, first: np.uint64, second: np.uint64) -> None:
    """Take the slot of a feature, unless it is taken: without a branch, as which it is cannot be guessed."""
    key = (first + second * C1 + np.uint64(kind) * C2) * GOLDEN
    slot, count = key >> np.uint64(64 - BITS), np.uint64(space.counts[COUNT])
    word = space.taken[slot >> np.uint64(6)]
    space.slots[count], space.of[count] = slot, sentence
    space.counts[COUNT] += np.int64(~(word >> (slot & np.uint64(63))) & np.uint64(1))
    space.taken[slot >> np.uint64(6)] = word | (np.uint64(1) << (slot & np.uint64(63)))


@inline
def _class_of(word: np.uint64, classes: int) -> np.uint64:
    """Return what a word counts as in a pair of classes: its class, or itself."""
    return np.uint64(PEOPLE) if classes & PEOPLE else np.uint64(HARM) if classes & HARM else word


@inline
def _entry(space: Scratch, word: np.uint64) -> int:
    """Return where a word of the request is in the table, or would be."""
    i = int(np.int64(word & np.uint64(TABLE - 1)))
    while space.asked[i] != 0 and space.asked[i] != word:
        i = (i + 1) & (TABLE - 1)
    return i


@inline
def _of_request(
    space: Scratch, book: WordBook, before: np.uint64, earlier: int, word: np.uint64, place: int, should: int
) -> int:
    """Add the features of a word and the one `before` it, of classes `earlier`; return the classes of the word."""
    classes = classes_of(book, word)
    _add(space, NO_SENTENCE, ASKS, word, np.uint64(0))
    _add(space, NO_SENTENCE, ASKS_PAIR, before, word)
    if classes & (PEOPLE | HARM):
        _add(space, NO_SENTENCE, ASKS_CLASSED, _class_of(word, classes), np.uint64(0))
    if (classes | earlier) & (PEOPLE | HARM):
        _add(space, NO_SENTENCE, ASKS_CLASSED, _class_of(before, earlier), _class_of(word, classes))
    space.counts[OF_ASKED] |= classes & (PEOPLE | HARM) | (
        OFFERS_REASON if should and (should == 1 or place < 2) else 0
    )
    i = _entry(space, word)
    if not classes & PLAIN and space.asked[i] == 0:
        space.asked[i], space.found[i], space.entries[space.counts[CONTENT]] = word, 0, i
        space.counts[CONTENT] += 1
    return classes


@inline
def _of_answer(space: Scratch, book: WordBook, before: np.uint64, earlier: int, word: np.uint64) -> int:
    """Add the features of a word and the one `before` it, of classes `earlier`; return the classes of the word."""
    classes = classes_of(book, word)
    number = space.counts[NUMBER]
    _add(space, number, ANY, word, np.uint64(0))
    if number < 3:
        _add(space, number, WORD + (number > 0), word, np.uint64(0))
        _add(space, number, PAIR + (number > 0), before, word)
    if (classes | earlier) & (PEOPLE | HARM):
        _add(space, number, CLASSED, _class_of(before, earlier), _class_of(word, classes))
    space.counts[WORDS] += 1
    space.counts[DUTY_WORDS] += classes & DUTY > 0
    if number == 0:
        space.counts[DENIES] |= classes & NEGATION > 0
    if not classes & PLAIN:
        i = _entry(space, word)
        if space.asked[i] != 0:
            space.found[i] |= 1 if number == 0 else 2
    return classes


@inline
def _marker(data: Bytes, i: int, end: int) -> int:
    """Return where the text of a list item begins whose line begins at `i`; `i` if it is none."""
    at = i
    while at < end and is_blank(data[at]):
        at += 1
    start = at
    while at < end and at < start + 3 and 0x30 <= data[at] <= 0x39:
        at += 1
    if at > start:
        at = at + 1 if at < end and data[at] in (0x29, 0x2E) else end
    elif at < end and data[at] in (0x2A, 0x2D):
        at += 1
    elif at + 2 < end and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0xA2:
        at += 3
    return at if start < at < end and is_blank(data[at]) else i


@inline
def _signs(data: Bytes, i: int, end: int, text: int, space: Scratch) -> None:
    """Note a list item, a fence of code, and a colon at the end of a line, of the sentence at `i`."""
    if text > i:
        if space.counts[ITEMS] == 0:
            space.counts[FIRST_ITEM] = i
        space.counts[ITEMS] += 1
    if end - i > 2 and data[i] == 0x60 and data[i + 1] == 0x60 and data[i + 2] == 0x60:
        space.counts[SIGN] |= CODE
    if data[end - 1] == 0x0A and end - i > 1 and data[end - 2] == 0x3A:
        space.counts[SIGN] |= COLON


@inline
def _read_answer(
    data: Bytes, begin: int, stop: int, spans: HiddenSpans, span: int, last: int, book: WordBook, space: Scratch
) -> None:
    seen, text = space.seen, space.seen.text
    size = stop - begin if span < last else min(stop - begin, READ)
    mark_text(data, begin, begin + size, seen)
    i, character, left = 0, 0, stop - begin
    while i < size and space.counts[USED] < READ:
        most = min(size, i + READ - space.counts[USED])
        start = _marker(text, i, most) if i == 0 or text[i - 1] == 0x0A else i
        end = min(next_mark(seen.ends, start) + 1, most)
        after = character + count_characters(text, i, end)
        while span < last and spans.end[span] <= character:
            span += 1
        if span < last and spans.start[span] < after:
            left -= end - i
        else:
            _signs(text, i, end, start, space)
            number = min(space.counts[NUMBER], MOST_SENTENCES - 1)
            before, at, words = np.uint64(1), start, space.counts[WORDS]
            earlier = 0
            word, at = next_word(seen, at, end, book.denial)
            while word != 0:
                earlier = _of_answer(space, book, before, earlier, word)
                before = word
                word, at = next_word(seen, at, end, book.denial)
            space.start[number], space.end[number] = character, after
            space.counts[NUMBER] += space.counts[WORDS] > words
            space.counts[USED] += end - i
        character, i = after, end
    space.counts[USED] = max(left, 0)
    while stop > begin and is_blank(data[stop - 1]):
        stop -= 1
    if stop > begin and data[stop - 1] == 0x3F:
        space.counts[SIGN] |= QUESTION


@inline
def _read_request(data: Bytes, begin: int, stop: int, book: WordBook, space: Scratch) -> np.uint64:
    """Read the request; return the hash of its first word."""
    size = min(stop - begin, ASKED)
    mark_text(data, begin, begin + size, space.seen)
    first, before, place = np.uint64(0), np.uint64(1), 0
    earlier = 0
    word, at = next_word(space.seen, 0, size, book.denial)
    while word != 0:
        first = word if place == 0 else first
        asks = 1 if word == book.should else 2 if word == book.why else 0
        earlier = _of_request(space, book, before, earlier, word, place, asks)
        before, place = word, place + 1
        word, at = next_word(space.seen, at, size, book.denial)
    return first


@inline
def _bucket(value: int, edges: tuple[int, ...]) -> np.uint64:
    """Return how many of the edges a number reaches."""
    found = 0
    for edge in edges:
        found += value >= edge
    return np.uint64(found)


@inline
def _structure(space: Scratch, first: np.uint64) -> None:
    """Add the features of structure; `first` is the first word of the request."""
    counts, none = space.counts, np.uint64(0)
    duties = counts[DUTY_WORDS] * 1000 // max(counts[WORDS], 1)
    for i in range(counts[CONTENT]):
        counts[FIRST_ECHO] += space.found[space.entries[i]] & 1
        counts[LATER_ECHO] += space.found[space.entries[i]] >> 1
    echo = counts[FIRST_ECHO] * 100 // max(counts[CONTENT], 1)
    denies, asked = np.uint64(counts[DENIES]), np.uint64(counts[OF_ASKED])
    at = np.uint64(0) if counts[ITEMS] == 0 else _bucket(counts[FIRST_ITEM], PLACES)
    share = _bucket(echo, PERCENT)
    _add(space, NO_SENTENCE, LENGTH, _bucket(counts[USED], LENGTHS), none)
    _add(space, NO_SENTENCE, SENTENCE, _bucket(counts[NUMBER], SENTENCES), none)
    _add(space, NO_SENTENCE, LIST, _bucket(counts[ITEMS], LISTS), none)
    _add(space, NO_SENTENCE, LIST_AT, at, none)
    for sign in (CODE, COLON, QUESTION):
        _add(space, NO_SENTENCE, SIGNS, np.uint64(sign), np.uint64(counts[SIGN] & sign))
    _add(space, NO_SENTENCE, DUTIES, _bucket(duties, PER_MILLE), none)
    _add(space, NO_SENTENCE, DUTY_LIST, _bucket(duties, COARSE), _bucket(counts[ITEMS], FEW))
    _add(space, NO_SENTENCE, ECHO, share, none)
    _add(space, NO_SENTENCE, ECHO_DENIES, share, denies)
    _add(space, NO_SENTENCE, ECHO_ASKS, first, denies)
    _add(space, NO_SENTENCE, ECHO_ASKS, first, np.uint64(2) + denies + _bucket(echo, HALVES) * np.uint64(2))
    _add(space, NO_SENTENCE, REST, _bucket(counts[LATER_ECHO] * 100 // max(counts[CONTENT], 1), PERCENT), none)
    _add(space, NO_SENTENCE, KINDS, asked, none)
    _add(space, NO_SENTENCE, KINDS, asked, np.uint64(1) + denies)
    _add(space, NO_SENTENCE, KINDS, asked & np.uint64(PEOPLE), np.uint64(3))
    _add(space, NO_SENTENCE, KINDS, asked & np.uint64(HARM), np.uint64(4))


@inline
def _forget(space: Scratch) -> None:
    """Make room for the next answer."""
    for i in range(space.counts[COUNT]):
        space.taken[space.slots[i] >> 6] = 0
    for i in range(space.counts[CONTENT]):
        space.asked[space.entries[i]] = 0
    for i in range(len(space.counts)):
        space.counts[i] = 0


@inline
def read_answer(
    answers: Text,
    index: int,
    requests: Text,
    request: int,
    spans: HiddenSpans,
    number: int,
    book: WordBook,
    space: Scratch,
) -> None:
    """Find the features of string `index` of the answers after its request, -1 for none, less the spans `number`."""
    _forget(space)
    first = np.uint64(0)
    if request >= 0:
        begin, stop = int(requests.offsets[request]), int(requests.offsets[request + 1])
        first = _read_request(requests.data, begin, stop, book, space)
    begin, stop = int(answers.offsets[index]), int(answers.offsets[index + 1])
    _read_answer(answers.data, begin, stop, spans, spans.first[number], spans.first[number + 1], book, space)
    _structure(space, first)


@inline
def longest(answers: Text, index: Int32s, spans: HiddenSpans) -> int:
    """Return how many bytes are read at most of an answer, or of a request."""
    most = max(READ, ASKED)
    if len(spans.start):  # what is read begins after what is left out
        for place in index:
            most = max(most, answers.offsets[place + 1] - answers.offsets[place])
    return most


@kernel
def scratch(most: int) -> Scratch:
    """Return room for texts of which `most` bytes are read."""
    blocks = most // BLOCK + 3
    return Scratch(
        np.zeros(SLOTS // 64, np.uint64),
        np.empty(ROOM, np.int32),
        np.empty(ROOM, np.int32),
        np.zeros(TABLE, np.uint64),
        np.empty(TABLE, np.int32),
        np.zeros(TABLE, np.uint8),
        np.empty(MOST_SENTENCES, np.int32),
        np.empty(MOST_SENTENCES, np.int32),
        np.zeros(OF_ASKED + 1, np.int64),
        MarkedText(
            np.zeros(blocks * BLOCK, np.uint8),
            np.zeros(blocks, np.uint64),
            np.zeros(blocks, np.uint64),
            np.zeros(blocks, np.uint64),
        ),
    )
