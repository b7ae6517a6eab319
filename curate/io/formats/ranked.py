"""Formats that make rated rows of ranks and of steps: `nectar` and `stepwise`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec import Struct

from curate.io.formats.base import Completion, Fields, Format, RatedAnswers, keep, objects
from curate.io.formats.preference import hh_turns
from curate.io.formats.rated import model_of
from curate.rows.schema import Kind
from curate.rows.validate import check_prompt, check_text, refuse


class _RankedAnswer(Struct, gc=False):
    answer: str
    rank: float
    model: str | None = None


class _NectarRow(Struct, gc=False):
    prompt: str
    answers: list[_RankedAnswer]


@dataclass(frozen=True)
class Nectar(Format):
    """See `nectar`."""

    name: ClassVar[str] = "nectar"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = _NectarRow

    def rows(self, row: _NectarRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        if not row.answers:
            refuse("answers", "at least one answer")
        turns = hh_turns(row.prompt, "prompt")
        while len(turns) > 1 and turns[-1][0] == "assistant" and not (turns[-1][1] or "").strip():
            turns.pop()  # the marker of the answer to come
        check_prompt(turns, "prompt")
        del fields["prompt"]
        raw = objects(fields.pop("answers"), "answers")
        answers = []
        for i, (one, left) in enumerate(zip(row.answers, raw, strict=True)):
            for taken in ("answer", "model", "rank"):
                left.pop(taken, None)
            scores = {"rank": one.rank, "overall": len(raw) + 1 - one.rank}
            model = model_of(one.model, f"answers[{i}]")
            answers.append(Completion(check_text(one.answer, f"answers[{i}].answer"), model, scores))
        keep(fields, "answers", raw)
        yield RatedAnswers(turns, answers, fields)


def nectar() -> Nectar:
    """Rows of Nectar: a `prompt` in HH's spelling, and `answers` with their `model` and their `rank`, 1 for the best.

    The rank becomes two scores: `rank` as it is, and `overall`, higher for a better answer: the number of answers plus
    one, minus the rank. So `binarize()` works as it is.

    Returns:
        A format that makes rated rows.

    References:
        https://huggingface.co/datasets/berkeley-nest/Nectar

    Example:
        >>> nectar().kind
        'rated'
    """
    return Nectar()


class _StepwiseRow(Struct, gc=False):
    prompt: str
    completions: list[str]
    labels: list[bool]


@dataclass(frozen=True)
class Stepwise(Format):
    """See `stepwise`."""

    name: ClassVar[str] = "stepwise"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = _StepwiseRow

    def rows(self, row: _StepwiseRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make one rated row."""
        if not row.completions or len(row.completions) != len(row.labels):
            refuse("labels", f"a label for each of the {len(row.completions)} completions, not {len(row.labels)}")
        answers = [
            Completion(check_text(text, f"completions[{i}]"), None, {"label": float(label)})
            for i, (text, label) in enumerate(zip(row.completions, row.labels, strict=True))
        ]
        prompt = check_text(row.prompt, "prompt")
        for taken in ("prompt", "completions", "labels"):
            del fields[taken]
        yield RatedAnswers([("user", prompt)], answers, fields)


def stepwise() -> Stepwise:
    """Rows of a process reward model: a `prompt`, `completions` (the steps of one answer) and a truth value for each.

    Each step is a completion, in its order, with the score `label`: 1 for a right step, 0 for a wrong one.

    Returns:
        A format that makes rated rows.

    References:
        TRL's "stepwise supervision" (prompt, completions, labels).

    Example:
        >>> stepwise().kind
        'rated'
    """
    return Stepwise()


CANDIDATES: Final = (nectar(), stepwise())
