"""JSON lines of plain chat rows, by the scan where it can tell, by the full parser where it cannot."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.formats.base import Format
from curate.io.formats.dialogues import Messages, ShareGPT
from curate.io.formats.messages_common import PLAIN, SHAREGPT_ROLES
from curate.io.jsonl.scan import Scanned, scan_lines
from curate.io.parse import MAX_LINE, parse_lines
from curate.io.row_collector import Parsed, quarantined
from curate.rows.schema import BODIES, MESSAGE, ROLES
from curate.rows.take import take

_SPELLED: Final[dict[str, list[str]]] = {"from": sorted(PLAIN), "role": list(ROLES)}


def parse_block(data: bytes | pa.Buffer, first: int, form: Format, id_field: str | None) -> Parsed:
    r"""Parse whole lines of JSON, the first on line `first`; the same as `parse_lines` of those that are not blank.

    >>> from curate.io.formats.dialogues import messages
    >>> block = b'{"messages":[{"role":"user","content":"Hi"}]}\n\n{"messages":[]}\n'
    >>> parsed = parse_block(block, 1, messages(), "id")
    >>> parsed.line.tolist(), parsed.bad["line"].to_pylist()
    ([1], [3])
    """
    if len(data) > MAX_LINE or not isinstance(form, Messages | ShareGPT):
        lines = [(number, line.strip()) for number, line in enumerate(bytes(data).split(b"\n"), first)]
        return parse_lines(
            [line for _, line in lines if line], [number for number, line in lines if line], form, id_field
        )
    role = "role" if isinstance(form, Messages) else "from"
    text = "content" if role == "role" else "value"
    found = scan_lines(data, list_key=form.column, role_key=role, text_key=text, id_key=id_field)
    plain = _plain(found, role)
    if isinstance(form, ShareGPT):
        plain &= ~pc.match_substring(found.meta, '"system":').to_numpy(zero_copy_only=False)
    quick = _quick(found, role)
    if plain.all() and not len(found.odd):
        return quick._replace(line=found.line + first)
    return _merged(quick, data, plain, found, first, form, id_field)


def _plain(found: Scanned, role: str) -> NDArray[np.bool_]:
    """Tell which rows have only roles that say no more than a role of `curate` does."""
    known = pc.is_in(found.roles, pa.array(_SPELLED[role])).to_numpy(zero_copy_only=False)
    unknown = np.concatenate(([0], np.cumsum(~known)))
    return np.diff(unknown[found.offsets]) == 0


def _quick(found: Scanned, role: str) -> Parsed:
    roles = found.roles
    if role == "from":
        words = _SPELLED["from"]
        place = pc.index_in(roles, pa.array(words))
        roles = pa.array([SHAREGPT_ROLES[word] for word in words], pa.string()).take(place.fill_null(0))
    flat = pa.StructArray.from_arrays([roles, found.contents], fields=list(MESSAGE))
    lists = pa.ListArray.from_arrays(pa.array(found.offsets), flat)
    body = pa.RecordBatch.from_arrays([lists, found.meta], schema=BODIES["conversation"])
    return Parsed(body, found.ids, found.line, quarantined([]), found.span)


def _merged(
    quick: Parsed,
    data: bytes | pa.Buffer,
    plain: NDArray[np.bool_],
    found: Scanned,
    first: int,
    form: Format,
    id_field: str | None,
) -> Parsed:
    """Give odd lines and rows with other roles a second look, and put everything into line order."""
    odd = [(line, bytes(data[start:end]).strip()) for start, end, line in found.odd.tolist()]
    if not plain.all():
        lines = bytes(data).split(b"\n")
        odd += [(line, lines[line].strip()) for line in found.line[~plain].tolist()]
    odd = sorted(pair for pair in odd if pair[1])
    second = parse_lines([text for _, text in odd], [line for line, _ in odd], form, id_field)
    kept = np.flatnonzero(plain).astype(np.int32)
    line = np.concatenate([quick.line[kept], second.line])
    order = np.argsort(line, kind="stable").astype(np.int32)
    ids = pa.concat_arrays([quick.ids.take(pa.array(kept)), second.ids]).take(pa.array(order))
    rows = take(pa.concat_batches([take(quick.body, kept), second.body]), order)
    bad = second.bad.set_column(0, second.bad.schema.field(0), pc.add(second.bad["line"], first))
    span = np.concatenate([found.span[kept], np.full((len(second.line), 2), -1, np.int64)])
    return Parsed(rows, ids, line[order] + first, bad, span[order])
