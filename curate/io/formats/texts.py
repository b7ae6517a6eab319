"""The format `alternating`: a list of texts, the user's and the assistant's in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

from msgspec import Struct

from curate.errors import MixtureError, did_you_mean
from curate.io.formats.base import Conversation, Fields, struct_of
from curate.io.formats.dialogues import DialogueFormat
from curate.rows.validate import Turn, check_text, refuse

Odd: TypeAlias = Literal["keep", "cut"]


@dataclass(frozen=True)
class Alternating(DialogueFormat):
    """See `alternating`."""

    name: ClassVar[str] = "alternating"
    column: str = "conversations"
    odd: Odd = "keep"

    @property
    def layout(self) -> type[Struct]:
        """The list of texts, under its column's name."""
        return struct_of("TextsRow", (("texts", list[str]),), (("texts", self.column),))

    def rows(self, row: Any, fields: Fields) -> Iterator[Conversation]:  # noqa: ANN401
        """Make one conversation; a text that is cut stays in `meta`."""
        texts = [check_text(text, f"{self.column}[{i}]") for i, text in enumerate(row.texts)]
        if not texts:
            refuse(self.column, "a list of texts that is not empty")
        kept = len(texts) - len(texts) % 2 if self.odd == "cut" and len(texts) > 1 else len(texts)
        rest = texts[kept:]
        fields = {name: value for name, value in fields.items() if name != self.column}
        turns: list[Turn] = [(("user", "assistant")[i % 2], text) for i, text in enumerate(texts[:kept])]
        yield Conversation(turns, fields | ({self.column: rest} if rest else {}))


def alternating(column: str = "conversations", *, odd: Odd = "keep") -> Alternating:
    """Rows with a list of texts in `column`: the user's, the assistant's, and so on in turn.

    An empty list, and a null text, are quarantined.

    Args:
        column: The column with the list: "conversations" in LIMA, "data" in UltraChat.
        odd: What to do with a last text of the user: "keep" it, so that `shape()` finds the row unanswered, or "cut"
            it, as Tulu does with LIMA; it then stays in `meta`. A single text is always kept.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `odd` is neither "keep" nor "cut".

    Example:
        >>> alternating("data").column
        'data'

    References:
        https://huggingface.co/datasets/GAIR/lima; open-instruct e6c3044, scripts/data/sft/lima.py.
    """
    if odd not in get_args(Odd):
        raise MixtureError(f"alternating(odd={odd!r}): {did_you_mean(str(odd), get_args(Odd))}")
    return Alternating(column, odd)


CANDIDATES: Final = (alternating(),)
