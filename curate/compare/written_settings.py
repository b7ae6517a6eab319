"""How a setting that differs is written, for the terminal and for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from curate.report.formatting import settings
from curate.text.unseen import coded

if TYPE_CHECKING:
    from curate.compare.diff import Setting

SHOWN: Final = 200
"""Characters shown of a setting."""


class WrittenSetting(NamedTuple):
    """The two values of a setting; one is empty where its build does not have the source or step at all."""

    before: str
    after: str


def written(setting: Setting) -> WrittenSetting:
    """Write the two values of a setting as in the mixture; "none" where it is off, or the build does not have it."""
    before, after = setting.before, setting.after
    whole = [isinstance(value, dict) and other is None for value, other in ((before, after), (after, before))]
    return WrittenSetting("" if whole[1] else _value(before), "" if whole[0] else _value(after))


def _value(value: object) -> str:
    text = f"{value['type']}({settings(value)})" if isinstance(value, dict) and "type" in value else repr(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "none"
    shown = coded("none" if value is None else text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]} …"
