"""`helpsteer3`: preferences between two responses on a scale from -3 to 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec import Struct

from curate.io.formats.base import Fields, Format, Preference
from curate.io.formats.messages_common import Message, take_turns
from curate.rows.schema import Kind
from curate.rows.validate import check_text, check_turns, refuse


class HelpSteer3Row(Struct, gc=False):
    """What `helpsteer3` reads."""

    context: list[Message]
    response1: str
    response2: str
    overall_preference: int


@dataclass(frozen=True)
class HelpSteer3(Format):
    """See `helpsteer3`."""

    name: ClassVar[str] = "helpsteer3"
    kind: ClassVar[Kind] = "preference"
    layout: ClassVar[type[Struct]] = HelpSteer3Row

    def rows(self, row: HelpSteer3Row, fields: Fields) -> Iterator[Preference]:
        """Make one preference row."""
        check_turns(row.context, "context")
        answers = [
            ("assistant", check_text(text, column))
            for column, text in (("response1", row.response1), ("response2", row.response2))
        ]
        if not -3 <= row.overall_preference <= 3:
            refuse("overall_preference", f"a whole number from -3 to 3, not {row.overall_preference}")
        if row.overall_preference == 0:
            refuse("overall_preference", "a preference for one response, not 0 (a tie)")
        prompt = take_turns(fields, "context", row.context)
        del fields["response1"], fields["response2"]
        chosen, rejected = answers if row.overall_preference < 0 else reversed(answers)
        yield Preference(prompt, [chosen], [rejected], None, None, fields)


def helpsteer3() -> HelpSteer3:
    """Rows of HelpSteer3-Preference: `context` (a list of messages), `response1`, `response2`, `overall_preference`.

    The preference is a whole number from -3 (`response1` is much better) to 3 (`response2` is much better). A tie (0)
    makes no pair: its row is quarantined. The preference, `domain`, `language` and `individual_preference` are kept in
    `meta`.

    Returns:
        A format that makes preference rows.

    References:
        Wang et al. 2025, HelpSteer3-Preference, arXiv 2505.11475; https://huggingface.co/datasets/nvidia/HelpSteer3

    Example:
        >>> helpsteer3().kind
        'preference'
    """
    return HelpSteer3()


CANDIDATES: Final = (helpsteer3(),)
