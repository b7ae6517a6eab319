"""Normal form, the slow way."""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("\u00b4\u02bb\u02bc\u1ffd\u2018\u2019\u201b\u2032\uff07", "'"))
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode 14.0 and 16.0."""


def normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text).translate(APOSTROPHES))
    text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.translate(APOSTROPHES).split())
