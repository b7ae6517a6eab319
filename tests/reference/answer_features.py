"""The features of answers as they are defined, sentence by sentence, in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curate.steps.refusals import _answer_features as made
from curate.steps.refusals._answer_words import DUTY, HARM, NEGATION, PEOPLE, PLAIN

MASK = (1 << 64) - 1
IS_WORD = rb"(?:[A-Za-z0-9]|(?!\xe2\x80)[\x80-\xff])"
TOKEN = re.compile(
    rb"(?P<word>W+)(?P<denies>(?<=[nN])(?:'|\xe2\x80\x99)[tT](?!W))?|\xe2\x80.?|.".replace(b"W", IS_WORD), re.DOTALL
)
MARKER = re.compile(rb"[\t-\r ]*(?:\d{1,3}[.)]|[*-]|\xe2\x80\xa2)(?=[\t-\r ])")
END = re.compile(rb"\n|[.!?](?!W)".replace(b"W", IS_WORD))


def hashed(word: bytes) -> int:
    value, small = 0, word.lower()
    for i in range(0, len(small), 8):
        value ^= int.from_bytes(small[i : i + 8], "little")
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            value = (value ^ (value >> 33)) * factor & MASK
        value ^= value >> 33
    return value


def words(text: bytes) -> Iterator[bytes]:
    for token in TOKEN.finditer(text):
        word = (token["word"] or b"").lower()
        if word == b"cannot":
            yield from (b"ca", b"not")
        elif token["denies"]:
            yield from (word[:-1] or word, b"not")
        elif word:
            yield word


def sentences(data: bytes, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, tuple[int, int]]]:
    """Give where each sentence begins, where its text does, where it ends, and the same in characters."""
    i = used = character = 0
    while i < len(data) and used < made.READ:
        most = min(len(data), i + made.READ - used)
        marker = MARKER.match(data[:most], i) if i == 0 or data[i - 1 : i] == b"\n" else None
        text = marker.end() if marker else i
        end = END.search(data[:most], text)
        stop = end.end() if end else most
        after = character + sum(byte & 0xC0 != 0x80 for byte in data[i:stop])
        if not any(first < after and last > character for first, last in spans):
            yield i, text, stop, (character, after)
            used += stop - i
        character, i = after, stop


def features(
    answer: str, request: str, spans: list[tuple[int, int]], known: dict[bytes, int]
) -> set[tuple[int, int, int]]:
    data, found = answer.encode(), set()
    asked = list(words(request.encode()[: made.ASKED]))
    content = {word for word in asked if not known.get(word, 0) & PLAIN}
    flags = items = number = count = duty = denies = sign = left = 0
    at_first: set[bytes] = set()
    later: set[bytes] = set()
    first_item = 0

    def standing(word: bytes) -> int:
        classes = known.get(word, 0) if word else 0
        return PEOPLE if classes & PEOPLE else HARM if classes & HARM else hashed(word) if word else 1

    for place, (before, word) in enumerate(zip([b"", *asked], asked, strict=False)):
        known_word, known_before = known.get(word, 0) & (PEOPLE | HARM), known.get(before, 0) & (PEOPLE | HARM)
        flags |= known_word | (made.OFFERS_REASON if word == b"should" or (word == b"why" and place < 2) else 0)
        found |= {(made.ASKS, hashed(word), 0), (made.ASKS_PAIR, hashed(before) if before else 1, hashed(word))}
        found |= {(made.ASKS_CLASSED, standing(word), 0)} if known_word else set()
        found |= {(made.ASKS_CLASSED, standing(before), standing(word))} if known_word | known_before else set()
    touched = 0
    for i, text, stop, _ in sentences(data, spans):
        touched += stop - i
        first_item = i if text > i and not items else first_item
        items += text > i
        sign |= made.CODE * (data[i:stop].startswith(b"```")) | made.COLON * data[i:stop].endswith(b":\n")
        said = list(words(data[text:stop]))
        for before, word in zip([b"", *said], said, strict=False):
            pair, classes = (hashed(before) if before else 1, hashed(word)), known.get(word, 0) | known.get(before, 0)
            found.add((made.ANY, hashed(word), 0))
            if number < 3:
                found |= {(made.WORD + (number > 0), hashed(word), 0), (made.PAIR + (number > 0), *pair)}
            found |= {(made.CLASSED, standing(before), standing(word))} if classes & (PEOPLE | HARM) else set()
            duty += known.get(word, 0) & DUTY > 0
            denies |= number == 0 and known.get(word, 0) & NEGATION > 0
            (later if number else at_first).update({word} & content)
        count, number = count + len(said), number + bool(said)
    sign |= made.QUESTION * data.rstrip(b"\t\n\r\x0b\x0c ").endswith(b"?")
    left = len(data) - sum(stop - i for i, stop in hidden(data, spans))

    def bucket(value: int, edges: tuple[int, ...]) -> int:
        return sum(value >= edge for edge in edges)

    duties, echo = duty * 1000 // max(count, 1), len(at_first) * 100 // max(len(content), 1)
    opens, share = hashed(asked[0]) if asked else 0, bucket(echo, made.PERCENT)
    return found | {
        (made.LENGTH, bucket(left, made.LENGTHS), 0),
        (made.SENTENCE, bucket(number, made.SENTENCES), 0),
        (made.LIST, bucket(items, made.LISTS), 0),
        (made.LIST_AT, bucket(first_item, made.PLACES) if items else 0, 0),
        *((made.SIGNS, one, sign & one) for one in (made.CODE, made.COLON, made.QUESTION)),
        (made.DUTIES, bucket(duties, made.PER_MILLE), 0),
        (made.DUTY_LIST, bucket(duties, made.COARSE), bucket(items, made.FEW)),
        (made.ECHO, share, 0),
        (made.ECHO_DENIES, share, denies),
        (made.ECHO_ASKS, opens, denies),
        (made.ECHO_ASKS, opens, 2 + denies + 2 * bucket(echo, made.HALVES)),
        (made.REST, bucket(len(later) * 100 // max(len(content), 1), made.PERCENT), 0),
        (made.KINDS, flags, 0),
        (made.KINDS, flags, 1 + denies),
        (made.KINDS, flags & PEOPLE, 3),
        (made.KINDS, flags & HARM, 4),
    }


def hidden(data: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where the sentences are that spans touch, as far as the answer is read."""
    shown = {i: stop for i, _, stop, _ in sentences(data, spans)}
    whole, i, gaps = len(data), 0, []
    for begin, stop in [*shown.items(), (whole, whole)]:
        if begin > i and (begin < whole or sum(stop - i for i, stop in shown.items()) < made.READ):
            gaps.append((i, begin))
        i = stop
    return gaps


def slots(found: set[tuple[int, int, int]]) -> list[int]:
    c1, c2, golden = 0x87C37B91114253D5, 0x4CF5AD432745937F, 0x9E3779B97F4A7C15
    return sorted({((a + b * c1 + kind * c2) * golden & MASK) >> (64 - made.BITS) for kind, a, b in found})
