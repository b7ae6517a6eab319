"""CSV and TSV: rows and cells from bytes, in one pass of a kernel.

The language is that of Python's csv: a cell in quotes may hold separators, line ends and doubled quotes, an escape
character takes the meaning from the next one, and a row ends with any line end. The kernel gives each cell's place, so
its text is never rebuilt. It stops before a row that has no end yet, which makes it the splitter of a stream as well.

A quote that is never closed costs one line: where text follows the closing quote on a later line, or no quote closes
the cell within the longest row, the line of the opening quote is a row of its own, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import re
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel

PLAIN, DOUBLED, ESCAPED, MALFORMED, UNCLOSED = 0, 1, 2, 4, 8
"""What is in a cell, added up: doubled quotes, escapes, text after the closing quote, a quote that is never closed."""

RETURN, NEWLINE, SPACE = 13, 10, 32
NONE, OPEN, ABSENT = -1, -2, 256
"""In place of the position of a closing quote: the cell has no quote, or it is not closed; in place of a character."""


class Dialect(NamedTuple):
    """The characters of a file: None where it has none. `doubled` tells whether two quotes within a cell are one."""

    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    doubled: bool = True
    skip_spaces: bool = False


COMMAS: Final = Dialect()
TABS: Final = Dialect("\t", None)


def dialect_of(given: str | csv.Dialect | type[csv.Dialect]) -> Dialect:
    r"""Return a dialect of Python's csv; raises `ValueError` unless its characters are ASCII.

    >>> dialect_of("excel-tab")
    Dialect(separator='\t', quote='"', escape=None, doubled=True, skip_spaces=False)
    """
    try:
        found = csv.reader([], given).dialect
    except (csv.Error, TypeError) as error:
        raise ValueError(f"{error}; registered: {', '.join(csv.list_dialects())}") from error
    quote = None if found.quoting == csv.QUOTE_NONE else found.quotechar
    made = Dialect(found.delimiter, quote, found.escapechar, bool(found.doublequote), bool(found.skipinitialspace))
    if not "".join(mark or "" for mark in made[:3]).isascii():
        raise ValueError("a separator, quote or escape that is not ASCII")
    return made


SEPARATORS: Final = (",", "\t", ";", "|")


def separator_in(data: bytes, dialect: Dialect) -> str:
    """Return the separator of a header: another than the usual one if that is not in it, and only one other is.

    >>> separator_in(b"question;answer", COMMAS), separator_in(b"text", COMMAS)
    (';', ',')
    """
    header = re.split(rb"[\r\n]", data.lstrip(b"\r\n"), maxsplit=1)[0]
    others = [mark for mark in SEPARATORS if mark.encode() in header]
    return others[0] if len(others) == 1 else dialect.separator


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


def split(data: bytes, dialect: Dialect, *, longest: int, final: bool = True) -> Cells:
    r"""Split `data` into rows and cells; a last row without a line end is left out.

    `longest` is the most bytes of a row with a cell in quotes. `final` tells that nothing follows: a quote that is open
    at the end is never closed.

    >>> cells = split(b'a,"b ""c"" d"\r\n\r\nd,', COMMAS, longest=1000)
    >>> cells.start.tolist(), cells.end.tolist(), cells.used
    ([0, 3], [1, 12], 17)
    """
    separators, ends = _count_marks(np.frombuffer(data, np.uint8), ord(dialect.separator))
    quote, escape = (ABSENT if mark is None else ord(mark) for mark in (dialect.quote, dialect.escape))
    most = separators + ends
    doubled, skip = np.bool_(dialect.doubled), np.bool_(dialect.skip_spaces)
    places, sorts, row_cell, rows, used, lines = _split(
        np.frombuffer(data, np.uint8),
        ord(dialect.separator),
        quote,
        escape,
        doubled,
        skip,
        np.bool_(final),
        longest,
        most,
        ends,
    )
    start, end = places
    row_start, row_end, row_line = rows
    return Cells(start, end, sorts, row_cell, row_start, row_end, row_line, used, lines)


@kernel
def _count_marks(data: NDArray[np.uint8], separator: int) -> tuple[int, int]:
    """Count separators and the bytes of line ends: no more cells and rows than these can there be."""
    separators = ends = 0
    for byte in data:
        separators += byte == separator
        ends += (byte == NEWLINE) | (byte == RETURN)
    return separators, ends


@kernel
def _split(
    data: NDArray[np.uint8],
    separator: int,
    quote: int,
    escape: int,
    doubled: np.bool_,
    skip: np.bool_,
    final: np.bool_,
    longest: int,
    most: int,
    most_rows: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], int, int]:
    """Return places and kinds of cells, cells before each row, places and lines of rows, and what was consumed."""
    cells, sorts = np.empty((2, most), np.int64), np.empty(most, np.uint8)
    row_cell, rows = np.zeros(most_rows + 1, np.int64), np.empty((3, most_rows), np.int64)
    cell = row = used = lines = i = 0
    several = False
    marks = np.zeros(ABSENT + 1, np.bool_)
    marks[separator] = marks[escape] = marks[NEWLINE] = marks[RETURN] = True
    while i < len(data):
        while skip and i < len(data) and data[i] == SPACE:
            i += 1
        first, close, sort = _opening(data, i, quote, escape, doubled, used + longest)
        stop, escaped = _cell_end(data, max(i, close + 1), marks, escape)
        unclosed = close == OPEN and (final or len(data) > used + longest)
        unclosed |= close >= 0 and stop > close + 1 and stop < len(data) and _has_end(data, first, close)
        if unclosed:
            stop = _line_end(data, first)
            cell, sort, first, close = row_cell[row], UNCLOSED, used, NONE
        elif close == OPEN:
            break
        if stop >= len(data) or (data[stop] == RETURN and stop + 1 == len(data) and not final):
            break
        last = stop
        if close >= 0:
            sort |= 0 if close + 1 == stop else MALFORMED
            last = close
        cells[0, cell], cells[1, cell], sorts[cell] = first, last, sort | escaped
        cell += 1
        several |= close >= 0 or escaped > 0
        i = stop + 1
        if not unclosed and data[stop] == separator:
            continue
        if stop == used:
            cell -= 1  # an empty line
        else:
            rows[0, row], rows[1, row], rows[2, row] = used, stop, lines
            row += 1
            row_cell[row] = cell
        if several:
            lines += _count_ends(data, used, stop)
        several = False
        lines += 1
        i += data[stop] == RETURN and i < len(data) and data[i] == NEWLINE
        used = i
    cell = row_cell[row]
    return cells[:, :cell], sorts[:cell], row_cell[: row + 1], rows[:, :row], used, lines


@inline
def _opening(
    data: NDArray[np.uint8], i: int, quote: int, escape: int, doubled: np.bool_, limit: int
) -> tuple[int, int, int]:
    """Read a quoted cell: where its text starts, where its quote closes (or `OPEN`, `NONE`), and what is in it."""
    if i >= len(data) or data[i] != quote:
        return i, NONE, PLAIN
    first, sort = i + 1, PLAIN
    i += 1
    while i < len(data) and i <= limit:
        if data[i] == escape:
            sort |= ESCAPED
            i += 1
        elif data[i] == quote:
            if not doubled or i + 1 == len(data) or data[i + 1] != quote:
                return first, i, sort
            sort |= DOUBLED
            i += 1
        i += 1
    return first, OPEN, sort


@inline
def _cell_end(data: NDArray[np.uint8], i: int, marks: NDArray[np.bool_], escape: int) -> tuple[int, int]:
    """Return where a cell without quotes ends, and whether it has escapes; `marks` are the bytes to stop at."""
    sort = PLAIN
    while i < len(data):
        if not marks[data[i]]:
            i += 1
        elif data[i] == escape:
            sort = ESCAPED
            i += 2
        else:
            break
    return i, sort


@inline
def _line_end(data: NDArray[np.uint8], i: int) -> int:
    while i < len(data) and data[i] != NEWLINE and data[i] != RETURN:
        i += 1
    return i


@inline
def _has_end(data: NDArray[np.uint8], start: int, end: int) -> bool:
    return _line_end(data, start) < end


@inline
def _count_ends(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Count the line ends in a part of the data; the two bytes of a Windows line end are one."""
    count = 0
    for i in range(start, end):
        count += data[i] == NEWLINE or (data[i] == RETURN and data[i + 1] != NEWLINE)
    return count


def cell_text(raw: bytes, sort: int, dialect: Dialect, *, unescape: bool = False) -> str:
    r"""Return the text of a cell; `unescape` makes a line end of backslash and n. Raises `UnicodeDecodeError`."""
    if sort & ESCAPED:
        pair = b"|" + re.escape((dialect.quote or "").encode()) * 2 if sort & DOUBLED else b""
        mark = re.escape((dialect.escape or "").encode())
        raw = re.sub(mark + b"(.)" + pair, _meant, raw, flags=re.DOTALL)
    elif sort & DOUBLED:
        quote = (dialect.quote or "").encode()
        raw = raw.replace(quote * 2, quote)
    text = raw.decode()
    return text.replace("\\n", "\n") if unescape else text


def _meant(found: re.Match[bytes]) -> bytes:
    return found[1] if found[1] is not None else found[0][:1]
