"""Filter by quality: how probable a fastText classifier finds it that a row is one to keep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from curate.errors import MixtureError, did_you_mean
from curate.rows.joined_text import TextForm, row_texts
from curate.rows.segments import On, Segments, check_on
from curate.steps._settings import check_limit
from curate.steps.base import Bound, Filter, Scores
from curate.steps.classifier_card import CardMetadata, probabilities, read_card
from curate.text.fasttext.model_file import Classifier, load_classifier

SHOWN: Final = 20
"""Labels that a message lists; a model of languages has thousands."""


@dataclass(frozen=True, kw_only=True)
class Quality(Filter):
    """See `quality`. `form` and `opening` are how the text of a row was made when the model was trained."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "quality"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least"})
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
        texts = row_texts(segments, self.form, self.opening)
        return Scores({"probability": probabilities(self.model, self.label, texts)})

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
    """Drop rows with a low probability, by a fastText classifier, of being of the kind to keep (`low_quality`).

    The score `probability`, 0 to 1, stays in the build, so the limit can be moved later without another run. A row
    without text, or of which the model knows no part, has no score and is kept: `shape()` drops empty rows. Text in a
    language that the model never saw has a meaningless score: put `language()` first.

    Args:
        model: A file that `train_classifier` wrote, whose card says how to make the text, or any supervised fastText
            model (`.bin`, `.ftz`) with two or more labels, which gets the text as it is, line ends as spaces. The
            manifest has its sha256; its path does not change the fingerprint.
        at_least: Rows with a lower probability are dropped; None only scores. 0.5 means undecided.
        label: The label of the rows to keep, without `__label__`. Default: the one that the card names.
        on: The segments to judge. Default: those that the card names, or "response". All selected segments of a row
            are one text, such as both answers of a preference row; "chosen" judges only the answer to be learnt.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter.

    Raises:
        MixtureError: An unknown label, a limit that is no probability, or a card of another model.
        SourceNotFoundError: No model at the path.
        FormatError: A file that is no model.

    Example:
        >>> quality("no_such_model.bin")
        Traceback (most recent call last):
        ...
        curate.errors.SourceNotFoundError: there is no model at no_such_model.bin: ...

    References:
        Joulin et al., arXiv:1607.01759; as a filter of training data: Brown et al., arXiv:2005.14165, appendix A, and
        DataComp-LM, arXiv:2406.11794.
    """
    path = os.fspath(model)
    limit = check_limit(f"quality(at_least={at_least!r})", at_least, least=0, most=1)
    classifier = load_classifier(path)
    card = read_card(path, classifier.digest)
    chosen = _label(classifier, label, card, path)
    trained_on = card.on if card is not None else "response"
    return Quality(
        model=path,
        at_least=limit,
        label=chosen,
        on=trained_on if on is None else check_on(on),
        form=card.form if card is not None else "plain",
        opening=card.opening if card is not None else None,
        allow_large_drop=allow_large_drop,
    )


def _label(classifier: Classifier, label: str | None, card: CardMetadata | None, path: str) -> str:
    """Return the label to ask for; raises `MixtureError` if it is not given, or the model lacks it."""
    if label is None and card is None:
        more = f", ... ({len(classifier.labels):,} in all)" if len(classifier.labels) > SHOWN else ""
        raise MixtureError(
            f"quality({path!r}): which label is that of the rows to keep? No card beside the model says; give "
            f"label=, one of: {', '.join(classifier.labels[:SHOWN])}{more}"
        )
    wanted = label.removeprefix("__label__") if label is not None else card.label if card is not None else ""
    if wanted not in classifier.labels:
        known = did_you_mean(wanted, classifier.labels[:SHOWN])
        raise MixtureError(f"quality(label={wanted!r}): the model {path} has no such label; {known}")
    return wanted
