"""CSV and TSV: rows and cells from bytes, in one pass of a kernel.

CSV is that of RFC 4180: a cell in quotes may hold separators, line ends and doubled quotes. The kernel gives each
cell's place, so its text is never rebuilt. It stops before a row that has no end yet, which makes it the
splitter of a stream as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel

PLAIN, DOUBLED, MALFORMED = range(3)
"""A cell's kind: plain text, text with doubled quotes, text after a closing quote."""

QUOTE, RETURN, NEWLINE = 34, 13, 10
NONE, OPEN = -1, -2
"""In place of the position of a closing quote: the cell has no quote, or the quote is never closed."""


class Cells(NamedTuple):
    """Cells of whole rows; empty lines are no rows.

    Row `i` is `data[row_start[i]:row_end[i]]`, begins on line `row_line[i]` of the data (from 0) and has the cells
    `row_cell[i]` to `row_cell[i + 1]`. Cell `k` is `data[start[k]:end[k]]`, without its quotes. `used` bytes and
    `lines` line ends are consumed.
    """

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
    ends = data.count(b"\n")
    most = data.count(separator.encode()) + ends
    places, sorts, row_cell, rows, used, lines = _split(
        np.frombuffer(data, np.uint8), ord(separator), np.bool_(quoted), most, ends
    )
    start, end = places
    row_start, row_end, row_line = rows
    return Cells(start, end, sorts, row_cell, row_start, row_end, row_line, used, lines)


@kernel
def _split(
    data: NDArray[np.uint8], separator: int, quoted: np.bool_, most: int, most_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], int, int]:
    """Return places and kinds of cells, cells before each row, places and lines of rows, and what was consumed."""
    cells, sorts = np.empty((2, most), np.int64), np.empty(most, np.uint8)
    row_cell, rows = np.zeros(most_rows + 1, np.int64), np.empty((3, most_rows), np.int64)
    cell = row = used = lines = more_lines = i = 0
    while i < len(data):
        first, close, sort, within = _opening(data, i, quoted)
        i = max(i, close + 1)
        while i < len(data) and data[i] != separator and data[i] != NEWLINE:
            i += 1
        if close == OPEN or i == len(data):
            break
        last = i - 1 if data[i] == NEWLINE and i > first and data[i - 1] == RETURN else i
        if close >= 0:
            sort = sort if close + 1 == last else MALFORMED
            last = close
        cells[0, cell], cells[1, cell], sorts[cell] = first, last, sort
        cell += 1
        more_lines += within
        i += 1
        if data[i - 1] != NEWLINE:
            continue
        if cell - row_cell[row] == 1 and last == used and close < 0:
            cell -= 1  # an empty line
        else:
            rows[0, row], rows[1, row], rows[2, row] = used, i - 1, lines
            row += 1
            row_cell[row] = cell
        used = i
        lines += more_lines + 1
        more_lines = 0
    cell = row_cell[row]
    return cells[:, :cell], sorts[:cell], row_cell[: row + 1], rows[:, :row], used, lines


@inline
def _opening(data: NDArray[np.uint8], i: int, quoted: np.bool_) -> tuple[int, int, int, int]:
    """Read a cell's quoted part: where its text starts, where the quote closes (or `OPEN`, `NONE`), sort, line ends."""
    if not quoted or data[i] != QUOTE:
        return i, NONE, PLAIN, 0
    first, sort, within = i + 1, PLAIN, 0
    i += 1
    while i < len(data):
        if data[i] == NEWLINE:
            within += 1
        elif data[i] == QUOTE:
            if i + 1 == len(data) or data[i + 1] != QUOTE:
                return first, i, sort, within
            sort = DOUBLED
            i += 1
        i += 1
    return first, OPEN, sort, within


def cell_text(data: bytes, cells: Cells, k: int, *, unescape: bool) -> str:
    r"""Return the text of cell `k`; `unescape` makes a line end of backslash and n. Raises `UnicodeDecodeError`."""
    raw = data[cells.start[k] : cells.end[k]]
    if cells.sort[k] != PLAIN:
        raw = raw.replace(b'""', b'"')
    text = raw.decode()
    return text.replace("\\n", "\n") if unescape else text
