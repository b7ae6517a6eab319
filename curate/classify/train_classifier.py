"""Train a classifier from rows: the model that `quality()` asks, and its card."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.classify.fasttext_process import check_trainer, train, write_lines
from curate.classify.metrics import HeldOut, measure
from curate.classify.model_card import card
from curate.classify.training_data import NAMES, inputs_of, read_side, split
from curate.errors import CallError, check_number, check_whole, did_you_mean
from curate.io.atomic import replacing
from curate.io.inputs import Stored
from curate.kernels.buffers import frozen, view
from curate.rows.segments import check_on
from curate.steps.classifier_card import CardMetadata, card_path
from curate.text.fasttext.model_file import Classifier, load_classifier
from curate.text.fasttext.predict_kernel import probability

Loss: TypeAlias = Literal["softmax", "hs", "ova"]

HELD_OUT: Final = 0.2
"""The share of texts that the figures come from."""
BUCKETS: Final = 1 << 18
"""Rows that n-grams share, 16.8 MB at 16 numbers each; with a quarter of them LIMA loses 0.2 points of accuracy."""
AT_ONCE: Final = 20_000
"""Held-out texts that are judged at once."""


@dataclass(frozen=True)
class Trained:
    """A classifier on disk: its file and card, how many texts it learnt from, and its figures on those held out."""

    path: Path
    card: Path
    sha256: str
    positive: int
    negative: int
    held_out: HeldOut

    def __repr__(self) -> str:
        found = self.held_out
        held = found.true_positive + found.false_negative + found.false_positive + found.true_negative
        rates = ", ".join(
            f"{name} {getattr(found, name):.3f}" for name in ("accuracy", "precision", "recall", "f1", "auc")
        )
        return (
            f"Trained({str(self.path)!r}: {self.positive:,} positive and {self.negative:,} negative texts)\n"
            f"  held out, {held:,} texts: {rates}\n"
            f"  use: quality({str(self.path)!r}); read {self.card}"
        )


def train_classifier(
    positive: Stored | Sequence[Stored],
    negative: Stored | Sequence[Stored],
    out: str | os.PathLike[str],
    *,
    on: str | frozenset[str] | set[str] = "response",
    dim: int = 16,
    epochs: int = 5,
    lr: float = 0.5,
    word_ngrams: int = 2,
    min_count: int = 1,
    loss: Loss = "softmax",
    opening: int | None = None,
    refit: bool = False,
    quantize: bool = False,
    overwrite: bool = False,
) -> Trained:
    """Train a fastText classifier that separates rows like `positive` from rows like `negative`, for `quality()`.

    The same rows give the same bytes, in any order and any files, on one kind of machine. A fifth of the texts of each
    side, chosen by a keyed hash, is held out for the figures: the model saw none of them. Memory: all texts, once.

    Args:
        positive: Rows of any kind to keep: inputs (`files(...)`), builds or build folders, one or several.
        negative: Rows to drop, likewise.
        out: The model file, `.bin`, or `.ftz` if `quantize`. Its card is written beside it (`quality.md`), with counts,
            content hashes, settings, figures and limits. Both are written whole or not at all.
        on: The segments of a row that make its text (`curate.rows.joined_text`); `quality` reads the same ones.
        dim: Size of a word vector. The defaults of fastText's settings were chosen on LIMA against Alpaca.
        epochs: Passes over the texts.
        lr: Learning rate, above 0, at most 10.
        word_ngrams: The longest run of words that is a feature.
        min_count: The fewest occurrences of a word that is a feature.
        loss: fastText's loss.
        opening: Read only so many characters of each assistant turn. Default: all.
        refit: After measuring, train again on all texts, the held-out ones too; helps where texts are few.
        quantize: Write a model of a seventh of the size.
        overwrite: Replace `out` and its card.

    Returns:
        The paths and the held-out figures.

    Raises:
        CallError: Wrong settings, a taken `out`, or a fastText that is missing or can only predict.
        ShortageError: A side with fewer than 50 texts of its own. Reading rows raises as everywhere.

    Example:
        >>> train_classifier("build/good", "build/none", "quality.bin")
        Traceback (most recent call last):
        ...
        curate.errors.SourceNotFoundError: train_classifier(positive='build/good'): no build is there ...

    References:
        Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv:1607.01759).
    """
    settings = _settings(dim, epochs, lr, word_ngrams, min_count, loss, opening)
    read = check_on(on)
    inputs = inputs_of(positive, "positive"), inputs_of(negative, "negative")
    place = _check_out(Path(out), quantize=quantize, overwrite=overwrite)
    check_trainer()
    sides = read_side(inputs[0], read, opening), read_side(inputs[1], read, opening)
    parts = split(sides, read, HELD_OUT)
    with tempfile.TemporaryDirectory(prefix="curate-train-") as folder:
        lines, model = Path(folder, "lines.txt"), Path(folder, "model")
        write_lines(lines, parts.texts, parts.label, NAMES)
        train(lines, model, settings | {"bucket": BUCKETS}, quantize=quantize)
        classifier = load_classifier(model)
        found = measure(*(_judged(classifier, texts) for texts in parts.held_out))
        if refit:
            whole = split(sides, read, 0)
            write_lines(lines, whole.texts, whole.label, NAMES)
            model = Path(folder, "refit")
            train(lines, model, settings | {"bucket": BUCKETS}, quantize=quantize)
            classifier = load_classifier(model)
        metadata = CardMetadata(NAMES[0], read, "spaced", classifier.digest, opening)
        shown = settings | {"bucket": BUCKETS, "quantize": quantize, "held_out": HELD_OUT, "refit": refit}
        with replacing(place) as draft, replacing(card_path(place)) as page:
            shutil.copyfile(model, draft)
            page.write_text(card(place.name, metadata, parts, found, shown), encoding="utf-8", newline="\n")
    return Trained(place, card_path(place), classifier.digest, *parts.trained, found)


def _settings(
    dim: int, epochs: int, lr: float, word_ngrams: int, min_count: int, loss: str, opening: int | None
) -> dict[str, object]:
    """Return the settings as fastText calls them, checked."""
    whole = {
        "dim": (dim, 1024),
        "epochs": (epochs, 1000),
        "word_ngrams": (word_ngrams, 5),
        "min_count": (min_count, 10**6),
        "opening": (1 if opening is None else opening, 10**6),
    }
    for name, (value, most) in whole.items():
        check_whole(f"train_classifier({name}={value!r})", value, least=1, most=most, error=CallError)
    rate = check_number(f"train_classifier(lr={lr!r})", lr, above=0, most=10, error=CallError)
    if loss not in get_args(Loss):
        raise CallError(f"train_classifier(loss={loss!r}): {did_you_mean(str(loss), get_args(Loss))}")
    return {
        "dim": dim,
        "epoch": epochs,
        "lr": rate,
        "wordNgrams": word_ngrams,
        "minCount": min_count,
        "loss": loss,
    }


def _check_out(out: Path, *, quantize: bool, overwrite: bool) -> Path:
    """Return where the model goes; raises `CallError` where it cannot."""
    suffix = ".ftz" if quantize else ".bin"
    if out.suffix != suffix:
        raise CallError(
            f"train_classifier(out={str(out)!r}, quantize={quantize}): the model's name must end in {suffix}"
        )
    if not out.parent.is_dir():
        raise CallError(f"train_classifier(out={str(out)!r}): there is no folder {out.parent}; make it first")
    for taken in (out, card_path(out)):
        if taken.is_dir() or (taken.exists() and not overwrite):
            raise CallError(
                f"train_classifier(out={str(out)!r}): {taken} is there; choose another name, or overwrite=True"
            )
    return out


def _judged(classifier: Classifier, texts: pl.Series) -> NDArray[np.float32]:
    """Return the probability of the positive label for each text."""
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(texts), AT_ONCE):
        part = view(texts[start : start + AT_ONCE].to_arrow().cast(pa.string()))
        found.append(probability(classifier, part, frozen(np.arange(len(part), dtype=np.int32)), NAMES[0]))
    return np.concatenate(found)
