"""Two builds that differ in all that a page shows: a moved bound, sources, texts, edits, splits and copies."""

from __future__ import annotations

from typing import Final

import pytest

from curate.compare.diff import Diff, diff
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from curate.steps.refusals.refusals import refusals
from tests.report.browser.conftest import chromium, opening
from tests.support.build_data import Row, built, chat, chats, source

__all__ = ["chromium", "opening"]

HOSTILE: Final = '<script>alert(1)</script>"&\u202e{{ 7 * 7 }}</title>'
REFUSAL: Final = "As an AI language model, I do not have opinions."


def rows(prefix: str, count: int, start: int = 0) -> list[Row]:
    return [{"id": f"{prefix}{n}", **row} for n, row in enumerate(chats(count, start))]


def first(*, later: bool) -> list[Row]:
    """Return rows of which some say something else later."""
    found = rows("f", 40)
    found[3] = chat("Who?", f"It is {HOSTILE} again and again.", id=HOSTILE)
    found[4] = chat("so what?", "he said so.", id="edited")
    found[5] = chat("Do you?", REFUSAL, id="refused")
    found[6] = chat("Long?", "start " + "word " * 3000 + "end", id="long")
    if later:
        found[3] = chat("Who?", f"It is not {HOSTILE} once more.", "And?", "No.", id=HOSTILE)
        found[6] = chat("Long?", "start " + "word " * 1500 + "extra " + "word " * 1500 + "end", id="long")
    return found


@pytest.fixture(scope="session")
def different(tmp_path_factory: pytest.TempPathFactory) -> Diff:
    folder = tmp_path_factory.mktemp("diff")
    second = source("second", rows("s", 12, 100))
    steps = [shape(min_words=5, on="response", allow_large_drop=True), exact_dedup()]
    a = built(folder / "a", source("first", first(later=False), take=Rows(15)), second, steps=steps)
    steps = [
        truecase(),
        refusals(),
        shape(min_words=3, on="response", allow_large_drop=True),
        exact_dedup(),
    ]
    third = source("third", rows("t", 9, 200), take=Repeat(2))
    b = built(folder / "b", source("first", first(later=True)), third, steps=steps, seed=1, test=Fraction(0.2))
    return diff(a, b)
