"""A classifier trained by `curate.train_classifier`, asked about answers and requests for `refusals`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import FormatError, MixtureError
from curate.kernels.buffers import frozen, strings, view
from curate.rows.joined_text import TextForm
from curate.rows.schema import ASSISTANT, USER
from curate.rows.segments import On, Part, Segments
from curate.steps.classifier_card import probabilities, read_card
from curate.text.fasttext.model_file import load_classifier
from curate.text.normal import blank, normalise
from curate.text.tokenise import spaced

MODEL: Final = "model"
"""The reason of answers that the model finds a refusal; the score is their probability."""

SURE: Final = 0.75
"""Probability from which an answer is a refusal. Trained on two files of XSTest and tested on the third, precision and
recall are 0.975 and 0.959 (from 0.5 on 0.973 and 0.965); on unseen prompts 0.955 and 0.933 (0.948 and 0.944)."""

CLIPPED: Final = 1e-5
"""Probabilities are clipped to this distance from 0 and 1; the package's own do not come closer."""

OPENINGS: Final = (200, 300, 400, 500)
"""Characters of an answer that the model judges, one opening after the other. A refusal is at the beginning, and a
model that has read all of an answer weighs its topic more than how it begins. Where exactly a sentence is cut should
not decide, so the log odds of four openings are averaged. With the limit chosen on two files, precision and recall on
the third are 0.973 and 0.963; with the last opening alone 0.965 and 0.955."""


LAST: Final = np.int32(2**31 - 1)


class Requests(NamedTuple):
    """Requests in one part: the distinct `places` in it, and for each of the `answers` the entry of its request."""

    part: Part
    places: NDArray[np.int32]
    answers: NDArray[np.intp]
    entry: NDArray[np.intp]


def requests(segments: Segments, part: Part, places: NDArray[np.int32]) -> Iterator[Requests]:
    """Find the requests of the segments of `part` at `places`; `Requests.answers` are indices into `places`.

    A request comes before its answer on the answer's own side, or else it is the last one of the prompt. A segment
    with no user turn before it has none. `segments` are those of whole rows.
    """
    unmatched = np.ones(len(places), np.bool_)
    for side in dict.fromkeys((part.side, "prompt")):
        for other in segments.parts:
            if other.side == side and unmatched.any():
                own = side == part.side and side != "completion"
                turn = part.turn[places] if own else np.broadcast_to(LAST, len(places))
                matched, last = _last_users(other, part.row[places], turn)
                answers = np.flatnonzero(matched & unmatched)
                unmatched &= ~matched
                asked, entry = np.unique(last[answers], return_inverse=True)
                yield Requests(other, asked.astype(np.int32), answers, entry)


def _last_users(
    part: Part, row: NDArray[np.int32], turn: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Mark the turns with a user turn of their row before them in `part`, and return its place."""
    users = np.flatnonzero(part.role == USER)
    if len(users) == 0:
        return np.zeros(len(row), np.bool_), np.zeros(len(row), np.intp)
    keys = part.row[users].astype(np.int64) << 32 | part.turn[users]
    last = np.searchsorted(keys, row.astype(np.int64) << 32 | turn) - 1
    place = users[np.maximum(last, 0)]
    return (last >= 0) & (part.row[place] == row), place


Task: TypeAlias = Literal["model", "keep_safety"]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A classifier: its label of what is looked for, and the segments and form of text that it was trained on."""

    path: str = field(metadata={"fingerprint": False})
    label: str
    on: On
    form: TextForm

    @property
    def reads_requests(self) -> bool:
        """Whether it was trained on requests too, so that an answer is judged together with its request."""
        return self.on == "all" or (isinstance(self.on, frozenset) and "user" in self.on)

    def hashes(self, task: Task) -> dict[str, str]:
        """Return the sha256 of the file, for the manifest."""
        return {f"{task}/{Path(self.path).name}": load_classifier(self.path).digest}

    def probability(self, texts: pa.StringArray) -> NDArray[np.float64]:
        """Return the probability of the label for each text; NaN if the text is blank or none of it is known."""
        return probabilities(self.path, self.label, spaced(normalise(texts)) if self.form == "spaced" else texts)


def judge_of(model: str | os.PathLike[str], task: Task) -> Judge:
    """Return the classifier at `model` for a task: to judge answers, or (`keep_safety`) requests.

    Raises `SourceNotFoundError` if there is no file, `FormatError` if it is no classifier or has no card beside it, and
    `MixtureError` if it was trained on other segments than the task's, or its card names a label that it lacks or
    belongs to another model.
    """
    path = os.fspath(model)
    classifier = load_classifier(path)
    card = read_card(path, classifier.digest)
    if card is None:
        raise FormatError(
            f"refusals({task}={path!r}): the model has no card of train_classifier beside it to say what it was "
            "trained on; train it with curate.train_classifier, and move both files together"
        )
    if card.label not in classifier.labels:
        message = f"refusals({task}={path!r}): the model has no label {card.label!r}, which its card names; it has "
        message += ", ".join(classifier.labels[:8])
        raise MixtureError(message)
    roles = card.on if isinstance(card.on, frozenset) else frozenset()
    answers = card.on in ("response", "last_response", "all", "chosen", "rejected") or "assistant" in roles
    if not (answers if task == "model" else card.on in ("prompt", "first_user") or roles == {"user"}):
        want = "answers, so train on='response' or on='all'" if task == "model" else "requests, so train on='prompt'"
        on = sorted(roles) or card.on
        raise MixtureError(f"refusals({task}={path!r}): the model was trained on={on!r}, and is asked about {want}")
    return Judge(path=path, label=card.label, on=card.on, form=card.form)


def judge_answers(
    segments: Segments, part: Part, places: NDArray[np.int32], model: Judge
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the probability of a refusal for each segment of `part`, and how many characters of it were read.

    NaN for segments that are not at `places`, are not the assistant's, or are blank.
    """
    answers = places[part.role[places] == ASSISTANT]
    texts = texts_of(part, answers)
    odds = np.zeros(len(answers))
    for opening in OPENINGS:
        beginning = pc.utf8_slice_codeunits(texts, 0, opening)
        asked = _after_requests(segments, part, answers, beginning) if model.reads_requests else beginning
        odds += _log_odds(model.probability(asked))
    empty = blank(view(beginning), frozen(np.arange(len(beginning), dtype=np.int32)))
    probability, read = np.full(len(part.index), np.nan), np.zeros(len(part.index), np.int32)
    probability[answers] = np.where(empty, np.nan, 1 / (1 + np.exp(-odds / len(OPENINGS))))
    read[answers] = pc.utf8_length(beginning).to_numpy()
    return probability, read


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    chance = np.clip(probability, CLIPPED, 1 - CLIPPED)
    return np.log(chance / (1 - chance))


def texts_of(part: Part, places: NDArray[np.int32]) -> pa.StringArray:
    """Return the texts of the segments of `part` at `places`; null is the empty string."""
    return strings(part.text.data, part.text.offsets).take(pa.array(part.index[places]))


def _after_requests(
    segments: Segments, part: Part, places: NDArray[np.int32], answers: pa.StringArray
) -> pa.StringArray:
    """Put its request, if it has one, before each answer."""
    texts = [pa.array([""], pa.string())]
    which, size = np.zeros(len(places), np.int64), 1
    for asked in requests(segments, part, places):
        which[asked.answers] = size + asked.entry
        texts.append(texts_of(asked.part, asked.places))
        size += len(asked.places)
    before = pa.concat_arrays(texts).take(pa.array(which))
    return pc.if_else(pc.equal(before, ""), answers, pc.binary_join_element_wise(before, answers, " "))
