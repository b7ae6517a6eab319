"""What is known of each byte of a text before its case is touched: two marks, and the tables they are made with."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.buffers import Bytes, UInt64s, frozen
from curate.kernels.compile import inline
from curate.kernels.hash_table import key_slot, slots_of
from curate.kernels.kept import code_of, kept
from curate.kernels.load_once import load_once
from curate.kernels.utf8 import code_point

PROTECTED: Final = 1
"""Mark of a byte that is never touched."""
OPENS: Final = 2
"""Mark of the first byte of the first letter of a sentence, whatever its case is now; such a byte is not protected."""

OTHER, LOWER, UPPER, LETTER, DIGIT, CLINGS, BLANK = range(7)
"""What a character is. `LOWER` has a capital that is one character, of as many bytes, and the same under case folding;
a small letter without one (ß, ı, ŉ) is a `LETTER`, and so are those of scripts without case. `CLINGS` is a mark."""

PLANE: Final = 1 << 16
"""Characters past the first plane are `OTHER` to these tables: what has case there is Deseret and its like."""

ABBREVIATION, OPENER, CERTAIN, SHORT, VERB, LEADS, ENGLISH, TASK, CODE, REST = (1 << k for k in range(10))
COUNTED, SINGULAR, JOINS = (1 << k for k in range(10, 13))
"""What a word is known for, see `WORDS`."""

WORDS: Final = {
    # No sentence opens after one of these and a full stop: English first, then German, French, Spanish, Italian,
    # Portuguese, Dutch, Polish and Scandinavian ones.
    ABBREVIATION: (
        "mr mrs ms mx dr drs prof rev fr sr jr st ste mt ft hon gen col maj capt cmdr lt sgt cpl pvt adm gov sen rep "
        "pres supt insp esq messrs mme mlle inc ltd co corp llc plc bros dept dist univ assn est vs v viz cf "
        "eg ie etc al ibid op cit ca approx appt apt ave blvd rd hwy pl sq bldg rm nos nr num vol vols ch chap pp p "
        "pg pgs para sec sect fig figs eq eqs eqn ex exs tab ref refs ed eds trans min avg std dev adj adv ext var "
        "fam tel obs pat syn no req ital ii iii iv vi vii viii ix xi xii hrs hr mins secs msec oz lb lbs kg km cm mm "
        "ml mg yr yrs mo mos wk wks jan feb apr jun jul aug sep sept oct nov dec tue tues thu thur thurs "
        "tbsp tsp tbs pkg pt qt gal doz misc incl excl esp resp anon orig cont contd attn bzw usw ggf evtl vgl "
        "bspw str abs bd hrsg inkl zzgl sog jh geb gest mio mrd tsd zb dh av boul env hab mgr mlles qqch qqn sra srta "
        "ud uds vd aprox pag pags dott sig sigg avv ecc dra exmo bijv enz blz mevr dhr np tj itp itd "
        "ul godz tzn tys mln ds osv kl"
    ),
    # After a number, these open a sentence nevertheless.
    OPENER: (
        "the this these those there they then that's it it's its he she he's she's we you i i'm i've i'd i'll we're "
        "you're they're there's here's what what's how when where why who if so but however also my your his her our "
        "their although because since while after before a an please thanks thank yes no not let's let don't can "
        "could would should some many most all each every another other both first "
        "second third next finally therefore thus hence moreover furthermore"
    ),
    # After a doubtful stop, these do, and they begin no rest of a sentence.
    CERTAIN: (
        "the this these he she they we you i i'm i've i'd i'll he's she's we're you're they're it's that's there "
        "there's here here's once when what what's how why who where yes no please thanks hello hi my your our his "
        "her their however therefore additionally furthermore moreover although unfortunately let let's don't can "
        "could would if"
    ),
    # Short words that end sentences; other short ones before a full stop may be abbreviations.
    SHORT: (
        "of if an go no re mu it me you him her us up on in off out by to do did so too is was are be as at all any "
        "can not now one two six ten and the way day man men boy run fun see saw say ago air age ask bad bed big bit "
        "box bus buy car cat cow cry cup cut dad dog dry due eat egg end eye far fat few fly gas get god got gun guy "
        "had has hat he hit hot how ice ill its job joy key kid law lay leg let lie lot low map met mom mum my new "
        "nor old own pay per pet pie put red sad sea set sex she sit sky son spy sun tax tea tie top toy try use via "
        "war we wet who why win yes yet zoo oil ok okay bye hi hey lol oh ah art act add aid arm army bag bar bat"
    ),
    # First persons: what follows "i" where it is the pronoun.
    VERB: (
        "am was have had do did don't didn't can can't cannot could couldn't will won't would wouldn't should "
        "shouldn't shall may might must think thought want wanted need needed know knew like liked love loved feel "
        "felt got get just also really never always still believe hope hoped wish wished see saw said say went go "
        "came come made make found find tried try use used live lived work worked wonder guess suppose mean meant "
        "understand agree hear heard read wrote write bought took take told tell asked ask haven't hadn't wasn't "
        "ain't remember forgot learned enjoy prefer keep kept started decided noticed recently currently actually "
        "only usually often ever miss missed hate"
    ),
    # What comes before "i" where it is the pronoun.
    LEADS: (
        "can do did should could would if when that and but what how because am will may as than where why so think "
        "know shall must might since while before after until which who was have had though although whether or then "
        "now yes no well sure sorry hi hello hey ok okay yeah me everything anything something things thing"
    ),
    # What tells that English is written here; none of these is a word of a language in which "i" is one.
    ENGLISH: (
        "the and of that you your is with this not what was it but how they their would should could have been "
        "which about there these because from when who where why are were be an if our his she he him don't "
        "can't it's want know think like just really please help need some any does did has had will"
    ),
    # A user's turn with one of these asks for a text to be worked on, and gives it.
    TASK: (
        "capitali uppercas lowercas punctuat proofrea grammar grammati spelling correct corrects edit rewrite "
        "rephrase paraphra translat fix typos typo convert transfor classify identify sentence sentimen summariz "
        "summaris paragrap passage complete fill unscramb reword tokenize headline"
    ),
    # What begins the rest of a sentence that somebody else began; such a text may keep its small letter.
    REST: (
        "is are was were am be been had has have do does did can could will would shall should may might must which "
        "that who whom whose and or but nor of to for with without until unless than into onto from by on in at as "
        "because so while through via about among between toward towards during if where when not only also then"
    ),
    # What comes before and after "i" where it counts, and what joins it to another variable.
    COUNTED: "each every index indices integer integers variable counter let iterator subscript",
    SINGULAR: (
        "is has does denotes ranges runs goes equals reaches represents becomes starts begins indicates increases "
        "takes varies iterates counts refers exceeds th"
    ),
    JOINS: "and or",
    # What lines of code begin with.
    CODE: (
        "def class import from return elif else print function func var let const public private protected static "
        "void int float double string char bool select insert update create delete alter drop include using namespac "
        "package for while if try except catch finally switch case break continue lambda async await end begin struct "
        "enum typedef echo export sudo pip npm git cd ls fn use mod impl local assert raise yield with"
    ),
}
"""Words are identified by their first eight characters."""

MODULES: Final = ("text/casing/lexicon.py", "kernels/hash_table.py", "kernels/hashing.py")
"""The modules that decide what the tables are."""

SLOTS: Final = 4096
WHOLE_KEY: Final = 8


class CaseTables(NamedTuple):
    """What `mark` reads: what each character of the first plane is, its capital, and the words that are known.

    A word's key is its ASCII-lowercased bytes as a little-endian number; `keys` is a table of keys
    (`curate.kernels.hash_table`), and an empty slot has no flags.
    """

    kinds: Bytes
    capitals: NDArray[np.uint16]
    keys: UInt64s
    flags: NDArray[np.uint16]


@load_once(1)
def tables() -> CaseTables:
    """Return the tables, made (0.1 s) once on a machine.

    >>> kinds, capitals, *_ = tables()
    >>> [int(kinds[ord(letter)]) for letter in "aAß中1 "] == [LOWER, UPPER, LETTER, LETTER, DIGIT, BLANK]
    True
    >>> chr(capitals[ord("é")])
    'É'
    """
    made = kept("casing", unicodedata.unidata_version.encode(), code_of(*MODULES), lambda: _tables()._asdict())
    return CaseTables(**{name: frozen(array) for name, array in made.items()})


def _tables() -> CaseTables:
    kinds, capitals = np.zeros(PLANE, np.uint8), np.arange(PLANE, dtype=np.uint16)
    for point, kind, capital in _characters():
        kinds[point], capitals[point] = kind, capital
    keys, flags = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint16)
    for flag, words in WORDS.items():
        spelled = [int.from_bytes(word.encode()[:WHOLE_KEY], "little") for word in words.split()]
        flags[slots_of(keys, frozen(np.array(spelled, np.uint64)))] |= np.uint16(flag)
    return CaseTables(kinds, capitals, keys, flags)


def _characters() -> Iterator[tuple[int, int, int]]:
    """Yield each character of the first plane that is not `OTHER`: what it is, and its capital or itself."""
    plain = {"L": LETTER, "M": CLINGS, "N": DIGIT, "Z": BLANK}
    for point in (*range(0xD800), *range(0xE000, PLANE)):
        letter = chr(point)
        kind = BLANK if letter.isspace() else plain.get(unicodedata.category(letter)[0], OTHER)
        capital = letter.title()
        if kind == LETTER and (letter.isupper() or letter.istitle()):
            kind = UPPER
        elif kind == LETTER and letter.islower() and _may_replace(letter, capital):
            yield point, LOWER, ord(capital)
            continue
        if kind != OTHER:
            yield point, kind, point


def _may_replace(letter: str, capital: str) -> bool:
    return (
        len(capital) == 1
        and capital != letter
        and capital.lower() == letter
        and capital.casefold() == letter.casefold()
        and len(capital.encode()) == len(letter.encode())
    )


@inline
def known_for(data: Bytes, start: int, end: int, known: CaseTables) -> int:
    """Return the flags of the word `data[start:end]`, 0 for one that is not known; letter case does not matter."""
    key, i = np.uint64(0), min(end, start + WHOLE_KEY) - 1
    while i >= start:
        byte = np.uint64(data[i])
        if byte - np.uint64(0x41) < np.uint64(26):
            byte += np.uint64(0x20)
        key = key << np.uint64(8) | byte
        i -= 1
    return int(known.flags[key_slot(known.keys, key)])


@inline
def kind_at(data: Bytes, i: int, end: int, known: CaseTables) -> tuple[int, int]:
    """Return what the character at `i` is, and its bytes."""
    point, width = code_point(data, i, end)
    return (int(known.kinds[point]) if point < PLANE else OTHER), width


@inline
def is_letter(kind: int) -> bool:
    """Tell whether a character of this kind is part of a word."""
    return kind == LOWER or kind == UPPER or kind == LETTER or kind == CLINGS  # noqa: PLR1714  no set in a kernel


@inline
def word_end(data: Bytes, i: int, end: int, known: CaseTables) -> int:
    """Return where the word at `i` ends: letters, and apostrophes between them."""
    while i < end:
        kind, width = kind_at(data, i, end, known)
        if not is_letter(kind):
            quote = apostrophe(data, i, end)
            if not quote or i + quote >= end or not is_letter(kind_at(data, i + quote, end, known)[0]):
                return i
            width = quote
        i += width
    return end


@inline
def word_start(data: Bytes, start: int, i: int, known: CaseTables) -> int:
    """Return where the word that ends at `i` begins: letters, and apostrophes between them."""
    while i > start:
        before = i - 1
        while before > start and data[before] & 0xC0 == 0x80:
            before -= 1
        letter = is_letter(kind_at(data, before, i, known)[0])
        if not letter and not (apostrophe(data, before, i) and i < len(data) and data[i] > 0x40):
            return i
        i = before
    return start


@inline
def apostrophe(data: Bytes, i: int, end: int) -> int:
    """Return how many bytes the apostrophe at `i` has, 0 for another character."""
    if data[i] == 0x27:
        return 1
    return 3 if i + 2 < end and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0x99 else 0


@inline
def is_word_byte(byte: int) -> bool:
    """Tell whether a byte is a letter or digit of ASCII, or past ASCII."""
    return byte >= 0x80 or 0x61 <= byte <= 0x7A or 0x41 <= byte <= 0x5A or 0x30 <= byte <= 0x39


@inline
def cover(marks: Bytes, start: int, end: int) -> None:
    """Protect `marks[start:end]`."""
    for i in range(start, end):
        marks[i] |= PROTECTED
