"""Filter by quality: how probable a fastText classifier finds it that a row is one to keep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from curate.errors import MixtureError, did_you_mean
from curate.kernels.buffers import frozen, view
from curate.rows.joined_text import TextForm, row_texts
from curate.rows.segments import On, Segments, check_on
from curate.steps._settings import check_limit
from curate.steps.base import Bound, Filter, Scores
from curate.steps.classifier_card import Told, read_card
from curate.text.fasttext.model_file import Classifier, load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, judge
from curate.text.normal import blank


@dataclass(frozen=True, kw_only=True)
class Quality(Filter):
    """See `quality`. `form` and `opening` are how the text of a row was made when the model was trained."""

    name: ClassVar[str] = "quality"
    on: On = "response"
    model: str = field(metadata={"fingerprint": False})
    label: str
    form: TextForm
    opening: int | None = None
    at_least: float | None = 0.5

    def bounds(self) -> tuple[Bound, ...]:
        """A probability below `at_least` is too low."""
        return (Bound("low_quality", "probability", at_least=self.at_least),)

    def score(self, segments: Segments) -> Scores:
        """Return the probability of the label for each row; NaN for a row of no text, or none that the model knows."""
        classifier = load_classifier(self.model)
        wanted = np.array([_place(classifier, self.label, self.model)], np.int32)
        text = view(row_texts(segments, self.form, self.opening))
        every = frozen(np.arange(segments.rows, dtype=np.int32))
        index = np.flatnonzero(~blank(text, every)).astype(np.int32)
        label, _, found = judge(classifier, text, index, wanted)
        probability = np.full(segments.rows, np.nan)
        probability[index] = np.where(label == NO_LABEL, np.nan, found)
        return Scores({"probability": probability})

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's file."""
        return {Path(self.model).name: load_classifier(self.model).digest}


def quality(
    model: str | os.PathLike[str],
    at_least: float | None = 0.5,
    *,
    label: str | None = None,
    on: str | frozenset[str] | set[str] | None = None,
    allow_large_drop: bool = False,
) -> Quality:
    """Drop rows that a fastText classifier finds too improbable to be of the kind to keep (`low_quality`).

    The score is `probability`, from 0 to 1, of `label`; it stays in the build, so the limit can be moved later without
    another run. `at_least=None` drops nothing and only scores.

    - `model`: a file that `curate.train_classifier` wrote, or any supervised fastText model (`.bin`, `.ftz`) with two
      labels or more. The build's manifest has its sha256; where it lies does not enter the fingerprint. A relative path
      starts at the working directory.
    - `label`: the label of the rows to keep, without `__label__`; None: the one that the model card names.
    - `on`: the segments that are judged; None: those that the model was trained on, as its card says, or `response`.
      All selected segments of a row are one text: both answers of a preference row with `response`, all completions of
      a rated row; choose `chosen` to judge only the answer that will be learnt.

    With a card, text is put in the form of training (`curate.rows.joined_text`); without one it is given to the model as it
    is, line ends read as spaces. A row without text (no selected segment, white space only), or of which the model
    knows no part, has no score (NaN) and stays: `shape()` drops such rows. Text in a language that the model never saw
    has a score that means nothing: `language()` comes first.

    Raises `SourceNotFoundError` where there is no model, `FormatError` for a file that is none, `MixtureError` for a
    label that it does not know, a limit outside 0 to 1, and a card that belongs to another model.

    Source: Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv:1607.01759); as a filter of
    training data: Brown et al., arXiv:2005.14165, appendix A, and DataComp-LM, arXiv:2406.11794.

    >>> quality("no_such_model.bin")
    Traceback (most recent call last):
    ...
    curate.errors.SourceNotFoundError: there is no model at no_such_model.bin: ...
    """
    path = os.fspath(model)
    limit = check_limit(f"quality(at_least={at_least!r})", at_least, least=0, most=1)
    classifier = load_classifier(path)
    told = read_card(path, classifier.digest)
    chosen = _label(classifier, label, told, path)
    trained_on = told.on if told is not None else "response"
    return Quality(
        model=path,
        at_least=limit,
        label=chosen,
        on=trained_on if on is None else check_on(on),
        form=told.form if told is not None else "plain",
        opening=told.opening if told is not None else None,
        allow_large_drop=allow_large_drop,
    )


def _label(classifier: Classifier, label: str | None, told: Told | None, path: str) -> str:
    """Return the label to ask for; raises `MixtureError` where nobody says, or the model does not know it."""
    if label is None and told is None:
        message = f"quality({path!r}): which label is that of the rows to keep? No card beside the model says; give "
        message += f"label=, one of: {_some(classifier.labels)}"
        raise MixtureError(message)
    wanted = label.removeprefix("__label__") if label is not None else told.label if told is not None else ""
    _place(classifier, wanted, path)
    return wanted


def _place(classifier: Classifier, label: str, path: str) -> int:
    if label not in classifier.labels:
        known = did_you_mean(label, classifier.labels[:SHOWN])
        message = f"quality(label={label!r}): the model {path} has no such label; {known}"
        raise MixtureError(message)
    return classifier.labels.index(label)


SHOWN = 20
"""Labels that a message lists; a model of languages has thousands."""


def _some(labels: tuple[str, ...]) -> str:
    more = f", ... ({len(labels):,} in all)" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
