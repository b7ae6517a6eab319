"""Which sets of a pack of components fall: in order of priority, each held against sets that stay, in linear time.

A bucket is the rows that share one band. Once `MOST` rows of a bucket have stayed, it is full, and rows in it meet by
their rarest shingles instead (the prefix filter of Bayardo, Ma and Srikant, "Scaling up all pairs similarity search",
2007): two sets of similarity t and more share one of the first `size - ceil(t * size) + 1` shingles of both, in any one
order of all shingles, and rarest first means that boilerplate comes last. A shingle leads to `HELD` rows at most, and a
row follows at most `ENOUGH` such leads. Short of these bounds, rarest shingles miss no pair.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import key_slot

MOST: Final = 8
"""Rows that stayed in a bucket before it is full. With 64, a million rows took 20 times as long as 200,000."""

HELD: Final = 32
"""Rows that stayed to which a rare shingle leads."""

ENOUGH: Final = 512
"""Entries of rare shingles that a row looks at."""

ROOM: Final = 1 << 12


@inline
def _overlap(values: NDArray[np.uint64], a: int, a_end: int, b: int, b_end: int, need: int) -> int:
    """Count what two ascending sets share; 0 as soon as it cannot be `need`.

    Without branches, 16 steps between two looks at the bound: hashes are in no order that a processor could guess.
    """
    shared = 0
    while a < a_end and b < b_end:
        if shared + min(a_end - a, b_end - b) < need:
            return 0
        for _ in range(min(16, a_end - a, b_end - b)):
            x, y = values[a], values[b]
            shared += x == y
            a += x <= y
            b += y <= x
    return shared


@inline
def _similarity(
    values: NDArray[np.uint64], start: NDArray[np.int64], size: NDArray[np.int64], i: int, j: int, bound: float
) -> float:
    """Return the Jaccard similarity of two sets, or 0 where it is below `bound`."""
    small, large = min(size[i], size[j]), max(size[i], size[j])
    if small / large < bound:
        return 0.0
    need = int(np.ceil(bound * (small + large) / (1 + bound) - 1e-6))
    shared = _overlap(values, start[i], start[i] + size[i], start[j], start[j] + size[j], need)
    return shared / (small + large - shared)


@inline
def _rarest(
    values: NDArray[np.uint64],
    start: int | np.integer,
    size: int | np.integer,
    common: NDArray[np.uint16],
    threshold: float,
    out: NDArray[np.uint64],
) -> int:
    """Write to `out` as many shingles of a set as must hold one of any near set, rarest first; return how many.

    A shingle is written as 16 bits of its count and 48 of its own; as 0 if no other row has it. Shell's sort: Numba
    takes a second to compile NumPy's.
    """
    for k in range(size):
        shingle = values[start + k]
        count = common[np.int64(shingle & np.uint64(len(common) - 1))]
        out[k] = np.uint64(count) << np.uint64(48) | shingle >> np.uint64(16)
    gap = 1
    while 9 * gap < 4 * size:
        gap = gap * 9 // 4 + 1
    while gap:
        for k in range(gap, size):
            word, at = out[k], k
            while at >= gap and out[at - gap] > word:
                out[at] = out[at - gap]
                at -= gap
            out[at] = word
        gap = gap * 4 // 9
    most = int(size - np.ceil(threshold * size - 1e-6)) + 1
    for k in range(most):
        out[k] *= np.uint64(out[k] >> np.uint64(48) > np.uint64(1))
    return most


@kernel
def _move(
    words: NDArray[np.uint64], chains: NDArray[np.int32], more: NDArray[np.uint64], at: NDArray[np.int32]
) -> None:
    """Enter what a table holds in a larger one."""
    for k in range(len(words)):
        if words[k]:
            place = key_slot(more, words[k])
            more[place] = words[k]
            at[place, 0], at[place, 1] = chains[k, 0], chains[k, 1]


@inline
def _follow(
    i: int | np.integer,
    entry: int | np.integer,
    pool: NDArray[np.int32],
    seen: NDArray[np.int32],
    met: NDArray[np.int32],
    count: int,
) -> int:
    """Write the rows of the chain from `entry` that row `i` has not seen yet behind the first `count`."""
    while entry >= 0:
        j = pool[entry, 0]
        if seen[j] != i:
            seen[j] = i
            met[count] = j
            count += 1
        entry = pool[entry, 1]
    return count


@inline
def _meet(
    i: int | np.integer,
    bucket: NDArray[np.int32],
    chain: NDArray[np.int32],
    pool: NDArray[np.int32],
    seen: NDArray[np.int32],
    met: NDArray[np.int32],
) -> tuple[int, bool]:
    """Write to `met` the rows that stayed in the buckets of row `i`; tell how many, and whether a bucket is full."""
    count, full = 0, False
    for k in range(bucket.shape[1]):
        mine = bucket[i, k]
        if mine >= 0 and chain[mine, 1] > MOST:
            full = True
        elif mine >= 0:
            count = _follow(i, chain[mine, 0], pool, seen, met, count)
    return count, full


@inline
def _lead(
    i: int | np.integer,
    rarest: NDArray[np.uint64],
    rare: int,
    words: NDArray[np.uint64],
    chains: NDArray[np.int32],
    pool: NDArray[np.int32],
    seen: NDArray[np.int32],
    met: NDArray[np.int32],
    count: int,
) -> int:
    """Write the rows that stayed with one of these shingles, as far as row `i` has not seen them, to `met`."""
    looked = 0
    for k in range(rare):  # the place of 0 is empty, and leads nowhere
        place = key_slot(words, rarest[k])
        looked += chains[place, 1]
        if looked > ENOUGH:
            break
        count = _follow(i, chains[place, 0], pool, seen, met, count)
    return count


@inline
def _stay(
    i: int | np.integer,
    bucket: NDArray[np.int32],
    chain: NDArray[np.int32],
    pool: NDArray[np.int32],
    used: int,
    waiting: NDArray[np.int32],
) -> tuple[int, int]:
    """Enter row `i` in its buckets, and write to `waiting` the rows to be met by their shingles from now on.

    Returns the entries used and the rows that wait.
    """
    count = 0
    for k in range(bucket.shape[1]):
        mine = bucket[i, k]
        if mine < 0:
            continue
        if chain[mine, 1] < MOST:
            pool[used, 0], pool[used, 1] = i, chain[mine, 0]
            chain[mine, 0] = used
            chain[mine, 1] += 1
            used += 1
            continue
        entry = chain[mine, 0] if chain[mine, 1] == MOST else -1
        chain[mine, 1] = MOST + 1
        while entry >= 0:
            waiting[count] = pool[entry, 0]
            count += 1
            entry = pool[entry, 1]
        waiting[count] = i
        count += 1
    return used, count


@inline
def _enter(
    i: int | np.integer,
    rarest: NDArray[np.uint64],
    count: int,
    words: NDArray[np.uint64],
    chains: NDArray[np.int32],
    pool: NDArray[np.int32],
    used: int,
) -> tuple[int, int]:
    """Enter row `i` under its rarest shingles; return the entries used and the shingles not known before."""
    fresh = 0
    for k in range(count):
        if rarest[k] == np.uint64(0):
            continue
        place = key_slot(words, rarest[k])
        if words[place] == np.uint64(0):
            words[place] = rarest[k]
            fresh += 1
        if chains[place, 1] < HELD:
            pool[used, 0], pool[used, 1] = i, chains[place, 0]
            chains[place, 0] = used
            chains[place, 1] += 1
            used += 1
    return used, fresh


@inline
def _choose(
    sets: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]],
    i: int,
    met: NDArray[np.int32],
    count: int,
    threshold: float,
) -> tuple[int, float]:
    """Return the most similar of the rows met, the earliest of equals, or -1 where none reaches the threshold."""
    values, start, size = sets
    best, score = -1, threshold
    for k in range(count):
        j = met[k]
        found = _similarity(values, start, size, i, j, score)
        if found > score or (found == score and (best < 0 or j < best)):
            best, score = int(j), found
    return best, score if best >= 0 else 0.0


class Book(NamedTuple):
    """What `_settle` writes in; it stops where there is no room left, and goes on where it stopped.

    `chain` has a chain a bucket: the newest entry in `pool` (-1: none), and how many there are. An entry is a row and
    the entry before it. `words` and `chains` are an open table from rare shingles to chains. `state` is the next row,
    the entries used, the shingles in the table, the rows waiting to be entered there, and the comparisons made.
    """

    kept: NDArray[np.int32]
    score: NDArray[np.float64]
    chain: NDArray[np.int32]
    pool: NDArray[np.int32]
    words: NDArray[np.uint64]
    chains: NDArray[np.int32]
    seen: NDArray[np.int32]
    entered: NDArray[np.bool_]
    met: NDArray[np.int32]
    waiting: NDArray[np.int32]
    rarest: NDArray[np.uint64]
    state: NDArray[np.int64]


def greedy(
    sets: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]],
    protect: NDArray[np.bool_],
    bucket: NDArray[np.int32],
    buckets: int,
    common: NDArray[np.uint16],
    threshold: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64], int]:
    """Return for each row the one that it falls to (-1: it stays), their similarity, and how many comparisons it took.

    `sets` are shingles, and where those of each row start and how many there are, ascending; rows come by priority.
    `bucket` has the row's buckets, numbers below `buckets` or -1, and `common` counts shingles by their low bits: all
    of the rows whose buckets may become full.
    """
    rows, bands = bucket.shape
    book = Book(
        kept=np.full(rows, -1, np.int32),
        score=np.zeros(rows),
        chain=_chains(buckets),
        pool=np.empty((ROOM + bands, 2), np.int32),
        words=np.zeros(ROOM, np.uint64),
        chains=_chains(ROOM),
        seen=np.full(rows, -1, np.int32),
        entered=np.zeros(rows, np.bool_),
        met=np.empty(bands * MOST + ENOUGH, np.int32),
        waiting=np.empty(bands * (MOST + 1), np.int32),
        rarest=np.empty(sets[2].max(initial=0), np.uint64),
        state=np.zeros(5, np.int64),
    )
    while not _settle(sets, protect, bucket, common, threshold, book):
        book = _with_room(book)
    return book.kept, book.score, int(book.state[4])


def _chains(count: int) -> NDArray[np.int32]:
    chains = np.zeros((count, 2), np.int32)
    chains[:, 0] = -1
    return chains


def _with_room(book: Book) -> Book:
    """Return the book with room for twice the entries, and for as many shingles as they may be of."""
    pool = np.empty((2 * len(book.pool) + len(book.rarest), 2), np.int32)
    pool[: len(book.pool)] = book.pool
    words, chains = book.words, book.chains
    while len(words) < 2 * (book.state[2] + len(book.rarest)):
        words, chains = np.zeros(2 * len(words), np.uint64), _chains(2 * len(chains))
    if len(words) > len(book.words):
        _move(book.words, book.chains, words, chains)
    return book._replace(pool=pool, words=words, chains=chains)


@kernel
def _settle(
    sets: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]],
    protect: NDArray[np.bool_],
    bucket: NDArray[np.int32],
    common: NDArray[np.uint16],
    threshold: float,
    book: Book,
) -> bool:
    """Settle the rows in order; tell whether all are settled."""
    kept, score, chain, pool, words, chains, seen, entered, met, waiting, rarest, state = book
    values, start, size = sets
    i, used, known, waits, comparisons = state[0], state[1], state[2], state[3], state[4]
    rare, whose = 0, np.int64(-1)  # `rarest` holds that many shingles of this row
    while True:
        while waits and used + len(rarest) <= len(pool) and 2 * (known + len(rarest)) <= len(words):
            j = waiting[waits - 1]
            if not entered[j]:
                entered[j] = True
                if whose != j:
                    rare, whose = _rarest(values, start[j], size[j], common, threshold, rarest), np.int64(j)
                used, fresh = _enter(j, rarest, rare, words, chains, pool, used)
                known += fresh
            waits -= 1
        if waits or i == len(size) or used + bucket.shape[1] > len(pool):
            break
        if not protect[i]:
            count, full = _meet(i, bucket, chain, pool, seen, met)
            if full:
                rare, whose = _rarest(values, start[i], size[i], common, threshold, rarest), i
                count = _lead(i, rarest, rare, words, chains, pool, seen, met, count)
            comparisons += count
            kept[i], score[i] = _choose(sets, i, met, count, threshold)
        if kept[i] < 0:
            used, waits = _stay(i, bucket, chain, pool, used, waiting)
        i += 1
    state[0], state[1], state[2], state[3], state[4] = i, used, known, waits, comparisons
    return i == len(size) and not waits
