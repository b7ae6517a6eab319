"""Rated rows from data with one answer a row: the rows that say the same prompt become one, wherever they stand.

Answers of several models often come in a file each, and ratings of attributes (HelpSteer) in a row for each answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from curate.errors import MixtureError
from curate.io.blocks import BLOCK, Block, Delimiting, JsonItems, Refused
from curate.io.detect import Detected
from curate.io.formats.base import Fields, Format, json_fields
from curate.io.formats.rated import rated
from curate.io.formats.scored import ScoredFormat, scored
from curate.io.inputs import Files, Input, Opened
from curate.io.paths import File, resolve
from curate.io.row_collector import Parsed

__all__ = ["joined"]

_OF_ROW: Final = frozenset({"messages", "prompt", "completions"})
_OF_ANSWER: Final = frozenset({"content", "response", "completion", "model", "scores", "row"})
"""Fields that `rated` reads: what a source calls so stays within `row` of its completion."""

_NAME: Final = "joined rows"


class Answer(NamedTuple):
    """One answer to a prompt: its text, who gave it, its scores, its row's own id, and what else that row says."""

    content: str
    model: str | None
    scores: dict[str, float]
    id: str | None
    rest: Fields


@dataclass(frozen=True, kw_only=True)
class Joined(Input):
    """See `joined`. `models` are the names of the files where a mapping gave them; `part` reads single rows."""

    paths: tuple[str, ...] = field(metadata={"fingerprint": False})
    models: tuple[str, ...] | None
    part: ScoredFormat

    def parts(self, root: str | None) -> tuple[File, ...]:
        """Return the files: sorted by name, or in the order of the mapping, with their model before their name."""
        if self.models is None:
            return tuple(resolve(self.paths, root))
        return tuple(
            file._replace(name=f"{model}/{file.name}")
            for model, path in zip(self.models, self.paths, strict=True)
            for file in resolve((path,), root)
        )

    def read(self, parts: tuple[File, ...], formats: Sequence[Format], *, size: int = BLOCK) -> Iterator[Block]:  # noqa: ARG002
        """Read all files, giving what cannot be read as it is met; then give the joined rows as JSON objects."""
        answers: dict[str, list[Answer]] = {}
        source = Files(format=self.part, id=self.id, paths=self.paths, how=Delimiting())
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
        """Give the rows in blocks of about `size` bytes, and let go of each as it is written."""
        items: list[bytes] = []
        held, first, rows = 0, 1, len(answers)
        for number, prompt in enumerate(list(answers), 1):
            items.append(self._row(prompt, answers.pop(prompt)))
            held += len(items[-1])
            if held >= size or number == rows:
                yield Block(_NAME, first, JsonItems(items, None), total * len(items) // rows)
                items, held, first = [], 0, number + 1

    def _row(self, prompt: str, answers: list[Answer]) -> bytes:
        """Return one row as `rated` reads it; what all answers say alike stands once."""
        ids = {answer.id for answer in answers}
        own = next(iter(ids)) if len(ids) == 1 else None
        first = answers[0].rest
        alike = {
            name: value
            for name, value in first.items()
            if name not in _OF_ROW and all(answer.rest.get(name) == value for answer in answers)
        }
        completions = [self._completion(answer, alike, own) for answer in answers]
        told: dict[str, Any] = {**alike, "prompt": prompt, "completions": completions}
        return msgspec.json.encode(told if own is None or self.id is None else {self.id: own, **told})

    def _completion(self, answer: Answer, alike: Fields, own: str | None) -> Fields:
        rest = {name: value for name, value in answer.rest.items() if name not in alike}
        if answer.id is not None and own is None and self.id is not None:
            rest[self.id] = answer.id
        clash = {name: rest.pop(name) for name in sorted(_OF_ANSWER & rest.keys())}
        told: Fields = {"content": answer.content, "model": answer.model, "scores": answer.scores, **rest}
        return {**told, "row": clash} if clash else told

    def stamps(self, parts: tuple[File, ...]) -> list[tuple[str, int, int]]:
        """Return name, size and time of change of each file."""
        return [(file.name, file.size, file.mtime_ns) for file in parts]

    def label(self, parts: tuple[File, ...]) -> str:
        """Return the first file's path."""
        return str(parts[0].path)


def _collect(parsed: Parsed, model: str | None, answers: dict[str, list[Answer]]) -> None:
    rows = zip(parsed.body.to_pylist(), parsed.ids.to_pylist(), strict=True)
    for row, own in rows:
        said = row["completions"][0]
        scores = {score["name"]: score["value"] for score in said["scores"]}
        who = said["model"] if said["model"] is not None else model
        answer = Answer(said["content"], who, scores, own, json_fields(row["meta"].encode()))
        answers.setdefault(row["messages"][0]["content"], []).append(answer)


def joined(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    on: str,
    content: str,
    score: str | Sequence[str],
    model: str | None = None,
    id: str | None = "id",  # noqa: A002
) -> Input:
    """Rated rows from files with one answer a row: all answers to one prompt become its completions.

    - `paths`: files, patterns or folders, as `files` takes them; or a file (pattern, folder) for each model by name.
    - `on`: the field with the prompt, a text. Rows are joined where it is the same to the letter; how many files there
      are, and which of them have it, does not matter: a prompt has the completions there are. A file that answers it
      twice gives it two.
    - `content`: the field with the answer. `score`: the fields with its scores: numbers, also as text; null and "N/A"
      are none. `model`: the field that names the model; where there is none, the name in the mapping counts.
    - `id`: the field with the rows' own ids, which the joined row takes where all answers have the same.

    Rows that cannot be read (no prompt, no answer, a score that is no number) are quarantined, each by itself. Other
    fields go along in `meta`: once where all answers of a row have the same, else with the completion, those named like
    a field of `rated` within `row`. Joined rows come in the order in which their prompts are first met; all of it is
    held in memory. Raises `MixtureError` for fields named twice, no path, and names of models that cannot be told apart
    ("a" and "a/b").

    >>> step = joined("annotations/*.json", on="instruction", content="output_2", score="preference")
    >>> step.part
    ScoredFormat(prompt='instruction', response='output_2', scores=('preference',), model=None)
    """
    part = scored(on, content, score, model=model)
    models = None
    if isinstance(paths, Mapping):
        models = tuple(paths)
        several = list(paths.values())
    else:
        several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        message = "joined() takes at least one path"
        raise MixtureError(message)
    for name in models or ():
        within = [other for other in models or () if other.startswith(f"{name}/")]
        if within or not name:
            message = f"joined(): the model names {name!r} and {(within or [''])[0]!r} cannot be told apart; rename one"
            raise MixtureError(message)
    return Joined(format=rated(), id=id, paths=tuple(os.fspath(path) for path in several), models=models, part=part)
