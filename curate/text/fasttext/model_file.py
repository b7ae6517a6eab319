"""fastText's files (`.bin` and `.ftz`) read into the arrays that a kernel predicts from.

The package holds the GIL while it predicts and has no wheel for every Python; its file format is open and does not
change. Source: fastText 0.9.2, file version 12 (args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc,
productquantizer.cc). A file is untrusted: every size in it is held against the bytes that are there.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError, SourceNotFoundError
from curate.kernels.buffers import Bytes, Float32s, Int32s, Int64s, UInt64s, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.load_once import load_once

MAGIC: Final = 793712314
VERSIONS: Final = (11, 12)
SUPERVISED: Final = 3
HIERARCHICAL, SOFTMAX, LOSSES = 1, 3, range(1, 5)
"""fastText's losses, as its files number them; for the others (2, 4), each label has a probability of its own."""

LABEL: Final = "__label__"
BASIS: Final = np.uint32(2166136261)
PRIME: Final = np.uint32(16777619)

ENTRY: Final = 10
"""Bytes of a word in the file besides its own: a NUL, its count and its kind."""
CENTROIDS: Final = 256
MOST_FLOATS: Final = 32
"""Floats that one byte of a quantized matrix may stand for (fastText's own choice is 2): a small file stays small."""
MOST_BUCKETS: Final = 1 << 28
MOST_NGRAMS: Final = 64
MOST_BYTES: Final = 2**31 - 1

WORDS, SHORTEST, LONGEST, BUCKETS, NGRAMS, LOSS = range(6)
"""Places in `Weights.settings`."""


class Weights(NamedTuple):
    """The read-only arrays of a model, as kernels read them.

    `settings` are numbers in the order of `WORDS` to `LOSS`. `spelling[starts[i]:starts[i + 1] - 10]` is word `i`,
    labels after words; `table` finds it by its hash. `rows` is the input matrix: first a row a word, then one a bucket;
    of a pruned model, one for each bucket that `marks` marks (a bit a bucket; `before` counts those before each 64).
    `output` has a column a label, or with hierarchical softmax a row a node of `tree` (left child, right child and
    parent, leaves first).
    """

    settings: Int64s
    spelling: Bytes
    starts: Int32s
    table: Int32s
    marks: UInt64s
    before: Int32s
    rows: Float32s
    output: Float32s
    tree: Int32s


class Classifier(NamedTuple):
    """A supervised fastText model.

    `labels` come without `__label__`, in the order of the file (most frequent first). `digest` is the sha256 of the
    file.
    """

    labels: tuple[str, ...]
    digest: str
    weights: Weights


def load_classifier(path: str | Path) -> Classifier:
    """Read a supervised fastText model; the answer is kept until the file's size or time of change is another one.

    Quantized matrices are written out as floats (lid.176.ftz, 0.9 MB, becomes 3.8 MB), so memory is at most the size of
    the file, or 4 bytes times its dimensions for each row of a quantized one. Raises `SourceNotFoundError` where there
    is no such file, `FormatError` for one that is no supervised fastText model or is cut off.
    """
    file = Path(path)
    try:
        found = file.stat()
    except OSError as error:
        raise SourceNotFoundError(
            f"there is no model at {file}: {error.strerror}; give the path of a fastText model (.bin or .ftz)"
        ) from error
    if not file.is_file():
        raise SourceNotFoundError(f"the model {file} is no file; give the path of a fastText model (.bin or .ftz)")
    return _load(file.resolve(), found.st_size, found.st_mtime_ns)


@load_once(8)
def _load(file: Path, size: int, _changed: int) -> Classifier:
    if size < struct.calcsize("<ii"):
        raise _BrokenError.named(file, "it is too short")
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
            digest = hashlib.sha256(held).hexdigest()
            return _read(_Reader(held), digest)
    except _BrokenError as broken:
        raise _BrokenError.named(file, str(broken)) from None
    except OSError as error:
        raise FormatError(f"the model {file} cannot be read: {error.strerror}") from error


class _BrokenError(Exception):
    """What is wrong with a file, before its name is known."""

    @staticmethod
    def named(file: Path, what: str) -> FormatError:
        return FormatError(f"{file} is no supervised fastText model that can be read (.bin or .ftz): {what}")


class _Reader:
    """Takes numbers and arrays off a file, copied; asking for more than is left is a fault of the file."""

    def __init__(self, held: mmap.mmap) -> None:
        self._held = held
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._held) - self.at

    def take(self, layout: str) -> tuple[int, ...]:
        return struct.unpack("<" + layout, self._take(struct.calcsize("<" + layout)))

    def octets(self, count: int) -> Bytes:
        return np.frombuffer(self._take(count), np.uint8)

    def ints(self, count: int) -> Int32s:
        return np.frombuffer(self._take(4 * count), np.int32)

    def floats(self, count: int) -> Float32s:
        found = np.frombuffer(self._take(4 * count), np.float32)
        if count and not (np.isfinite(found.min()) and np.isfinite(found.max())):
            _broken("a weight is no finite number")
        return found

    def rest(self) -> bytes:
        return self._held[self.at : self.at + MOST_BYTES]

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            _broken(f"it ends before its {count:,} bytes at byte {self.at:,} do" if count > 0 else "a size is negative")
        self.at += count
        return self._held[self.at - count : self.at]


def _broken(what: str) -> NoReturn:
    raise _BrokenError(what)


def _read(file: _Reader, digest: str) -> Classifier:
    magic, version = file.take("ii")
    if magic != MAGIC:
        _broken("it does not begin as one")
    if version not in VERSIONS:
        _broken(f"its file version is {version}, and versions 11 and 12 are read")
    dim, _, _, _, _, ngrams, loss, kind, buckets, shortest, longest, _ = file.take("12i")
    file.take("d")
    if kind != SUPERVISED:
        _broken("it holds word vectors and no labels; train it with train_supervised")
    longest = 0 if version == 11 else longest
    if not (dim > 0 and 0 < ngrams <= MOST_NGRAMS and loss in LOSSES and buckets >= 0 and shortest >= 0):
        _broken("its settings make no sense")
    entries, words, labels = file.take("iii")
    _, pruned = file.take("qq")
    if not (words >= 0 and labels > 0 and words + labels == entries):
        _broken("its numbers of words and labels do not add up")
    spelling, starts, table, counts = _dictionary(file, words, labels)
    index = file.ints(2 * pruned).reshape(-1, 2) if pruned >= 0 else None
    quantized = _flag(file)
    if index is not None and not quantized:
        _broken("it is pruned and not quantized")
    rows = _matrix(file, dim, quantized=quantized)
    output = _matrix(file, dim, quantized=_flag(file) and quantized)[:labels]
    if len(output) < labels:
        _broken("it has fewer outputs than labels")
    hashed = longest > 0 or ngrams > 1
    marks, before, rows = _prune(rows, words, buckets, index if hashed else None)
    if len(rows) < words + (buckets if index is None and hashed else 0) or (hashed and not buckets):
        _broken("it has fewer rows than words and buckets")
    names = (spelling[starts[i] : starts[i + 1] - ENTRY] for i in range(words, entries))
    weights = Weights(
        np.array([words, shortest, longest, buckets, ngrams, loss], np.int64),
        spelling,
        starts,
        table,
        marks,
        before,
        rows,
        output if loss == HIERARCHICAL else np.ascontiguousarray(output.T),
        _tree(counts[words:]) if loss == HIERARCHICAL else np.zeros((0, 3), np.int32),
    )
    return Classifier(
        tuple(name.tobytes().decode(errors="replace").removeprefix(LABEL) for name in names),
        digest,
        Weights._make(frozen(array) for array in weights),
    )


def _flag(file: _Reader) -> bool:
    return bool(file.take("B")[0])


def _dictionary(file: _Reader, words: int, labels: int) -> tuple[Bytes, Int32s, Int32s, Int64s]:
    """Return the spelling of all words and labels, where each starts, the hash table, and how often each occurred."""
    entries = words + labels
    if entries * ENTRY > file.left:
        _broken("it ends within its words")
    starts, counts, kinds, table = _read_words(np.frombuffer(file.rest(), np.uint8), entries)
    if starts[-1] < 0:
        _broken("it ends within its words")
    if kinds[:words].any() or not (kinds[words:] == 1).all():
        _broken("its labels do not follow its words")
    return file.octets(int(starts[-1])), starts, table, counts


@inline
def fnv(hashed: np.uint32, byte: np.uint8) -> np.uint32:
    """Take one more byte into a hash: FNV-1a, except that bytes are signed, as C++ has them."""
    return np.uint32(np.uint32(hashed ^ np.uint32(np.int8(byte))) * PRIME)


@kernel
def _read_words(data: Bytes, entries: int) -> tuple[Int32s, Int64s, NDArray[np.int8], Int32s]:
    """Return where each word starts (the last entry is where all end, -1 if the data is cut off), count and kind."""
    starts = np.full(entries + 1, -1, np.int32)
    counts = np.zeros(entries, np.int64)
    kinds = np.zeros(entries, np.int8)
    slots = 16
    while slots < 2 * entries:
        slots *= 2
    table = np.full(slots, -1, np.int32)
    at = 0
    for i in range(entries):
        start = at
        hashed = BASIS
        while at < len(data) and data[at]:
            hashed = fnv(hashed, data[at])
            at += 1
        if at + ENTRY > len(data):
            return starts, counts, kinds, table
        size = at - start
        starts[i] = start
        for k in range(8):
            counts[i] |= np.int64(data[at + 1 + k]) << (8 * k)
        kinds[i] = np.int8(data[at + 9])
        at += ENTRY
        table[word_slot(data, start, size, hashed, data, starts, table)] = i
    starts[entries] = at
    return starts, counts, kinds, table


@inline
def same(data: Bytes, at: int, known: Bytes, place: int, size: int) -> bool:
    """Tell whether `size` bytes of `data` from `at` are those of `known` from `place`."""
    for k in range(size):  # noqa: SIM110  a kernel knows no generators
        if data[at + k] != known[place + k]:
            return False
    return True


@inline
def word_slot(
    data: Bytes, start: int, size: int, hashed: np.uint32, spelling: Bytes, starts: Int32s, table: Int32s
) -> int:
    """Return the slot of the word `data[start:start + size]`, or the empty one (-1) where it belongs."""
    slot = np.int64(hashed) & (len(table) - 1)
    while table[slot] >= 0:
        first = starts[table[slot]]
        if starts[table[slot] + 1] - ENTRY - first == size and same(data, start, spelling, first, size):
            break
        slot = (slot + 1) & (len(table) - 1)
    return int(slot)


def _matrix(file: _Reader, dim: int, *, quantized: bool) -> Float32s:
    """Return a matrix of `dim` columns, written out as floats."""
    normed = _flag(file) if quantized else False
    rows, columns = file.take("qq")
    if rows < 0 or columns != dim:
        _broken(f"a matrix of {rows:,} rows has {columns:,} columns, not {dim:,}")
    if not quantized:
        return file.floats(rows * dim).reshape(rows, dim)
    (codes,) = file.take("i")
    coded = file.octets(codes)
    values = _written_out(file, coded, rows, dim)
    if normed:
        norms = file.octets(rows)
        values *= _written_out(file, norms, rows, 1)
    return values


def _written_out(file: _Reader, codes: Bytes, rows: int, dim: int) -> Float32s:
    """Return what the codes of a product quantizer stand for, which follows them in the file."""
    columns, parts, width, last = file.take("4i")
    fits = columns == dim and parts > 0 and 0 < width <= MOST_FLOATS and 0 < last <= width
    if not fits or (parts - 1) * width + last != dim or len(codes) != rows * parts:
        _broken("a quantized matrix does not add up")
    centroids = file.floats(dim * CENTROIDS)
    coded = codes.reshape(rows, parts)
    values = np.empty((rows, dim), np.float32)
    for part in range(parts):
        start, size = part * width, last if part == parts - 1 else width
        block = centroids[start * CENTROIDS : (start + size) * CENTROIDS].reshape(CENTROIDS, size)
        values[:, start : start + size] = block[coded[:, part]]
    return values


def _prune(rows: Float32s, words: int, buckets: int, index: Int32s | None) -> tuple[UInt64s, Int32s, Float32s]:
    """Return the marks of the buckets that are left, how many come before each 64, and the rows in their order."""
    if index is None:
        return np.zeros(0, np.uint64), np.zeros(0, np.int32), rows
    if buckets > MOST_BUCKETS:
        _broken(f"it has {buckets:,} buckets, and {MOST_BUCKETS:,} are read of a pruned model")
    bucket, row = index[np.argsort(index[:, 0])].T
    inside = len(row) == 0 or (bucket[0] >= 0 and bucket[-1] < buckets and row.min() >= 0)
    if not inside or (np.diff(bucket) == 0).any() or (len(row) and words + int(row.max()) >= len(rows)):
        _broken("it is pruned to rows that are not there")
    bits = np.zeros((buckets // 64 + 1, 64), np.bool_)
    bits.reshape(-1)[bucket] = True
    marks = np.packbits(bits, axis=1, bitorder="little").reshape(-1).view(np.uint64)
    before = np.append(0, np.cumsum(bits.sum(axis=1))[:-1]).astype(np.int32)
    return marks, before, np.concatenate([rows[:words], rows[words:][row]])


def _tree(counts: Int64s) -> Int32s:
    """Return left child, right child and parent (-1: none) of each node of fastText's Huffman tree, leaves first.

    It takes labels for sorted by count, the most frequent first, whether they are or not.
    """
    leaves = len(counts)
    if counts.min() < 0 or int(counts.max()) >= 10**15 // leaves:
        _broken("its labels have counts that make no sense")
    weight = [*counts.tolist(), *([10**15] * (leaves - 1))]
    tree = np.full((2 * leaves - 1, 3), -1, np.int32)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, 2 * leaves - 1):
        total = 0
        for side in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                child, leaf = leaf, leaf - 1
            else:
                child, node = node, node + 1
            tree[parent, side], tree[child, 2] = child, parent
            total += weight[child]
        weight[parent] = total
    return tree
