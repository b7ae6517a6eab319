"""Phrases compiled to one automaton: every spelling of every phrase, matched in a single pass over the text.

A phrase is written once, in full ("I do not have opinions"). Compiling spells out its contractions ("I don't have
opinions", "I dont have opinions") and builds an Aho-Corasick automaton over bytes as a dense table, so that the work
per byte does not depend on how many phrases there are. `curate.text.phrases.matching` runs it.

Source: Aho and Corasick, Efficient String Matching, Communications of the ACM 18 (1975).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.kernels.buffers import Bytes, Int32s, Int64s, UInt32s, frozen
from curate.kernels.compile import kernel
from curate.kernels.kept import code_of, kept
from curate.text import normal
from curate.text.words import CODE as CODE_OF_WORDS
from curate.text.words import LETTER, MARK, UNSEEN, classes

SPACES: Final = normal.WHITE_SPACE + "".join(chr(point) for point in range(0x80) if chr(point).isspace())
APOSTROPHES: Final = "'`" + normal.APOSTROPHES
"""Typed, typeset and mistyped: all the same apostrophe. The backtick is one here, in `don`t`."""

OTHER, SPACE, APOSTROPHE, WORD = range(4)
"""A character's kind. The first three are byte classes of the automaton too; bytes of phrases come after them."""

ANY: Final = frozenset(range(256))
CONTINUATION: Final = frozenset(range(0x80, 0xC0))
"""Bytes of a UTF-8 character after its first."""

PAIRS: Final = 1 << 16
"""Entries of a table over two bytes."""

LONGEST: Final = 250
"""Symbols in the longest spelling; the kernel remembers the places of the last 256."""

BLANK, QUOTE = 1, 2
SHARED_SYMBOLS: Final = {BLANK, QUOTE}
SHARED: Final = dict.fromkeys(map(ord, SPACES), chr(BLANK)) | dict.fromkeys(map(ord, APOSTROPHES), chr(QUOTE))
"""The symbols for any white space and any apostrophe in a spelling: two control characters that no phrase has."""

NOT: Final = ("do", "does", "did", "is", "are", "was", "were", "have", "has", "had", "would", "could", "should")
CONTRACTIONS: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    **{(word, "not"): (f"{word}n't", f"{word}nt") for word in NOT},
    ("cannot",): ("can not", "can't", "cant"),
    ("will", "not"): ("won't",),
    ("i", "am"): ("i'm", "im"),
    ("i", "have"): ("i've",),
    ("i", "will"): ("i'll",),
    ("i", "would"): ("i'd",),
    ("it", "is"): ("it's", "its"),
    ("that", "is"): ("that's", "thats"),
    ("there", "is"): ("there's",),
    ("you", "are"): ("you're",),
    ("we", "are"): ("we're",),
}
"""Full words to the ways in which people shorten them. "wont" and "ill" are words of their own and stay out."""

MANY: Final = 300
"""Phrases from which an automaton is kept on disk: fewer are compiled in 20 ms."""

CODE: Final = ("text/phrases/automaton.py", *CODE_OF_WORDS)
"""The modules that decide what an automaton is."""

FULL: Final = {short: " ".join(words) for words, shorts in CONTRACTIONS.items() for short in shorts if "'" in short}


class Phrase(NamedTuple):
    """What to look for. `exact` phrases match byte for byte: letter case counts, and nothing is spelled out."""

    text: str
    exact: bool = False


class Automaton(NamedTuple):
    """A compiled set of phrases, as flat arrays for the kernel.

    A state is twice a place in `table`, plus one if it has outputs: `table[place + class]` is the next state, and
    `table[place + width - 1]` the first of the state's outputs (-1: none); states up to `shallow` hold at most one
    symbol. A phrase may begin with the bytes b0 to b7 where `starts[b0 | b1 << 8] & starts[PAIRS + (b2 | b3 << 8)] &
    ...` is not 0; `past_ascii` and `signs` tell whether one may begin with a character past ASCII, and with an ASCII
    one of no word. `kinds` has the kind of each code point. An output is a spelling and the next output. A spelling is
    a phrase, a length in symbols, a place in `known` and a length there: if that is 0, the bytes of an exact one (place
    -1: it is none), and else the bytes that come before those that are searched for.
    """

    words: bool
    loose: bool
    classes: Bytes
    kinds: Bytes
    past_ascii: bool
    signs: bool
    starts: UInt32s
    table: Int32s
    width: int
    shallow: int
    outputs: Int32s
    spellings: Int32s
    known: Bytes


def alternatives(pattern: str) -> Iterator[str]:
    """Write out `(a|b)` in a line of a phrase file; an empty branch leaves the words out.

    >>> list(alternatives("I (cannot|am unable to) (assist|help)"))
    ['I cannot assist', 'I cannot help', 'I am unable to assist', 'I am unable to help']
    >>> list(alternatives("as (just |)an AI"))
    ['as just an AI', 'as an AI']
    """
    group = re.search(r"\(([^()]*)\)", pattern)
    if group is None:
        yield pattern
        return
    for branch in group[1].split("|"):
        yield from alternatives(pattern[: group.start()] + branch + pattern[group.end() :])


def spellings(phrase: Phrase) -> list[str]:
    """Return every way of writing a phrase, in lower case; an exact phrase has one.

    >>> spellings(Phrase("I cannot help"))
    ['i cannot help', 'i can not help', "i can't help", 'i cant help']
    >>> spellings(Phrase("It isn't right"))
    ['it is not right', "it isn't right", 'it isnt right', "it's not right", 'its not right']
    >>> spellings(Phrase("PaLM", exact=True))
    ['PaLM']
    """
    if phrase.exact:
        return [phrase.text]
    plain = re.sub(f"[{APOSTROPHES}]", "'", phrase.text.lower())
    full = " ".join(FULL.get(word, word) for word in plain.split())
    return list(dict.fromkeys(_spell(tuple(full.split()))))


@functools.lru_cache(maxsize=4096)
def _spell(words: tuple[str, ...]) -> tuple[str, ...]:
    """Spell out words; what phrases end in alike is spelled once."""
    if not words:
        return ("",)
    ways = [(words[0], words[1:])]
    for length in (1, 2):
        shorts = CONTRACTIONS.get(words[:length], ()) if len(words) >= length else ()
        ways += [(short, words[length:]) for short in shorts]
    return tuple(f"{head} {tail}".rstrip() for head, rest in ways for tail in _spell(rest))


@functools.cache
def kinds() -> Bytes:
    """Return the kind of every code point: white space, apostrophe, part of a word, or none of these.

    A word is `curate.text.words`'s, but "_" is in it, and a letter of an unspaced script is not: a name amid Chinese
    text is a word, and one within an identifier does not.
    """
    table = np.where(np.isin(classes(), (LETTER, MARK, UNSEEN)), np.uint8(WORD), np.uint8(OTHER))
    table[ord("_")] = WORD
    for letters, kind in ((SPACES, SPACE), (APOSTROPHES, APOSTROPHE)):
        table[[ord(letter) for letter in letters]] = kind
    return frozen(table)


@functools.lru_cache(maxsize=32)
def compile_phrases(
    phrases: tuple[Phrase, ...], more: tuple[Phrase, ...] = (), *, words: bool = True, loose: bool = True
) -> Automaton:
    """Compile phrases; the answer is kept, on disk too (`curate.kernels.kept`), so asking again costs little.

    `words`: a phrase begins and ends at the border of a word. `loose`: runs of white space are one space, all
    apostrophes are the same, and contractions are spelled out; without it a phrase matches as it is written. ASCII
    letters are folded either way; letters outside ASCII match as they are written. A spelling that two phrases share
    belongs to the first; those of `more`, which are numbered after `phrases`, share none with them. Raises
    `MixtureError` for a phrase of less than two or more than 250 symbols, and for one that begins with an apostrophe.

    >>> automaton = compile_phrases((Phrase("I cannot help"), Phrase("as an AI")))
    >>> len(automaton.spellings), automaton.table.size // automaton.width
    (5, 44)
    """

    def make() -> dict[str, NDArray[Any]]:
        return to_arrays(compile_now(phrases, more, words=words, loose=loose))

    key = repr((phrases, more, words, loose, unicodedata.unidata_version)).encode()
    return of_arrays(make() if len(phrases) + len(more) < MANY else kept("phrases", key, code_of(*CODE), make))


def to_arrays(automaton: Automaton) -> dict[str, NDArray[Any]]:
    """Return the arrays of an automaton, to keep them: all but the kinds, which are the same for all."""
    return {name: np.asarray(value) for name, value in automaton._asdict().items() if name != "kinds"}


def of_arrays(made: Mapping[str, NDArray[Any]]) -> Automaton:
    """Return the automaton of which `to_arrays` gave these; its arrays are read-only."""
    plain: dict[str, Any] = {name: frozen(array) if array.ndim else array.item() for name, array in made.items()}
    return Automaton(kinds=kinds(), **plain)


def compile_now(phrases: tuple[Phrase, ...], more: tuple[Phrase, ...], *, words: bool, loose: bool) -> Automaton:
    """Compile as `compile_phrases` does; nothing is kept, and the arrays are those of the compiler."""
    owner: dict[tuple[str, bool, bool], int] = {}
    for number, phrase in enumerate((*phrases, *more)):
        for spelling in spellings(phrase) if loose else [phrase.text if phrase.exact else phrase.text.lower()]:
            owner.setdefault((spelling, phrase.exact, number >= len(phrases)), number)
    symbols = [_symbols(spelling, loose=loose) for spelling, *_ in owner]
    apart = words and loose
    before = [_before(line) if apart and not key[1] else 0 for line, key in zip(symbols, owner, strict=True)]
    known = [
        spelling.encode() if exact else line[:length]
        for line, length, (spelling, exact, _) in zip(symbols, before, owner, strict=True)
    ]
    searched = [line[length:] for line, length in zip(symbols, before, strict=True)]
    byte_classes = _classes(sorted(set(b"".join(searched)) - (SHARED_SYMBOLS if loose else set())), loose=loose)
    spelled = byte_classes.copy()
    if loose:
        spelled[[BLANK, QUOTE]] = SPACE, APOSTROPHE
    lines = [line.translate(spelled.tobytes()) for line in searched]
    width = int(byte_classes.max()) + 2
    table, shallow, outputs = _build(lines, width)
    starts = _starts(searched, loose=loose)
    begins = frozenset(np.flatnonzero(starts[:PAIRS]) & 0xFF)
    sizes = np.array([len(word) for word in known], np.int32)
    places = np.where(sizes > 0, np.cumsum(sizes) - sizes, -1)
    return Automaton(
        words=words,
        loose=loose,
        classes=byte_classes,
        kinds=kinds(),
        past_ascii=max(begins, default=0) >= 0x80,
        signs=any(byte < 0x80 and kinds()[byte] != WORD for byte in begins),
        starts=starts,
        table=table,
        width=width,
        shallow=shallow,
        outputs=outputs,
        spellings=np.array([list(owner.values()), list(map(len, lines)), places, before], np.int32).T.copy(),
        known=np.frombuffer(b"".join(known) or b"\0", np.uint8),
    )


def _before(symbols: bytes) -> int:
    """Return how many bytes, all past ASCII or white space, come before a word of ASCII in a spelling; 0 if it is none.

    "我是 ChatGPT" is searched for at its C: in Chinese text, every character would be a place where it may begin.
    """
    found = re.match(rb"(?s)([\x80-\xff\x01]+)[a-z0-9].", symbols)
    if found is None:
        return 0
    letter = found[1].decode()[-1]
    return len(found[1]) if letter == chr(BLANK) or kinds()[ord(letter)] != WORD else 0


def _symbols(spelling: str, *, loose: bool) -> bytes:
    """Return a spelling as folded bytes; where it is loose, `BLANK` is any white space and `QUOTE` any apostrophe."""
    text = " ".join(spelling.split()).translate(SHARED) if loose else spelling
    symbols = text.encode().lower()
    if not 2 <= len(symbols) <= LONGEST:
        raise MixtureError(f"the phrase {spelling[:40]!r} has {len(symbols)} symbols; a phrase has 2 to {LONGEST}")
    if loose and not SHARED_SYMBOLS.isdisjoint(spelling.encode()):
        raise MixtureError(f"the phrase {spelling!r} has a control character; leave it out")
    if symbols[0] == QUOTE and loose:
        raise MixtureError(f"the phrase {spelling!r} begins with an apostrophe; begin it with a letter or a digit")
    return symbols


def _classes(used: list[int], *, loose: bool) -> Bytes:
    """Number the bytes that phrases use from 3; upper case goes with lower case."""
    table = np.full(256, OTHER, np.uint8)
    for number, byte in enumerate(used):
        table[sorted(_bytes(byte))] = number + 3
    if loose:
        for letters, shared in ((SPACES, SPACE), (APOSTROPHES, APOSTROPHE)):
            table[[ord(letter) for letter in letters if letter.isascii()]] = shared
    return table


@functools.cache
def _bytes(symbol: int) -> frozenset[int]:
    """Return the bytes with which a symbol may begin in a text."""
    if symbol < 0:
        return frozenset(letter.encode()[0] for letter in (SPACES if symbol == -SPACE else APOSTROPHES))
    return frozenset((symbol, ord(chr(symbol).upper()) if symbol < 0x80 else symbol))


def _starts(lines: list[bytes], *, loose: bool) -> UInt32s:
    """Return four tables in one: the buckets whose spellings have two bytes in the first, second, third, fourth place.

    26 buckets take spellings as they are mostly written, with one byte for each white space and apostrophe; where a
    spelling ends, every byte may follow. In the last six, one of them takes several bytes (two spaces, a typeset
    apostrophe), and any may follow: a bucket for each place of that symbol, the second to the seventh.
    """
    tables = np.zeros((4, 256, 256), np.uint32)
    named = {BLANK: -SPACE, QUOTE: -APOSTROPHE} if loose else {}
    words = sorted(tuple(named.get(symbol, symbol) for symbol in word) for word in {line[:8] for line in lines})
    written = {word: 1 << number * 26 // len(words) for number, word in enumerate(words)}
    longer = {(word[: at + 1], 1 << 25 + at) for word in words for at in range(1, min(7, len(word))) if word[at] < 0}
    patterns = [([_bytes(symbol) for symbol in word], bucket) for word, bucket in written.items()]
    patterns += [
        ([_bytes(symbol) for symbol in word] + [_bytes(word[-1]) | CONTINUATION], bucket) for word, bucket in longer
    ]
    marks = set()
    for sets, bucket in patterns:
        padded = [*map(frozenset, sets), *[ANY] * (8 - len(sets))]
        marks |= {(place, padded[2 * place], padded[2 * place + 1], bucket) for place in range(4)}
    for place, low, high, bucket in marks:
        tables[place][np.ix_(sorted(high), sorted(low))] |= np.uint32(bucket)
    return tables.reshape(-1)


def _build(lines: list[bytes], width: int) -> tuple[Int32s, int, Int32s]:
    """Build the table: a trie of the spellings in breadth-first order, each missing edge led to the longest suffix.

    Returns the table, the last shallow state, and the outputs. 12,000 spellings take 10 ms.
    """
    flat = np.frombuffer(b"".join(lines), np.uint8)
    ends = np.cumsum([len(line) for line in lines])
    children, last = _trie(flat, ends, width)
    by_state = np.argsort(last, kind="stable")
    outputs = np.zeros((len(lines), 2), np.int32)
    table = _automaton(children, by_state, last[by_state], outputs, width)
    shallow = 2 * int((children[0] > 0).sum()) * width + 1
    return table.reshape(-1), shallow, outputs


@kernel
def _trie(flat: Bytes, ends: Int64s, width: int) -> tuple[Int32s, Int64s]:
    """Return the children of each node (0: none), breadth first, and the node at which each line ends."""
    grown = np.zeros((len(flat) + 1, width - 1), np.int32)
    last = np.zeros(len(ends), np.int64)
    nodes, at = 1, 0
    for line in range(len(ends)):
        node = 0
        for place in range(at, ends[line]):
            if grown[node, flat[place]] == 0:
                grown[node, flat[place]] = nodes
                nodes += 1
            node = grown[node, flat[place]]
        last[line], at = node, ends[line]
    order, number = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    queued = 1
    for state in range(nodes):
        for child in grown[order[state]]:
            if child:
                order[queued], number[child] = child, queued
                queued += 1
    children = np.zeros((nodes, width - 1), np.int32)
    for state in range(nodes):
        for symbol in range(width - 1):
            children[state, symbol] = number[grown[order[state], symbol]]
    return children, number[last]


@kernel
def _automaton(children: Int32s, lines: Int64s, at: Int64s, outputs: Int32s, width: int) -> Int32s:
    """Return the table of the trie; line `lines[i]` ends at state `at[i]`, ascending, and becomes output `i`."""
    table = np.zeros((len(children), width), np.int32)
    suffix = np.zeros(len(children), np.int64)
    table[0, -1] = -1
    written = 0
    for state in range(len(children)):
        for symbol in range(width if state else 0):  # assigned as a row, it would take 2 s more to compile
            table[state, symbol] = table[suffix[state], symbol]
        while written < len(at) and at[written] == state:  # two lines end here where one phrase is exact
            outputs[written, 0], outputs[written, 1] = lines[written], table[state, -1]
            table[state, -1] = written
            written += 1
        for symbol in range(width - 1):
            child = children[state, symbol]
            if child:
                suffix[child] = table[state, symbol] if state else 0
                table[state, symbol] = child
    for state in range(len(children)):
        for symbol in range(width - 1):
            following = table[state, symbol]
            table[state, symbol] = 2 * following * width + (table[following, -1] >= 0)
    return table
