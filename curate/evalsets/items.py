"""An eval set: a declaration of where a benchmark is and what its fields mean; and its items, once it is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from curate.errors import FormatError, MixtureError, did_you_mean
from curate.evalsets.fields import Fields, Item, items_of
from curate.evalsets.origins import Hub, Local, Raw
from curate.io.blocks import ReadOptions
from curate.io.row_collector import strings
from curate.io.stores.urls import text_of

_SEEN: Final = 100
"""Rows whose fields an error names."""


class EvalItems(NamedTuple):
    """The items of an eval set: parallel Arrow arrays in the order of the rows.

    `ids` are unique; an item without an own id has its number, from 0, after the name of its config or file if there
    are several (`word_sorting/3`), and a turn has its number after that of its dialogue (`81/0`). `question` has no
    null: a row without one has an empty question. `passage`, `choices` (a list of strings) and `answer` are null where
    an item has none.
    """

    ids: pa.StringArray
    question: pa.StringArray
    passage: pa.StringArray
    choices: pa.ListArray
    answer: pa.StringArray

    def digest(self) -> str:
        """Return a sha256 digest (64 hexadecimal digits) of the items, all columns, in order."""
        return hashlib.sha256(msgspec.json.encode([column.to_pylist() for column in self])).hexdigest()


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """A benchmark to search for in the data; nothing is read before `load`.

    Args:
        name: Its name in reports, without a slash.
        origin: A repository on the Hub, or local files.
        fields: The layouts it is published in; a row is read by the first that finds a question in it.
        local: How local copies in CSV and TSV are delimited.

    Example:
        >>> import curate as c
        >>> (quiz,) = c.evals.files("quiz.jsonl", question="question", name="quiz")
        >>> isinstance(quiz, c.EvalSet), quiz.name
        (True, 'quiz')
    """

    name: str
    origin: Hub | Local
    fields: tuple[Fields, ...]
    local: ReadOptions = field(default=ReadOptions(), repr=False, metadata={"fingerprint": False})

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise MixtureError(f"name={self.name!r}: an eval set has a name without a slash")
        if not self.fields:
            raise MixtureError(f"the eval set {self.name!r} names no field: fields=(Fields(question=...),)")

    def at(self, *paths: str | os.PathLike[str]) -> EvalSet:
        """Return the same set read from files: copies in a layout that its authors publish on the Hub or on GitHub.

        Args:
            paths: Files, patterns and folders, as `evals.files` takes them.

        Returns:
            The set, read from these files.

        Raises:
            MixtureError: There is no path.

        Example:
            >>> from curate.evalsets.evals import evals
            >>> (gsm8k,) = evals("gsm8k")
            >>> gsm8k.at("gsm8k_test.jsonl").origin.label()
            'gsm8k_test.jsonl'
        """
        if not paths:
            raise MixtureError(f"at() takes at least one path for {self.name!r}")
        return replace(self, origin=Local(paths=tuple(text_of(path) for path in paths), how=self.local))

    def load(self, root: str | None = None) -> EvalItems:
        """Read the items, in the order of configs or file names, then of rows.

        Rows that cannot be read, or whose question is missing, null or not text, become items with an empty question.

        Args:
            root: The folder at which relative paths start; None is the working directory.

        Returns:
            The items, as parallel Arrow arrays.

        Raises:
            FormatError: No row has a question, or there is no row: a set that checks nothing must not pass.
            SourceNotFoundError: The set is not there.
        """
        seen: list[Raw] = []
        ids: list[str] = []
        items: list[Item] = []
        for raw in self.origin.rows(root, lambda row: any(one.fit(row) for one in self.fields)):
            made = items_of(raw.row, self.fields)
            number = raw.key or (f"{raw.part}/{raw.number}" if raw.part else str(raw.number))
            ids += [f"{item.id or number}{'' if item.turn is None else f'/{item.turn}'}" for item in made]
            items += made
            if len(seen) < _SEEN:
                seen.append(raw)
        if not any(item.question for item in items):
            raise FormatError(self._refusal(seen))
        return EvalItems(
            strings(_unique(ids)),
            strings([item.question for item in items]),
            strings([item.passage for item in items]),
            pa.array([item.choices for item in items], pa.list_(pa.string())),
            strings([item.answer for item in items]),
        )

    def _refusal(self, seen: list[Raw]) -> str:
        where = f"the eval set {self.name!r} ({self.origin.label()})"
        if not seen:
            return f"{where} holds no row; fetch it again, or leave it out"
        names = list(dict.fromkeys(name for raw in seen for name in raw.row or ()))
        asked = " or ".join(repr(one.question) for one in self.fields)
        if not names:
            return f"{where} has no row that can be read; is it what its name says?"
        shown = ", ".join(map(repr, islice(names, 12)))
        hint = did_you_mean(self.fields[0].question, names)
        return f"{where} has no question in {asked}; its fields are {shown} ({hint}). Say which: question=..."


Evals: TypeAlias = "EvalSet | Iterable[Evals]"


def flat(evals: Iterable[Evals], call: str) -> tuple[EvalSet, ...]:
    """Return the eval sets, however nested, each once; raises `MixtureError`, naming the `call`, for anything else."""
    found: list[EvalSet] = []
    for one in evals:
        if isinstance(one, EvalSet):
            found.append(one)
        elif isinstance(one, Iterable) and not isinstance(one, str):
            found += flat(one, call)
        else:
            raise MixtureError(
                f"{call}({one!r}): no eval set; evals('gsm8k') or evals.files('questions.jsonl') makes one"
            )
    return tuple(dict.fromkeys(found))


def _unique(ids: list[str]) -> list[str]:
    """Give an id that was there before a number: `a`, `a-2`, `a-3`."""
    taken: set[str] = set(ids)
    given: dict[str, int] = {}
    named: list[str] = []
    for name in ids:
        count = given[name] = given.get(name, 0) + 1
        unique = name
        while count > 1 and unique in taken:
            unique = f"{name}-{count}"
            count += 1
        taken.add(unique)
        named.append(unique)
    return named
