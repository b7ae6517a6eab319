"""Characters that hide, reorder or forge text where people read it, and how they are shown: by code or by name."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Control, direction, zero-width and tag characters.

Tab, line feed, joiners (U+200C, U+200D) and variation selectors are shown as they are: Persian and emoji need them.
"""

_NO_CONTROL: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\u3164\ufeff\uffa0]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def coded(text: str) -> str:
    r"""Return a text with its invisible characters by their codes.

    >>> coded("a\u202eb")
    'a[U+202E]b'
    """
    return UNSEEN.sub(lambda found: f"[{code(found[0])}]", text)


def visible(text: str) -> str:
    r"""Return a text with its invisible characters by their codes and names.

    Joiners between two characters that are not ASCII stay: scripts and emoji need them. So do control characters.

    >>> visible("\ufeffid\u200b")
    '<U+FEFF byte order mark>id<U+200B zero width space>'
    """
    if text.isascii():
        return text
    return _NO_CONTROL.sub(lambda found: f"<{code(found[0])} {name_of(found[0])}>", text)


def code(character: str) -> str:
    """Return the code of a character.

    >>> code("a")
    'U+0061'
    """
    return f"U+{ord(character):04X}"


def name_of(character: str) -> str:
    r"""Return the name of a character in small letters.

    >>> name_of("\u202e"), name_of("\x07")
    ('right-to-left override', 'control character')
    """
    return "byte order mark" if character == "\ufeff" else unicodedata.name(character, "control character").lower()
