"""What a model card says to a program: how the texts were made that its model was trained on.

The card of `quality.bin` is `quality.md` beside it, for people; one fenced block of JSON in it is read back.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from curate.errors import FormatError, MixtureError
from curate.rows.joined_text import TextForm
from curate.rows.segments import On, check_on

FENCE: Final = "```json curate-classifier"
BLOCK: Final = re.compile(re.escape(FENCE) + r"\n(.*?)\n```", re.DOTALL)
LONGEST: Final = 1 << 20
"""Characters of a card that are looked at: a card has a few thousand."""


class Told(NamedTuple):
    """What training settled: the label of the rows to keep, the segments read, the form of their text, the model.

    `opening` is how many characters were read of each assistant turn; None: all.
    """

    label: str
    on: On
    form: TextForm
    sha256: str
    opening: int | None = None


def card_path(model: str | Path) -> Path:
    """Return where the card of a model lies.

    >>> card_path("models/quality.ftz").as_posix()
    'models/quality.md'
    """
    return Path(model).with_suffix(".md")


def spell(told: Told) -> str:
    """Return the block of a card that a program reads."""
    plain = told._asdict() | {"on": sorted(told.on) if isinstance(told.on, frozenset) else told.on}
    return f"{FENCE}\n{json.dumps(plain, indent=2, sort_keys=True)}\n```"


def read_card(model: str | Path, digest: str) -> Told | None:
    """Return what the card beside `model` says; None where there is none, or one without a block of ours.

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
        message = f"the model card {path} cannot be read: {error}"
        raise FormatError(message) from error
    if found is None:
        return None
    told = _told(path, found[1])
    if told.sha256 != digest:
        message = f"the model card {path} is of another model than {model} (its sha256 differs); train again, or move "
        message += "the card away and say on= and label= yourself"
        raise MixtureError(message)
    return told


def _told(path: Path, text: str) -> Told:
    try:
        told: Any = json.loads(text)
        label, on, form, sha256, opening = *(told[name] for name in Told._fields[:-1]), told.get("opening")
        known = isinstance(label, str) and form in get_args(TextForm) and isinstance(on, str | list)
        if not known or not isinstance(opening, int | None):
            message = f"label {label!r}, form {form!r}, on {on!r}, opening {opening!r}"
            raise ValueError(message)  # noqa: TRY301  one way out for all that a card may hold
        return Told(label, check_on(on), form, str(sha256), opening)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"the model card {path} holds a block that this version of curate cannot read ({error}); train the "
        message += "classifier again"
        raise FormatError(message) from error
