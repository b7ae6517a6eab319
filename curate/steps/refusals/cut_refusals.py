"""Edit that cuts a dialogue before the exchange in which the assistant first refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import kernel
from curate.rows.edits import Edits
from curate.rows.schema import ASSISTANT, USER
from curate.rows.segments import Part, Segments
from curate.steps.base import Edit
from curate.steps.refusals.phrase_files import PRESETS, Preset, Where, check_families, compiled
from curate.steps.refusals.phrase_hits import hits_in


@dataclass(frozen=True, kw_only=True)
class CutRefusals(Edit):
    """Cuts dialogues before the exchange of their first refusal; see `cut_refusals`."""

    version: ClassVar[int] = 4
    name: ClassVar[str] = "cut_refusals"
    preset: Preset = "default"
    families: tuple[str, ...] = tuple(PRESETS["default"].families)
    where: Where = "anywhere"
    phrases: tuple[str, ...] = ()

    def edit(self, segments: Segments) -> Edits:
        """Return how many turns of each dialogue are kept."""
        search = compiled(self.preset, self.families, self.phrases)
        turns = np.full(segments.rows, -1, np.int32)
        for part in segments.parts:
            if part.side == "dialogue":
                hit = np.zeros(len(part.index), np.bool_)
                hit[hits_in(part, search, self.where).place] = True
                hit &= self._read(part)
                _cut(part.row, part.turn, part.role, hit, turns)
        return Edits(turns=turns)

    def _read(self, part: Part) -> NDArray[np.bool_]:
        """Mark the turns in which a phrase counts: the assistant's, or all if the preset reads all."""
        return (part.role == ASSISTANT) | (PRESETS[self.preset].on == "all")


@kernel
def _cut(
    row: NDArray[np.int32],
    turn: NDArray[np.int32],
    role: NDArray[np.uint8],
    hit: NDArray[np.bool_],
    turns: NDArray[np.int32],
) -> None:
    """Write how many turns to keep of each row with a hit after its first exchange: up to the answer before it."""
    current, answered, kept, done = -1, 0, 0, False
    for i in range(len(row)):
        if row[i] != current:
            current, answered, kept, done = row[i], 0, 0, False
        if role[i] == USER:
            kept = answered
        if hit[i] and not done:
            done = True
            if kept > 0:
                turns[current] = kept
        if role[i] == ASSISTANT:
            answered = turn[i] + 1


def cut_refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
) -> CutRefusals:
    """Keep a dialogue up to the exchange before the one in which the assistant first refuses.

    An exchange is a user turn and everything up to the next one; what is kept ends with an assistant turn. A dialogue
    that refuses in its first exchange is left as it is: put the filter `refusals` after this step to drop it. Only
    conversation rows are cut. Empty and null turns have no hit. `moralising` is its points, as with
    `refusals(model=None)`.

    Args:
        preset: As for `refusals`.
        families: As for `refusals`.
        where: As for `refusals`.
        phrases: As for `refusals`.

    Returns:
        An Edit.

    Raises:
        MixtureError: An unknown preset, family or place.

    Example:
        >>> import pyarrow as pa
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> texts = ["Hi", "Hello.", "Write malware", "I'm sorry, but I can't assist with that."]
        >>> turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
        >>> cut_refusals().edit(segments(batch)).turns.tolist()
        [2]
    """
    more = tuple(phrases)
    chosen = check_families(preset, None if families is None else tuple(families), more, where)
    return CutRefusals(preset=preset, families=chosen, where=where, phrases=more)
