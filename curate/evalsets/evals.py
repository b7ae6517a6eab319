"""`evals`: eval sets by name, by suite, or from files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from curate.errors import MixtureError, did_you_mean
from curate.evalsets.fields import Fields
from curate.evalsets.items import EvalSet
from curate.evalsets.origins import Local, stem
from curate.evalsets.registry import SETS, SUITES, EvalName, SuiteName
from curate.io.blocks import ReadOptions
from curate.io.stores.urls import text_of


class Evals:
    """See `evals`."""

    def __call__(self, *names: EvalName | SuiteName) -> tuple[EvalSet, ...]:
        """Return the eval sets of these names and suites, in this order, each once; nothing is read yet.

        Args:
            names: Names of evals and suites.

        Returns:
            The eval sets.

        Raises:
            MixtureError: A name is unknown, or there is none.

        Example:
            >>> [one.name for one in evals("truthful_qa", "zephyr")]
            ['truthful_qa', 'mt_bench', 'alpaca_eval', 'mmlu']
        """
        known = [*SETS, *SUITES]
        for name in names:
            if name not in known:
                hint = did_you_mean(str(name), known)
                raise MixtureError(
                    f"evals({name!r}): no such eval or suite; {hint}; for files: evals.files(path, question=...)"
                )
        if not names:
            raise MixtureError(f"evals() takes names; known: {', '.join(known)}")
        flat = [one for name in names for one in SUITES.get(name, (name,))]
        return tuple(SETS[name] for name in dict.fromkeys(flat))

    def files(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        question: str,
        answer: str | None = None,
        passage: str | None = None,
        choices: str | Sequence[str] = (),
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        columns: Sequence[str] | None = None,
        separator: str | None = None,
    ) -> tuple[EvalSet, ...]:
        """Return one eval set from files: JSON, JSON lines, CSV, TSV, Parquet and Arrow, each also as `.gz` or `.zst`.

        `question`, `answer`, `passage`, `choices` and `id` are names of fields, paths into them or templates: see
        `Fields`.

        Args:
            path: A file, a pattern, a folder, or several.
            question: The question's field.
            answer: The answer's field.
            passage: The field with the text that the question is about.
            choices: The field with the list of choices, or several.
            id: The field with the items' own ids.
            name: The name that reports use. None: that of the file or folder.
            columns: The names of the columns of CSV or TSV without a header, or of the one column of a file with any
                other suffix and one text per line.
            separator: A character. None: comma or tab by suffix.

        Returns:
            A tuple of one eval set.

        Raises:
            MixtureError: A field is invalid, or a pattern or several paths come without a name.

        Example:
            >>> (mine,) = evals.files("quiz/v1.jsonl.gz", question="{context} {ask}", answer="gold.0")
            >>> mine.name
            'v1'
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if separator is not None and (len(separator) != 1 or separator in '"\r\n' or not separator.isascii()):
            raise MixtureError(f"separator={separator!r} is not a single ASCII character")
        how = ReadOptions(None if columns is None else tuple(columns), separator=separator)
        fields = Fields(
            question=question,
            answer=answer,
            passage=passage,
            choices=choices if isinstance(choices, str) else tuple(choices),
            id=id,
        )
        origin = Local(paths=tuple(text_of(one) for one in paths), how=how)
        return (EvalSet(name=name or _name_of(origin.paths), origin=origin, fields=(fields,), local=how),)


def _name_of(paths: tuple[str, ...]) -> str:
    if len(paths) != 1 or set("*?[") & set(PurePath(paths[0]).name):
        raise MixtureError(f"evals.files({', '.join(map(repr, paths))}) needs a name: name=...")
    return stem(PurePath(paths[0]).name)


evals: Final = Evals()
"""Eval sets to hold against the data: `evals("truthful_qa", "tulu2")` by name and suite, `evals.files(...)` from files.

They come as a tuple, which `decontaminate` takes. A named set is read from the Hub, or from copies of its files:
`evals("gsm8k")[0].at("test.jsonl")`.

Example:
    >>> [one.name for one in evals("truthful_qa", "gsm8k")]
    ['truthful_qa', 'gsm8k']
"""
