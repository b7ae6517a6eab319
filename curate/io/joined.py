"""Rated rows from data with one answer per row: all rows with the same prompt become one.

Answers of several models often come in one file per model, and ratings (HelpSteer) in one row per answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Raw

from curate.errors import MixtureError
from curate.io.blocks import BLOCK, Block, JsonItems, ReadOptions, Refused
from curate.io.detect import Detected
from curate.io.formats.base import Fields, Format, json_fields
from curate.io.formats.exchanges import check_splits
from curate.io.formats.rated import ScoredFormat, rated, scored
from curate.io.inputs import Files, Input, Opened
from curate.io.paths import File
from curate.io.row_collector import Parsed
from curate.io.stores.copies import find
from curate.io.stores.urls import text_of
from curate.text.normal import normalise

__all__ = ["joined"]

_OF_ROW: Final = frozenset({"messages", "prompt", "completions"})
_OF_ANSWER: Final = frozenset({"content", "response", "completion", "model", "scores", "row"})
"""Fields that `rated` reads: fields of a source with these names stay within `row` of the completion."""

_NAME: Final = "joined rows"
_INTEGER: Final = re.compile(rb"-?[0-9]+")


class Answer(NamedTuple):
    """One answer: its prompt and text, who gave it, its scores, its row's own id, and what else that row says."""

    prompt: str
    content: str
    model: str | None
    scores: dict[str, float]
    id: str | None
    rest: Fields


@dataclass(frozen=True)
class AnswerFormat(ScoredFormat):
    """Rows with one answer, whose prompt may be an integer: an id."""

    def prepare(self, fields: Fields) -> Fields:
        """Find fields that are named by their path, and read an integer prompt as its digits."""
        fields = super().prepare(fields)
        value = fields.get(self.prompt)
        if isinstance(value, Raw) and _INTEGER.fullmatch(bytes(value)):
            return {**fields, self.prompt: Raw(b'"%s"' % bytes(value))}
        return {**fields, self.prompt: str(value)} if isinstance(value, int) and not isinstance(value, bool) else fields


@dataclass(frozen=True, kw_only=True)
class Joined(Input):
    """See `joined`. `models` are the names of the files where a mapping gave them; `part` reads single rows."""

    paths: tuple[str, ...] = field(metadata={"fingerprint": False})
    models: tuple[str, ...] | None
    part: AnswerFormat

    def parts(self, root: str | None) -> tuple[File, ...]:
        """Return the files: sorted by name, or in the order of the mapping, with their model before their name."""
        if self.models is None:
            return tuple(find(self.paths, root))
        return tuple(
            file._replace(name=f"{model}/{file.name}")
            for model, path in zip(self.models, self.paths, strict=True)
            for file in find((path,), root)
        )

    def open(self, root: str | None = None) -> Opened:
        """Resolve the files, and hold the fields against their first rows; raises the errors of `Input.open`."""
        check_splits(self.long_split, rated(), "joined()")
        single = Files(format=self.part, id=self.id, paths=self.paths, how=ReadOptions()).open(root)
        return Opened(self, self.parts(root), single.found._replace(format=rated()))

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:  # noqa: ARG002
        """Read all files, yielding unreadable rows at once, then the joined rows as JSON objects."""
        answers: dict[str, list[Answer]] = {}
        source = Files(format=self.part, id=self.id, paths=self.paths, how=ReadOptions())
        total = 0
        for file in parts:
            opened = Opened(source, (file,), Detected(self.part, "as declared"))
            model = self._model(file)
            for block in opened.blocks():
                parsed = opened.parse(block)
                for bad in parsed.bad.to_pylist():
                    expected = f"{bad['column']}: {bad['expected']}".removeprefix(": ")
                    yield Block(file.name, bad["line"], Refused(expected, bad["excerpt"].encode()), 0)
                _collect(parsed, model, answers)
            total += file.size
        yield from self._blocks(answers, size, total)

    def _model(self, file: File) -> str | None:
        """Return the model that a file belongs to; names are such that only one fits."""
        return next((name for name in self.models or () if file.name.startswith(f"{name}/")), None)

    def _blocks(self, answers: dict[str, list[Answer]], size: int, total: int) -> Iterator[Block]:
        """Yield the rows in blocks of about `size` bytes, and release each as it is written."""
        items: list[bytes] = []
        held, first, rows = 0, 1, len(answers)
        for number, prompt in enumerate(list(answers), 1):
            items.append(self._row(answers.pop(prompt)))
            held += len(items[-1])
            if held >= size or number == rows:
                yield Block(_NAME, first, JsonItems(items, None), total * len(items) // rows)
                items, held, first = [], 0, number + 1

    def _row(self, answers: list[Answer]) -> bytes:
        """Return one row as `rated` reads it, with the fields that all answers share once."""
        ids = {answer.id for answer in answers}
        own = next(iter(ids)) if len(ids) == 1 else None
        prompt, first = answers[0].prompt, answers[0].rest
        alike = {
            name: value
            for name, value in first.items()
            if name not in _OF_ROW and all(answer.rest.get(name) == value for answer in answers)
        }
        completions = [self._completion(answer, prompt, alike, own) for answer in answers]
        row: dict[str, Any] = {**alike, "prompt": prompt, "completions": completions}
        return msgspec.json.encode(row if own is None or self.id is None else {self.id: own, **row})

    def _completion(self, answer: Answer, prompt: str, alike: Fields, own: str | None) -> Fields:
        rest = {name: value for name, value in answer.rest.items() if name not in alike}
        if answer.prompt != prompt:
            rest[self.part.prompt] = answer.prompt
        if answer.id is not None and own is None and self.id is not None:
            rest[self.id] = answer.id
        clash = {name: rest.pop(name) for name in sorted(_OF_ANSWER & rest.keys())}
        fields: Fields = {"content": answer.content, "model": answer.model, "scores": answer.scores, **rest}
        return {**fields, "row": clash} if clash else fields


def _collect(parsed: Parsed, model: str | None, answers: dict[str, list[Answer]]) -> None:
    rows = parsed.body.to_pylist()
    prompts = [row["messages"][0]["content"] for row in rows]
    same = normalise(pa.array(prompts, pa.string())).to_pylist()
    for row, own, prompt, key in zip(rows, parsed.ids.to_pylist(), prompts, same, strict=True):
        only = row["completions"][0]
        scores = {score["name"]: score["value"] for score in only["scores"]}
        who = only["model"] if only["model"] is not None else model
        answer = Answer(prompt, only["content"], who, scores, own, json_fields(row["meta"].encode()))
        answers.setdefault(key or prompt, []).append(answer)


def joined(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    on: str,
    content: str,
    score: str | Sequence[str],
    model: str | None = None,
    id: str | None = "id",  # noqa: A002
) -> Input:
    """Rated rows from files with one answer per row: all answers to one prompt become its completions.

    Rows are joined if their prompts are the same in normal form (`curate.text.normal`), in the order in which prompts
    first occur; all of it is held in memory. The first spelling of a prompt stays, and an answer to another one keeps
    it in the field `on`. A prompt has the completions there are; a file that answers it twice gives it two. Rows that
    cannot be read (no prompt, no answer, a score that is not a number) are quarantined, one by one. Other fields are
    kept in `meta`: once if all answers of a row share them, else with the completion, those named like a field of
    `rated` within `row`.

    Args:
        paths: Files, patterns or folders, as `files` takes them; or one file (pattern, folder) per model, by name.
        on: The field with the prompt: a text, or an integer such as a question's id, read as its digits.
        content: The field with the answer.
        score: The field with the score, or several: numbers, also as text; null and "N/A" are no score.
        model: The field that names the model; if it is absent, the name in the mapping counts.
        id: The field with the rows' own ids; the joined row takes it if all its answers have the same.

    Returns:
        An input of rated rows.

    Raises:
        MixtureError: A field is named twice, there is no path, or a model's name contains another's ("a" and "a/b").

    Example:
        >>> joined("annotations/*.json", on="instruction", content="output_2", score="preference").part.scores
        ('preference',)
    """
    single = scored(on, content, score, model=model)
    part = AnswerFormat(single.prompt, single.response, single.scores, single.model)
    models = None
    if isinstance(paths, Mapping):
        models = tuple(paths)
        several = list(paths.values())
    else:
        several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        raise MixtureError("joined() takes at least one path")
    for name in models or ():
        within = [other for other in models or () if other.startswith(f"{name}/")]
        if within or not name:
            raise MixtureError(
                f"joined(): the model names {name!r} and {(within or [''])[0]!r} are ambiguous; rename one"
            )
    return Joined(format=rated(), id=id, paths=tuple(text_of(path) for path in several), models=models, part=part)
