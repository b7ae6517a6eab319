"""Which fields go into `meta`: for a person who wants to know what a source carries."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec
import pyarrow as pa

LOOKED_AT: Final = 100
"""Rows whose `meta` is looked at."""

_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def meta_names(columns: Iterable[pa.StringArray], most: int = LOOKED_AT) -> tuple[str, ...]:
    """Return the names of the fields in the first `most` rows of `meta` columns, each once, in the order first seen.

    >>> meta_names([pa.array(['{"turn": 1}', "{}"]), pa.array(['{"turn": 2, "lang": "en"}'])])
    ('turn', 'lang')
    """
    texts = islice((text for column in columns for text in column.slice(0, most).to_pylist()), most)
    return tuple(dict.fromkeys(name for text in texts for name in _DECODER.decode(text)))
