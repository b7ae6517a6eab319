"""The part of a model card that programs read: how the texts were made that its model was trained on.

The card of `quality.bin` is `quality.md` beside it, for people; one fenced block of JSON in it is read back. Steps ask
the model itself here too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import FormatError, MixtureError
from curate.kernels.buffers import frozen, view
from curate.rows.joined_text import TextForm
from curate.rows.segments import On, check_on
from curate.text.fasttext.model_file import load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, judge
from curate.text.normal import blank

FENCE: Final = "```json curate-classifier"
BLOCK: Final = re.compile(re.escape(FENCE) + r"\n(.*?)\n```", re.DOTALL)
LONGEST: Final = 1 << 20
"""Characters of a card that are searched: a card has a few thousand."""


class CardMetadata(NamedTuple):
    """How a model was trained: the label of the rows to keep, the segments read, the form of their text, its sha256.

    `opening` is how many characters were read of each assistant turn; None: all.
    """

    label: str
    on: On
    form: TextForm
    sha256: str
    opening: int | None = None


def card_path(model: str | Path) -> Path:
    """Return the path of a model's card.

    >>> card_path("models/quality.ftz").as_posix()
    'models/quality.md'
    """
    return Path(model).with_suffix(".md")


def spell(card: CardMetadata) -> str:
    """Return the block of a card that a program reads."""
    plain = card._asdict() | {"on": sorted(card.on) if isinstance(card.on, frozenset) else card.on}
    return f"{FENCE}\n{json.dumps(plain, indent=2, sort_keys=True)}\n```"


def read_card(model: str | Path, digest: str) -> CardMetadata | None:
    """Return what the card beside `model` says; None if there is no card, or none with our block.

    Raises `FormatError` for a block that cannot be read, `MixtureError` for the card of another model than the one
    whose sha256 is `digest`.
    """
    path = card_path(model)
    try:
        with path.open(encoding="utf-8") as file:
            found = BLOCK.search(file.read(LONGEST))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"the model card {path} cannot be read: {error}") from error
    if found is None:
        return None
    card = _metadata(path, found[1])
    if card.sha256 != digest:
        raise MixtureError(
            f"the model card {path} is of another model than {model} (its sha256 differs); train again, or move "
            "the card away and say on= and label= yourself"
        )
    return card


def probabilities(model: str, label: str, texts: pa.StringArray) -> NDArray[np.float64]:
    """Return the probability of the label for each text; NaN if the text is blank, or the model knows no part of it."""
    classifier, text = load_classifier(model), view(texts)
    index = np.flatnonzero(~blank(text, frozen(np.arange(len(texts), dtype=np.int32)))).astype(np.int32)
    wanted = np.array([classifier.labels.index(label)], np.int32)
    best, _, chance, _ = judge(classifier, text, index, wanted)
    found = np.full(len(texts), np.nan)
    found[index] = np.where(best == NO_LABEL, np.nan, chance)
    return found


def _metadata(path: Path, text: str) -> CardMetadata:
    try:
        card: Any = json.loads(text)
        label, on, form, sha256, opening = *(card[name] for name in CardMetadata._fields[:-1]), card.get("opening")
        known = isinstance(label, str) and form in get_args(TextForm) and isinstance(on, str | list)
        if not known or not isinstance(opening, int | None):
            raise ValueError(f"label {label!r}, form {form!r}, on {on!r}, opening {opening!r}")  # noqa: TRY301  one way out for all that a card may hold
        return CardMetadata(label, check_on(on), form, str(sha256), opening)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError(
            f"the model card {path} holds a block that this version of curate cannot read ({error}); train the "
            "classifier again"
        ) from error
