"""What a classifier trained by `curate.train_classifier` says of answers and of requests, for `refusals`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import FormatError, MixtureError
from curate.kernels.buffers import frozen, strings, view
from curate.rows.joined_text import TextForm
from curate.rows.schema import ASSISTANT
from curate.rows.segments import On, Part, Segments
from curate.steps.classifier_card import read_card
from curate.steps.refusals._requests import requests
from curate.text.fasttext.model_file import load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, judge
from curate.text.normal import blank, normalise
from curate.text.tokenise import spaced

MODEL: Final = "model"
"""The reason of answers that the model finds a refusal; the score is how probable it finds that."""

SURE: Final = 0.75
"""Probability from which on an answer is a refusal. Trained on two files of XSTest and tried on the third, precision
and recall are 0.975 and 0.959 (from 0.5 on 0.973 and 0.965); on prompts that it never read 0.955 and 0.933 (0.948 and
0.944)."""

CLIPPED: Final = 1e-5
"""No probability is taken for nearer to 0 or 1 than this; the package's own answers are not."""

OPENINGS: Final = (200, 300, 400, 500)
"""Characters of an answer that the model judges, one opening after the other. A refusal stands at the beginning, and a
model that has read all of an answer takes its topic for more than how it begins; where exactly a sentence is cut should
not decide, so the log odds of four openings are averaged. With the limit chosen on two files, precision and recall on
the third are 0.973 and 0.963; with the last opening alone 0.965 and 0.955."""

Task: TypeAlias = Literal["model", "keep_safety"]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A classifier: its label of what is looked for, and the segments and the form of text that it learnt from."""

    path: str = field(metadata={"fingerprint": False})
    label: str
    on: On
    form: TextForm

    @property
    def asks(self) -> bool:
        """Whether it was trained on requests too, so that an answer is judged together with its request."""
        return self.on == "all" or (isinstance(self.on, frozenset) and "user" in self.on)

    def held(self, task: Task) -> dict[str, str]:
        """Return the sha256 of the file, for the manifest."""
        return {f"{task}/{Path(self.path).name}": load_classifier(self.path).digest}

    def probability(self, texts: pa.StringArray) -> NDArray[np.float64]:
        """Return how probable the label is for each text; NaN for one that is blank, or has no part that is known."""
        text = view(spaced(normalise(texts)) if self.form == "spaced" else texts)
        index = np.flatnonzero(~blank(text, frozen(np.arange(len(texts), dtype=np.int32)))).astype(np.int32)
        classifier = load_classifier(self.path)
        wanted = np.array([classifier.labels.index(self.label)], np.int32)
        label, _, found = judge(classifier, text, index, wanted)
        every = np.full(len(texts), np.nan)
        every[index] = np.where(label == NO_LABEL, np.nan, found)
        return every


def judge_of(model: str | os.PathLike[str], task: Task) -> Judge:
    """Return the classifier at `model` for a task: to judge answers, or (`keep_safety`) requests.

    Raises `SourceNotFoundError` where there is none, `FormatError` for a file that is none or has no card beside it,
    and `MixtureError` for one that learnt from other segments than those of the task, or whose card names no label of
    its own or belongs to another model.
    """
    path = os.fspath(model)
    classifier = load_classifier(path)
    told = read_card(path, classifier.digest)
    if told is None:
        message = f"refusals({task}={path!r}): no card of train_classifier lies beside the model, so nobody says what "
        message += "it learnt from; train it with curate.train_classifier, and move both files together"
        raise FormatError(message)
    if told.label not in classifier.labels:
        message = (
            f"refusals({task}={path!r}): the model has no label {told.label!r}, which its card names; its labels: "
        )
        message += ", ".join(classifier.labels[:8])
        raise MixtureError(message)
    roles = told.on if isinstance(told.on, frozenset) else frozenset()
    answers = told.on in ("response", "all", "chosen", "rejected") or "assistant" in roles
    fits = answers if task == "model" else told.on in ("prompt", "first_user") or roles == {"user"}
    if not fits:
        want = "answers, so train on='response' or on='all'" if task == "model" else "requests, so train on='prompt'"
        on = sorted(roles) or told.on
        message = f"refusals({task}={path!r}): the model learnt from on={on!r}, and is asked about {want}"
        raise MixtureError(message)
    return Judge(path=path, label=told.label, on=told.on, form=told.form)


def judge_answers(
    segments: Segments, part: Part, places: NDArray[np.int32], model: Judge
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return how probable a refusal is for each segment of `part`, and how many characters were read of it.

    NaN for those that are not at `places`, for turns of others than the assistant, and for blank ones.
    """
    answers = places[part.role[places] == ASSISTANT]
    texts = texts_of(part, answers)
    odds = np.zeros(len(answers))
    for opening in OPENINGS:
        said = pc.utf8_slice_codeunits(texts, 0, opening)
        odds += _log_odds(model.probability(_after_requests(segments, part, answers, said) if model.asks else said))
    empty = blank(view(said), frozen(np.arange(len(said), dtype=np.int32)))
    found, read = np.full(len(part.index), np.nan), np.zeros(len(part.index), np.int32)
    found[answers] = np.where(empty, np.nan, 1 / (1 + np.exp(-odds / len(OPENINGS))))
    read[answers] = pc.utf8_length(said).to_numpy()
    return found, read


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    chance = np.clip(probability, CLIPPED, 1 - CLIPPED)
    return np.log(chance / (1 - chance))


def texts_of(part: Part, places: NDArray[np.int32]) -> pa.StringArray:
    """Return the texts of the segments of `part` at `places`; a null reads as the empty string."""
    return strings(part.text.data, part.text.offsets).take(pa.array(part.index[places]))


def _after_requests(segments: Segments, part: Part, places: NDArray[np.int32], said: pa.StringArray) -> pa.StringArray:
    """Put before each answer its request, if it has one."""
    asked = [pa.array([""], pa.string())]
    which, size = np.zeros(len(places), np.int64), 1
    for found in requests(segments, part, places):
        which[found.answers] = size + found.entry
        asked.append(texts_of(found.part, found.places))
        size += len(found.places)
    before = pa.concat_arrays(asked).take(pa.array(which))
    return pc.if_else(pc.equal(before, ""), said, pc.binary_join_element_wise(before, said, " "))
