"""JSON lines of plain chat rows: by the scanner where it can, by the full parser where it cannot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.formats.base import FastPath, Format
from curate.io.jsonl.scan import Scanned, scan_lines
from curate.io.parse import MAX_LINE, parse_lines
from curate.io.row_collector import Parsed, quarantined
from curate.rows.parts import together
from curate.rows.schema import BODIES, MESSAGE
from curate.rows.take import take


def parse_block(data: bytes | pa.Buffer, first: int, form: Format, id_field: str | None) -> Parsed:
    r"""Parse whole lines of JSON, the first on line `first`; the same as `parse_lines` of those that are not blank.

    >>> from curate.io.formats.dialogues import messages
    >>> block = b'{"messages":[{"role":"user","content":"Hi"}]}\n\n{"messages":[]}\n'
    >>> parsed = parse_block(block, 1, messages(), "id")
    >>> parsed.line.tolist(), parsed.bad["line"].to_pylist()
    ([1], [3])
    """
    path = form.fast_path
    if len(data) > MAX_LINE or path is None:
        lines = [line.strip() for line in bytes(data).split(b"\n")]
        numbers = [number for number, line in enumerate(lines, first) if line]
        return parse_lines(list(filter(None, lines)), numbers, form, id_field)
    scanned = scan_lines(data, list_key=path.list_key, role_key=path.role_key, text_key=path.text_key, id_key=id_field)
    place = pc.index_in(scanned.roles, pa.array(list(path.roles)))
    plain = _plain(scanned, place)
    for field in path.unless:
        plain &= ~pc.match_substring(scanned.meta, f'"{field}":').to_numpy(zero_copy_only=False)
    fast = _fast(scanned, path, place)
    if plain.all() and not len(scanned.odd):
        return fast._replace(line=scanned.line + first)
    return _merged(fast, data, plain, scanned, first, form, id_field)


def _plain(scanned: Scanned, place: pa.Int32Array) -> NDArray[np.bool_]:
    """Mark the rows whose roles are all plain spellings."""
    unknown = np.concatenate(([0], np.cumsum(np.asarray(place.is_null()))))
    return np.diff(unknown[scanned.offsets]) == 0


def _fast(scanned: Scanned, path: FastPath, place: pa.Int32Array) -> Parsed:
    roles = scanned.roles
    if any(word != role for word, role in path.roles.items()):
        roles = pa.array(list(path.roles.values()), pa.string()).take(place.fill_null(0))
    flat = pa.StructArray.from_arrays([roles, scanned.contents], fields=list(MESSAGE))
    lists = pa.ListArray.from_arrays(pa.array(scanned.offsets), flat)
    body = pa.RecordBatch.from_arrays([lists, scanned.meta], schema=BODIES["conversation"])
    return Parsed(body, scanned.ids, scanned.line, quarantined([]), scanned.span)


def _merged(
    fast: Parsed,
    data: bytes | pa.Buffer,
    plain: NDArray[np.bool_],
    scanned: Scanned,
    first: int,
    form: Format,
    id_field: str | None,
) -> Parsed:
    """Parse odd lines and rows with other roles in full, and put everything into line order."""
    odd = [(line, bytes(data[start:end]).strip()) for start, end, line in scanned.odd.tolist()]
    if not plain.all():
        lines = bytes(data).split(b"\n")
        odd += [(line, lines[line].strip()) for line in scanned.line[~plain].tolist()]
    odd = sorted(pair for pair in odd if pair[1])
    second = parse_lines([text for _, text in odd], [line for line, _ in odd], form, id_field)
    kept = np.flatnonzero(plain).astype(np.int32)
    line = np.concatenate([fast.line[kept], second.line])
    order = np.argsort(line, kind="stable").astype(np.int32)
    ids = pa.concat_arrays([fast.ids.take(pa.array(kept)), second.ids]).take(pa.array(order))
    rows = take(together([take(fast.body, kept), second.body]), order)
    bad = second.bad.set_column(0, second.bad.schema.field(0), pc.add(second.bad["line"], first))
    span = np.concatenate([scanned.span[kept], np.full((len(second.line), 2), -1, np.int64)])
    return Parsed(rows, ids, line[order] + first, bad, span[order])
