"""Which sets are near an earlier one: bands give candidates, and each is verified on the sets themselves.

Rows are decided in order of priority: a row is dropped only for a row that is kept. Rows that share a band are
candidates; rows linked by candidates, directly or not, are a component and decided together, so only the sets of one
pack of components are in memory. Rows whose sizes or sketches are too different link no components, though they share a
band, by chance or by the boilerplate in them: without that, half of 1.5 million rows came to lie in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.vector import ones
from curate.steps.base import KeyLists
from curate.steps.dedup._verify_kernel import MOST, greedy

PACK: Final = 1 << 21
"""Shingles (8 bytes each) of the components that a thread reads at once; a larger component is a pack of its own.

Packs of 16 MB reuse memory: with 64 MB, reading the lists of 216,000 rows took 0.34 s instead of 0.07. But a pack is
read from all partitions, which takes time for each, so of more rows there are larger packs, up to `LARGEST`.
"""

PACKS: Final = 1 << 7
"""Packs that there are at most, about, while they are not as large as that."""

LARGEST: Final = 1 << 24
"""Shingles of a pack, however many rows there are."""

GROUP: Final = 1 << 20
"""Shingles of the components decided at once; a larger component is a group of its own."""

AT_ONCE: Final = 2
"""Bands whose hashes are sorted at once: eight bytes a row each."""

COMPARISONS: Final = 512
"""Comparisons of sizes and sketches that a bucket may take for each of its rows; with more, all of it is linked."""

CHAINS: Final = 64
"""Components that the rows of a bucket may be of; with more, all of it is linked."""

COUNTERS: Final = 1 << 26
"""Maximum number of shingle counters, two bytes each. Shared counters make shingles look less rare, which is safe."""


class Candidates(NamedTuple):
    """Sets that may be near each other, by priority: their lines in the keys, sizes, hash of each band, and sketches.

    `bands` are columns of the keys, one entry per line; the other arrays have one entry per set. `sketch` has two
    columns of 64 bits.
    """

    line: NDArray[np.int64]
    size: NDArray[np.int64]
    protect: NDArray[np.bool_]
    bands: Sequence[NDArray[np.uint32]]
    sketch: NDArray[np.uint64]


class Nearest(NamedTuple):
    """For each set the earlier one that it duplicates (-1: none), their similarity, and the number of comparisons."""

    kept: NDArray[np.int64]
    score: NDArray[np.float64]
    comparisons: int


def nearest(sets: Candidates, lists: KeyLists, threshold: float, apart: int) -> Nearest:
    """Find the sets whose Jaccard similarity to an earlier set that is kept is `threshold` or more.

    Each gets the most similar one, the earliest of equals. Protected sets are always kept. No two sets are equal, and
    none is empty. The sets of a component are read together, from the lists called "shingles". Sketches of near sets
    differ in at most `apart` bits.
    """
    kept, score = np.full(len(sets.line), -1, np.int64), np.zeros(len(sets.line))

    def resolve(pack: list[NDArray[np.int64]]) -> int:
        """Decide the groups of a pack, which no other pack touches; return the number of comparisons."""
        values, start = _read(lists, sets, pack)
        comparisons = 0
        for members, place in zip(pack, start, strict=True):
            near, how, made = _resolve_group(sets, members, values, place, threshold)
            matched = near >= 0
            kept[members[matched]] = members[near[matched]]
            score[members] = how
            comparisons += made
        return comparisons

    with ThreadPoolExecutor(pl.thread_pool_size(), "curate") as pool:
        packs = _packs(components(sets, threshold, apart, pool), sets.size)
        return Nearest(kept, score, sum(pool.map(resolve, packs)))


def _sorted(hashes: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Sort hashes with their position in the low 32 bits: rows of a bucket are neighbours, by priority."""
    words = hashes.astype(np.uint64)
    words <<= np.uint64(32)
    words |= np.arange(len(hashes), dtype=np.uint32)
    words.sort()
    return frozen(words)


def components(sets: Candidates, threshold: float, apart: int, pool: Executor) -> NDArray[np.int32]:
    """Return for each set the first of its component."""
    parent = np.arange(len(sets.line), dtype=np.int32)
    size, sketch = frozen(sets.size), frozen(sets.sketch)
    for first in range(0, len(sets.bands), AT_ONCE):
        for words in pool.map(lambda band: _sorted(band[sets.line]), sets.bands[first : first + AT_ONCE]):
            _join(words, parent, size, sketch, threshold, apart)
    _flatten(parent)
    return parent


def _packs(first: NDArray[np.int32], size: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    """Return packs of groups of the sets of all components of two or more: component by component, each by priority.

    A group fits the processor's cache: deciding the rows of a whole pack in one order took three times as long.
    """
    alone = np.bincount(first, minlength=len(first)) < 2
    shingles = np.bincount(first, size, len(first)).astype(np.int64)
    shingles[alone] = 0
    group = ((np.cumsum(shingles) - shingles) // GROUP)[first]
    members = np.flatnonzero(~alone[first])
    if not len(members):
        return []
    order = members[np.argsort(first[members], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    pack = min(max(PACK, int(shingles.sum()) // PACKS), LARGEST)
    return [list(found) for _, found in groupby(groups, lambda rows: group[rows[0]] * GROUP // pack)]


def _read(
    lists: KeyLists, sets: Candidates, pack: list[NDArray[np.int64]]
) -> tuple[NDArray[np.uint64], list[NDArray[np.int64]]]:
    """Return the shingles of a pack in one array, and for each of its groups where those of each row start.

    They are read in file order, `PACK` at a time, so a huge component is copied in chunks.
    """
    members = np.concatenate(pack)
    line, size = sets.line[members], sets.size[members]
    order = np.argsort(line)
    end = np.cumsum(size[order])
    start = np.empty(len(line), np.int64)
    start[order] = end - size[order]
    cuts = np.unique(np.searchsorted(end, np.arange(0, end[-1], PACK), "right"))
    if len(cuts) == 1:
        values = lists.read("shingles", line[order]).values.to_numpy()
        return frozen(values), np.split(start, np.cumsum([len(members) for members in pack])[:-1])
    values = np.empty(end[-1], np.uint64)
    for first, last in zip(cuts, [*cuts[1:], len(line)], strict=True):
        found: pa.ListArray = lists.read("shingles", line[order[first:last]])
        flat = found.flatten().to_numpy(zero_copy_only=False)
        place = start[order[first]]
        values[place : place + len(flat)] = flat
    return frozen(values), np.split(start, np.cumsum([len(members) for members in pack])[:-1])


def _resolve_group(
    sets: Candidates,
    members: NDArray[np.int64],
    values: NDArray[np.uint64],
    start: NDArray[np.int64],
    threshold: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64], int]:
    """Number the buckets of a group, and decide its rows."""
    start, size, line = frozen(start), frozen(sets.size[members]), sets.line[members]
    bucket = np.full((len(members), len(sets.bands)), -1, np.int32)
    buckets = 0
    wide = np.zeros(len(members), np.bool_)
    for k, band in enumerate(sets.bands):
        buckets = _number(_sorted(band[line]), bucket[:, k], buckets, wide)
    common = _count(values, start, size, frozen(wide))
    return greedy((values, start, size), frozen(sets.protect[members]), bucket, buckets, frozen(common), threshold)


@inline
def _root(parent: NDArray[np.int32], i: np.int64) -> np.int64:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = np.int64(parent[i])
    return i


@inline
def _link(parent: NDArray[np.int32], i: np.int64, j: np.int64) -> None:
    """Make two components one; the root of a component is its first member."""
    a, b = _root(parent, i), _root(parent, j)
    parent[max(a, b)] = min(a, b)


@inline
def _row(word: np.uint64) -> np.int64:
    return np.int64(word & np.uint64(0xFFFFFFFF))


class Chains(NamedTuple):
    """The rows of a bucket by component, as places in its words; a chain for each.

    `before` has the row before each in its chain (-1: none). Of each chain there are its `first` row and its `last`,
    the smallest and the largest size, and in how many bits a sketch differs at most from the first one: of a row that
    differs from that in more than `apart` bits on top of these, none in the chain can be near.
    """

    before: NDArray[np.int32]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    smallest: NDArray[np.int64]
    largest: NDArray[np.int64]
    radius: NDArray[np.int64]


@inline
def _compatible(a: int, b: int, threshold: float) -> bool:
    """Tell whether sets of these sizes can have a similarity of `threshold`."""
    return bool(min(a, b) / max(a, b) >= threshold)


@inline
def _apart(sketch: NDArray[np.uint64], i: np.int64, j: np.int64) -> int:
    """Return in how many bits two sketches differ."""
    return ones(int(sketch[i, 0] ^ sketch[j, 0])) + ones(int(sketch[i, 1] ^ sketch[j, 1]))


@inline
def _append(chains: Chains, chain: int, count: int, k: int, size: int, off: int) -> int:
    """Append the row at place `k` to a chain, a new one where `chain` is -1; return how many chains there are."""
    new = chain < 0
    at = count if new else chain
    chains.before[k] = -1 if new else chains.last[at]
    chains.last[at] = k
    if new:
        chains.first[at], chains.smallest[at], chains.largest[at], chains.radius[at] = k, size, size, 0
        return count + 1
    chains.smallest[at], chains.largest[at] = min(chains.smallest[at], size), max(chains.largest[at], size)
    chains.radius[at] = max(chains.radius[at], off)
    return count


@inline
def _bucket_end(words: NDArray[np.uint64], start: int) -> int:
    """Return where the bucket ends that begins at `start`: its words have equal high halves."""
    end = start + 1
    while end < len(words) and words[end] >> np.uint64(32) == words[start] >> np.uint64(32):
        end += 1
    return end


@inline
def _join_bucket(
    words: NDArray[np.uint64],
    start: int,
    end: int,
    parent: NDArray[np.int32],
    size: NDArray[np.int64],
    sketch: NDArray[np.uint64],
    threshold: float,
    apart: int,
    chains: Chains,
) -> bool:
    """Link the rows of a bucket that may be near; return False where that takes too long."""
    count, left = 0, COMPARISONS * (end - start)
    for k in range(start, end):
        row, mine, mine_off = _row(words[k]), -1, 0
        root = _root(parent, row)
        for chain in range(count):
            first = _row(words[chains.first[chain]])
            off = _apart(sketch, row, first)
            near = _root(parent, first) == root
            nearest_size = min(max(size[row], chains.smallest[chain]), chains.largest[chain])
            at = chains.last[chain]
            if off > apart + chains.radius[chain] or not _compatible(size[row], nearest_size, threshold):
                at = -1
            while at >= 0 and not near:
                other = _row(words[at])
                left -= 1
                near = _apart(sketch, row, other) <= apart and _compatible(size[row], size[other], threshold)
                at = np.int64(chains.before[at])
                if near:
                    _link(parent, row, other)
                    root = _root(parent, row)
            if near:
                mine, mine_off = chain, off
        if left < 0 or (mine < 0 and count == CHAINS):
            return False
        count = _append(chains, mine, count, k, size[row], mine_off)
    return True


@kernel
def _join(
    words: NDArray[np.uint64],
    parent: NDArray[np.int32],
    size: NDArray[np.int64],
    sketch: NDArray[np.uint64],
    threshold: float,
    apart: int,
) -> None:
    """Link the rows of each bucket that may be near; all of them where to tell takes too long."""
    numbers = np.empty((5, CHAINS), np.int64)
    chains = Chains(np.empty(len(words), np.int32), numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
    start = 0
    while start < len(words):
        end = _bucket_end(words, start)
        if end - start > 1 and not _join_bucket(words, start, end, parent, size, sketch, threshold, apart, chains):
            for k in range(start + 1, end):
                _link(parent, _row(words[k]), _row(words[start]))
        start = end


@kernel
def _flatten(parent: NDArray[np.int32]) -> None:
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]  # roots come first, so the parent's is final


@kernel
def _number(words: NDArray[np.uint64], bucket: NDArray[np.int32], buckets: int, wide: NDArray[np.bool_]) -> int:
    """Number the buckets of two or more rows from `buckets` on, and mark the rows of those that may become full."""
    start = 0
    while start < len(words):
        end = _bucket_end(words, start)
        if end - start > 1:
            for k in range(start, end):
                row = _row(words[k])
                bucket[row] = buckets
                wide[row] |= end - start > MOST
            buckets += 1
        start = end
    return buckets


@kernel
def _count(
    values: NDArray[np.uint64], start: NDArray[np.int64], size: NDArray[np.int64], wide: NDArray[np.bool_]
) -> NDArray[np.uint16]:
    """Count the wide rows that contain each shingle, by its low bits, up to 65,535."""
    total = 0
    for i in range(len(wide)):
        total += size[i] * wide[i]
    counters = 1
    while counters < min(2 * total, COUNTERS):
        counters *= 2
    common = np.zeros(counters, np.uint16)
    for i in range(len(wide)):
        if wide[i]:
            for k in range(start[i], start[i] + size[i]):
                place = values[np.uint64(k)] & np.uint64(counters - 1)
                common[place] += np.uint16(common[place] < 0xFFFF)
    return common
