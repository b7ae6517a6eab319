"""The phrases of `refusals`: files of phrases and rules, the presets that name the files, and both compiled.

A line of a file is a phrase. A sign before it makes it a rule; see `PhraseKind`. `(a|b)` lists alternatives, and a line
that begins with "#" is a comment. So a phrase is added, or narrowed, without touching code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args
from unicodedata import unidata_version

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.kernels.buffers import strings, view
from curate.kernels.kept import code_of, kept
from curate.rows.segments import On
from curate.text.invisible import PATTERN
from curate.text.phrases.automaton import CODE as CODE_OF_AUTOMATA
from curate.text.phrases.automaton import Automaton, Phrase, alternatives, compile_now, of_arrays, to_arrays

Preset: TypeAlias = Literal["default", "zephyr", "tulu2", "tulu3", "olmo3", "olmo3_dates"]
Where: TypeAlias = Literal["anywhere", "opening", "first_turn"]

EXTRA: Final = "phrases"
"""The family of the phrases that a user adds."""

MORALISING: Final = "moralising"
"""The family whose lines give points; see `curate.steps.refusals.phrase_hits`."""

UNQUOTED: Final = "%unquoted"
"""A line of a file: its phrases do not count between quotation marks."""

LET: Final = "%let"
"""What begins a line of a file that names alternatives, `%let MAKER (OpenAI|Anthropic)`, for the lines after it."""


CODE: Final = ("steps/refusals/phrase_files.py", *CODE_OF_AUTOMATA)
"""The modules that decide what a file is compiled to."""

Given: TypeAlias = str | tuple[str, ...]
"""The name of a file of phrases, or phrases that simply count."""


class PhraseKind(IntEnum):
    """What a phrase of a file does. The first sign of its line says so: none, or one of `SIGNS`; `=` may follow."""

    COUNTS = 0
    OPENING = 1
    """`^`: it counts where it begins in the opening of a turn."""
    EXCEPT = 2
    """`-`: a hit of the family that begins within it does not count ("I cannot help" in "I cannot help but smile")."""
    UNLESS = 3
    """`!`: no hit of the family counts in a turn that contains it, but for those of `+`."""
    CERTAIN = 4
    """`+`: it counts even in such a turn."""
    SPEAKER = 5
    """`@`: with it the speaker begins to say what it is; it is no hit itself."""
    OF_SPEAKER = 6
    """`~`: it counts close after an `@` in the same sentence ("trained by OpenAI" after "I am a")."""


SIGNS: Final = {
    "^": PhraseKind.OPENING,
    "-": PhraseKind.EXCEPT,
    "!": PhraseKind.UNLESS,
    "+": PhraseKind.CERTAIN,
    "@": PhraseKind.SPEAKER,
    "~": PhraseKind.OF_SPEAKER,
}


class PhraseRules(NamedTuple):
    """A file: its phrases, what each does, and whether phrases between quotation marks are ignored."""

    phrases: tuple[Phrase, ...]
    kinds: tuple[PhraseKind, ...]
    unquoted: bool


class PointGroup(NamedTuple):
    """Lines of the file `moralising.txt` that give the same points; each line is all of its alternatives."""

    name: str
    anywhere: int
    opening: int
    lines: tuple[tuple[Phrase, ...], ...]


class PatternFile(NamedTuple):
    """A file of regular expressions: their names, and what a text needs to match one of them ("": nothing)."""

    names: tuple[str, ...]
    patterns: tuple[str, ...]
    needs: str


class PhrasePreset(NamedTuple):
    """A preset: the segments it reads, how it matches, and its families in order of reason, each with its file.

    `regular`: the file has regular expressions.
    """

    on: On
    words: bool
    loose: bool
    families: dict[str, str]
    regular: bool = False


FAMILIES: Final = ("self_reference", "no_feelings", "knowledge_cutoff", "cannot_help", MORALISING, "provider")

PRESETS: Final[dict[Preset, PhrasePreset]] = {
    "default": PhrasePreset("response", words=True, loose=True, families={name: f"{name}.txt" for name in FAMILIES}),
    "zephyr": PhrasePreset("response", words=True, loose=True, families={"no_feelings": "zephyr.txt"}),
    "tulu2": PhrasePreset("all", words=False, loose=False, families={"provider": "tulu2.txt"}),
    "tulu3": PhrasePreset("response", words=True, loose=False, families={"provider": "tulu3.txt"}),
    "olmo3": PhrasePreset("response", words=True, loose=True, families={"provider": "olmo3.txt"}, regular=True),
    "olmo3_dates": PhrasePreset(
        "all", words=True, loose=True, families={"knowledge_cutoff": "olmo3_dates.txt"}, regular=True
    ),
}


class PhraseSearch(NamedTuple):
    """Compiled phrases; the arrays have one entry per phrase.

    `family` is an index into the step's families, `kind` a `PhraseKind`. `unquoted` has one entry per family. `ruled`:
    some phrase does not simply count. `moralising` is the index of that family (-1: not looked for), `lines` its
    phrases, which the automaton numbers after the others. Of a preset with regular expressions, `regular` has them;
    they count for the first family, and `lines` has their names.
    """

    automaton: Automaton
    family: NDArray[np.int16]
    kind: NDArray[np.uint8]
    text: pa.StringArray
    unquoted: NDArray[np.bool_]
    ruled: bool
    moralising: int
    lines: pa.StringArray
    regular: PatternFile | None = None


def file_text(name: str) -> str:
    """Return a file of phrases as it is."""
    return files("curate.steps.refusals").joinpath("phrases", name).read_text(encoding="utf-8")


def phrase_lines(name: str) -> list[str]:
    """Return the lines of a file without comments, what `%let` names written out."""
    lines: list[str] = []
    named: dict[str, str] = {}
    for line in file_text(name).splitlines():
        written = re.sub("[A-Z]+", lambda found: named.get(found[0], found[0]), line)
        if line.startswith(LET):
            _, name, choice = line.split(maxsplit=2)
            named[name] = choice
        elif line.strip() and not line.startswith("#"):
            lines.append(written)
    return lines


@lru_cache(maxsize=16)
def rule_file(name: str) -> PhraseRules:
    """Read a file of phrases.

    >>> rules = rule_file("zephyr.txt")
    >>> rules.phrases[0], rules.kinds[0].name, rules.unquoted
    (Phrase(text='I do not have emotions', exact=False), 'COUNTS', False)
    """
    lines = phrase_lines(name)
    rules: dict[Phrase, PhraseKind] = {}
    for line in lines:
        kind = SIGNS.get(line[0], PhraseKind.COUNTS)
        text = line if kind == PhraseKind.COUNTS else line[1:].lstrip()
        for plain in () if line == UNQUOTED else alternatives(text):
            phrase = Phrase(" ".join(plain.removeprefix("=").split()), plain.startswith("="))
            rules[phrase] = kind if kind == PhraseKind.CERTAIN else rules.get(phrase, kind)
    return PhraseRules(tuple(rules), tuple(rules.values()), UNQUOTED in lines)


@lru_cache(maxsize=4)
def pattern_file(name: str) -> PatternFile:
    """Read a file of regular expressions, each after its name; any letter case matches.

    >>> pattern_file("olmo3.txt").names[-3:]
    ('DeepSeek', 'Qwen', 'Alibaba Cloud')
    """
    named = dict(line.split(" = ", 1) for line in phrase_lines(name))
    needs = named.pop("NEEDS", "")
    patterns = tuple(f"(?i){pattern}" for pattern in named.values())
    return PatternFile(tuple(named), patterns, f"(?i){needs}" if needs else "")


@lru_cache(maxsize=1)
def moralising_file() -> tuple[PointGroup, ...]:
    """Read the file of moralising lines: headings `[name anywhere=points opening=points]`, each with its lines.

    >>> [group.name for group in moralising_file()]
    ['judge', 'discourage', 'duty', 'rights', 'fiction']
    """
    groups: list[PointGroup] = []
    for line in phrase_lines(f"{MORALISING}.txt"):
        heading = re.fullmatch(r"\[(\w+) anywhere=(-?\d+) opening=(-?\d+)\]", line)
        if heading is not None:
            groups.append(PointGroup(heading[1], int(heading[2]), int(heading[3]), ()))
            continue
        phrases = tuple(dict.fromkeys(Phrase(" ".join(plain.split())) for plain in alternatives(line)))
        groups[-1] = groups[-1]._replace(lines=(*groups[-1].lines, phrases))
    return tuple(groups)


@lru_cache(maxsize=16)
def compiled(
    preset: Preset, families: tuple[str, ...], phrases: tuple[str, ...], *, points: bool = True
) -> PhraseSearch:
    """Compile the phrases of these families, those of moralising only for `points`; the result is cached."""
    chosen = PRESETS[preset]
    given: dict[int, Given] = {
        place: phrases if family == EXTRA else chosen.families[family]
        for place, family in enumerate(families)
        if family != MORALISING and not (chosen.regular and family != EXTRA)
    }
    moralising = families.index(MORALISING) if points and MORALISING in families else -1
    search = search_for(given, len(families), moralising, words=chosen.words, loose=chosen.loose)
    if not chosen.regular or families[0] == EXTRA:
        return search
    regular = pattern_file(chosen.families[families[0]])
    return search._replace(regular=regular, lines=pa.array(regular.names))


def plain_rules(phrases: tuple[str, ...]) -> PhraseRules:
    """Return phrases that simply count, without invisible characters."""
    visible = (re.sub(PATTERN, "", phrase) for phrase in phrases)
    return PhraseRules(tuple(map(Phrase, visible)), (PhraseKind.COUNTS,) * len(phrases), unquoted=False)


def search_for(
    given: Mapping[int, Given], families: int, moralising: int = -1, *, words: bool = True, loose: bool = True
) -> PhraseSearch:
    """Compile what is given for the families of these indexes, see `compile_rules`; files are compiled once a machine.

    Written out, the files of `refusals` have 43,000 phrases, which takes 0.3 s.
    """
    texts = [file_text(each) for each in given.values() if isinstance(each, str)]
    texts += [file_text(f"{MORALISING}.txt")] if moralising >= 0 else []

    def make() -> PhraseSearch:
        rules = {
            place: rule_file(each) if isinstance(each, str) else plain_rules(each) for place, each in given.items()
        }
        return compile_rules(rules, families, moralising, words=words, loose=loose)

    if not texts:
        return make()
    key = repr((sorted(given.items()), texts, families, moralising, words, loose, unidata_version)).encode()
    return _of_arrays(kept("refusals", key, code_of(*CODE), lambda: _to_arrays(make())))


def compile_rules(
    rules: dict[int, PhraseRules], families: int, moralising: int = -1, *, words: bool = True, loose: bool = True
) -> PhraseSearch:
    """Compile rules, each for the family of that index among so many `families`, and the lines of `moralising`."""
    phrases = tuple(phrase for each in rules.values() for phrase in each.phrases)
    kinds = np.array([kind for each in rules.values() for kind in each.kinds], np.uint8)
    unquoted = np.zeros(families, np.bool_)
    unquoted[list(rules)] = [each.unquoted for each in rules.values()]
    groups = moralising_file() if moralising >= 0 else ()
    lines = tuple(phrase for group in groups for line in group.lines for phrase in line)
    return PhraseSearch(
        automaton=of_arrays(to_arrays(compile_now(phrases, lines, words=words, loose=loose))),
        family=np.repeat(np.array(list(rules), np.int16), [len(each.phrases) for each in rules.values()]),
        kind=kinds,
        text=pa.array([phrase.text for phrase in phrases], pa.string()),
        unquoted=unquoted,
        ruled=bool((kinds != PhraseKind.COUNTS).any() or unquoted.any()),
        moralising=moralising,
        lines=pa.array([phrase.text for phrase in lines], pa.string()),
    )


def _to_arrays(search: PhraseSearch) -> dict[str, NDArray[Any]]:
    """Return the arrays of a search without regular expressions, by name; `_of_arrays` makes it of them again."""
    arrays = {f"automaton.{name}": array for name, array in to_arrays(search.automaton).items()}
    for name, texts in (("text", search.text), ("lines", search.lines)):
        arrays |= {f"{name}.{part}": array for part, array in view(texts)._asdict().items()}
    plain = ("family", "kind", "unquoted", "ruled", "moralising")
    return arrays | {name: np.asarray(getattr(search, name)) for name in plain}


def _of_arrays(made: Mapping[str, NDArray[Any]]) -> PhraseSearch:
    def part(of: str) -> dict[str, NDArray[Any]]:
        return {name.partition(".")[2]: array for name, array in made.items() if name.startswith(f"{of}.")}

    return PhraseSearch(
        automaton=of_arrays(part("automaton")),
        text=strings(**part("text")),
        lines=strings(**part("lines")),
        family=made["family"],
        kind=made["kind"],
        unquoted=made["unquoted"],
        ruled=bool(made["ruled"]),
        moralising=int(made["moralising"]),
    )


def check_families(
    preset: str, families: tuple[str, ...] | None, phrases: tuple[str, ...], where: str
) -> tuple[str, ...]:
    """Return the families to look for, in the preset's order; raises `MixtureError` for an unknown name."""
    if preset not in PRESETS:
        raise MixtureError(f"preset={preset!r} is no preset of refusals; {did_you_mean(preset, PRESETS)}")
    if where not in get_args(Where):
        raise MixtureError(f"where={where!r} is no place of refusals; {did_you_mean(where, get_args(Where))}")
    known = PRESETS[preset].families
    for family in families or ():
        if family not in known:
            raise MixtureError(f"families: preset {preset!r} has no family {family!r}; {did_you_mean(family, known)}")
    chosen = tuple(family for family in known if families is None or family in families)
    chosen = (*chosen, EXTRA) if phrases else chosen
    if not chosen:
        raise MixtureError("families=() leaves refusals nothing to look for; name a family or give phrases")
    return chosen
