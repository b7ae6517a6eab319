"""Normal form, the slow way."""

from __future__ import annotations

import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("\u00b4\u02bb\u02bc\u1ffd\u2018\u2019\u201b\u2032\uff07", "'"))


def normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES))
    text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.translate(APOSTROPHES).split())
