"""CSV and TSV: rows and cells from bytes, in one pass of a kernel.

CSV is that of RFC 4180: a cell in quotes may hold separators, line ends and doubled quotes. The kernel gives each cell's
place, so the text in it is carried and not rebuilt. It stops before a row that has no end yet, which makes it the
splitter of a stream as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.text.kernel import kernel

PLAIN, DOUBLED, MALFORMED = range(3)
"""A cell's sort: text as it stands, text with doubled quotes in it, text after a closing quote."""

QUOTE, RETURN, NEWLINE = 34, 13, 10


class Cells(NamedTuple):
    """Cells of whole rows. Row `i` is `data[row_start[i]:row_end[i]]`, begins on line `row_line[i]` of the data (from 0) and has
    the cells `row_cell[i]` to `row_cell[i + 1]`; cell `k` is `data[start[k]:end[k]]`, without its quotes. `used` bytes and
    `lines` line ends are gone through. Empty lines are no rows."""  # noqa: D205, D209

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    sort: NDArray[np.uint8]
    row_cell: NDArray[np.int64]
    row_start: NDArray[np.int64]
    row_end: NDArray[np.int64]
    row_line: NDArray[np.int64]
    used: int
    lines: int


def split(data: bytes, separator: str, *, quoted: bool) -> Cells:
    r"""Split `data` into rows and cells; a last row without a line end is left out.

    >>> cells = split(b'a,"b ""c"" d"\n\nd,', ",", quoted=True)
    >>> cells.start.tolist(), cells.end.tolist(), cells.used
    ([0, 3], [1, 12], 15)
    """
    cells = data.count(separator.encode()) + data.count(b"\n")
    return Cells(*_split(np.frombuffer(data, np.uint8), ord(separator), quoted, cells, data.count(b"\n")))


@kernel
def _split(data: NDArray[np.uint8], separator: int, quoted: bool, most: int, most_rows: int):  # type: ignore[no-untyped-def]  # noqa: ANN202, C901, PLR0912, PLR0915, FBT001
    start = np.empty(most, np.int64)
    end = np.empty(most, np.int64)
    sort = np.empty(most, np.uint8)
    row_cell = np.empty(most_rows + 1, np.int64)
    row_start = np.empty(most_rows, np.int64)
    row_end = np.empty(most_rows, np.int64)
    row_line = np.empty(most_rows, np.int64)
    cell = row = used = lines = row_lines = i = 0
    row_cell[0] = 0
    while i < len(data):
        # one cell from i; `close` is set where its quotes ended
        first, kind, close = i, PLAIN, -1
        if quoted and data[i] == QUOTE:
            first = i = i + 1
            while i < len(data):
                if data[i] == NEWLINE:
                    row_lines += 1
                elif data[i] == QUOTE:
                    if i + 1 < len(data) and data[i + 1] == QUOTE:
                        kind = DOUBLED
                        i += 1
                    else:
                        close = i
                        break
                i += 1
            if close < 0:
                break
            i += 1
        while i < len(data) and data[i] != separator and data[i] != NEWLINE:
            i += 1
        if i == len(data):
            break
        last = i
        if data[i] == NEWLINE and last > first and data[last - 1] == RETURN:
            last -= 1
        if close >= 0:
            if close + 1 != last:
                kind = MALFORMED
            last = close
        start[cell], end[cell], sort[cell] = first, last, kind
        cell += 1
        ended = data[i] == NEWLINE
        i += 1
        if ended:
            row_lines += 1
            if cell - row_cell[row] == 1 and last == used and close < 0:
                cell -= 1  # an empty line
            else:
                row_start[row], row_end[row], row_line[row] = used, i - 1, lines
                row += 1
                row_cell[row] = cell
            used = i
            lines += row_lines
            row_lines = 0
    cell = row_cell[row]
    return (
        start[:cell],
        end[:cell],
        sort[:cell],
        row_cell[: row + 1],
        row_start[:row],
        row_end[:row],
        row_line[:row],
        used,
        lines,
    )


def cell_text(data: bytes, cells: Cells, k: int, *, unescape: bool) -> str:
    r"""Return the text of cell `k`; `unescape` makes a line end of each backslash and n. Raises `UnicodeDecodeError`."""
    raw = data[cells.start[k] : cells.end[k]]
    if cells.sort[k] != PLAIN:
        raw = raw.replace(b'""', b'"')
    text = raw.decode()
    return text.replace("\\n", "\n") if unescape else text
