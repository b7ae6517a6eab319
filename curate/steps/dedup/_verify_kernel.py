"""Which sets of a pack are duplicates: in order of priority, each compared with sets that are kept, in linear time.

A bucket is the rows that share one band. Once `MOST` of its rows are kept it is full, and candidates come from the
rarest shingles instead (the prefix filter of Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007):
two sets of similarity t or more share one of the first `size - ceil(t * size) + 1` shingles of both, in any one order
of all shingles, and rarest first puts boilerplate last. A shingle lists at most `HELD` rows, and a row looks at no more
than `ENOUGH` of them. Within these limits no pair is missed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel
from curate.kernels.hash_table import key_slot

MOST: Final = 8
"""Kept rows in a full bucket. With 64, a million rows took 20 times as long as 200,000."""

HELD: Final = 32
"""Kept rows that a rare shingle lists."""

ENOUGH: Final = 512
"""Rows listed by rare shingles that a row looks at."""

ROOM: Final = 1 << 12


@inline
def _overlap(values: NDArray[np.uint64], a: int, a_end: int, b: int, b_end: int, need: int) -> int:
    """Count the shared values of two ascending sets; 0 as soon as it cannot reach `need`.

    Branchless, with 16 steps between checks of the bound: a processor cannot predict comparisons of hashes.
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
    """Return the Jaccard similarity of two sets, or 0 if it is below `bound`."""
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
    """Write to `out` the rarest shingles of a set, as many as any near set must share one of; return how many.

    A shingle is written as 16 bits of its count and 48 of its own; as 0 if no other row has it. Sorted by shellsort:
    Numba takes a second to compile NumPy's sort.
    """
    for k in range(size):
        shingle = values[np.uint64(start + k)]
        count = common[shingle & np.uint64(len(common) - 1)]
        out[k] = np.uint64(count) << np.uint64(48) | shingle >> np.uint64(16)
    gap = 1
    while 9 * gap < 4 * size:
        gap = gap * 9 // 4 + 1
    while gap:
        for k in range(gap, size):
            word, at = out[np.uint64(k)], k
            while at >= gap and out[np.uint64(at - gap)] > word:
                out[np.uint64(at)] = out[np.uint64(at - gap)]
                at -= gap
            out[np.uint64(at)] = word
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
    candidates: NDArray[np.int32],
    count: int,
) -> int:
    """Append the rows of the chain from `entry` that row `i` has not seen; return the new count."""
    while entry >= 0:
        j = pool[entry, 0]
        if seen[j] != i:
            seen[j] = i
            candidates[count] = j
            count += 1
        entry = pool[entry, 1]
    return count


@inline
def _bucket_candidates(
    i: int | np.integer,
    bucket: NDArray[np.int32],
    chain: NDArray[np.int32],
    pool: NDArray[np.int32],
    seen: NDArray[np.int32],
    candidates: NDArray[np.int32],
) -> tuple[int, bool]:
    """Write the kept rows in the buckets of row `i`; return how many, and whether a bucket is full."""
    count, full = 0, False
    for k in range(bucket.shape[1]):
        mine = bucket[i, k]
        if mine >= 0 and chain[mine, 1] > MOST:
            full = True
        elif mine >= 0:
            count = _follow(i, chain[mine, 0], pool, seen, candidates, count)
    return count, full


@inline
def _shingle_candidates(
    i: int | np.integer,
    rarest: NDArray[np.uint64],
    rare: int,
    words: NDArray[np.uint64],
    chains: NDArray[np.int32],
    pool: NDArray[np.int32],
    seen: NDArray[np.int32],
    candidates: NDArray[np.int32],
    count: int,
) -> int:
    """Append the kept rows with one of these shingles that row `i` has not seen."""
    looked = 0
    for k in range(rare):  # the place of 0 is empty, and leads nowhere
        place = key_slot(words, rarest[k])
        looked += chains[place, 1]
        if looked > ENOUGH:
            break
        count = _follow(i, chains[place, 0], pool, seen, candidates, count)
    return count


@inline
def _enter_buckets(
    i: int | np.integer,
    bucket: NDArray[np.int32],
    chain: NDArray[np.int32],
    pool: NDArray[np.int32],
    used: int,
    waiting: NDArray[np.int32],
) -> tuple[int, int]:
    """Enter row `i` in its buckets, and write to `waiting` the rows to be found by their shingles from now on.

    Returns the entries used and the number of waiting rows.
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
def _enter_shingles(
    i: int | np.integer,
    rarest: NDArray[np.uint64],
    count: int,
    words: NDArray[np.uint64],
    chains: NDArray[np.int32],
    pool: NDArray[np.int32],
    used: int,
) -> tuple[int, int]:
    """Enter row `i` under its rarest shingles; return the entries used and the number of new shingles."""
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
    candidates: NDArray[np.int32],
    count: int,
    threshold: float,
) -> tuple[int, float]:
    """Return the most similar candidate, the earliest of equals, or -1 if none reaches the threshold."""
    values, start, size = sets
    best, score = -1, threshold
    for k in range(count):
        j = candidates[k]
        found = _similarity(values, start, size, i, j, score)
        if found > score or (found == score and (best < 0 or j < best)):
            best, score = int(j), found
    return best, score if best >= 0 else 0.0


class SolverState(NamedTuple):
    """The state of `_decide`, which stops when it needs more space and resumes there.

    `chain` has one chain per bucket: its newest entry in `pool` (-1: none) and its length. An entry is a row and the
    previous entry. `words` and `chains` are an open table from rare shingles to chains. `state` is the next row, the
    entries used, the shingles in the table, the rows waiting to be entered there, and the comparisons made.
    """

    kept: NDArray[np.int32]
    score: NDArray[np.float64]
    chain: NDArray[np.int32]
    pool: NDArray[np.int32]
    words: NDArray[np.uint64]
    chains: NDArray[np.int32]
    seen: NDArray[np.int32]
    entered: NDArray[np.bool_]
    candidates: NDArray[np.int32]
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
    """Return for each row the one it duplicates (-1: none), their similarity, and the number of comparisons.

    `sets` are shingles, and the start and size of each row's, which ascend; rows are in order of priority. `bucket` has
    the buckets of a row, numbers below `buckets` or -1. `common` counts the shingles of the rows whose buckets may
    become full, by their low bits.
    """
    rows, bands = bucket.shape
    solver = SolverState(
        kept=np.full(rows, -1, np.int32),
        score=np.zeros(rows),
        chain=_chains(buckets),
        pool=np.empty((ROOM + bands, 2), np.int32),
        words=np.zeros(ROOM, np.uint64),
        chains=_chains(ROOM),
        seen=np.full(rows, -1, np.int32),
        entered=np.zeros(rows, np.bool_),
        candidates=np.empty(bands * MOST + ENOUGH, np.int32),
        waiting=np.empty(bands * (MOST + 1), np.int32),
        rarest=np.empty(sets[2].max(initial=0), np.uint64),
        state=np.zeros(5, np.int64),
    )
    while not _decide(sets, protect, bucket, common, threshold, solver):
        solver = _with_room(solver)
    return solver.kept, solver.score, int(solver.state[4])


def _chains(count: int) -> NDArray[np.int32]:
    chains = np.zeros((count, 2), np.int32)
    chains[:, 0] = -1
    return chains


def _with_room(solver: SolverState) -> SolverState:
    """Return the state with space for twice the entries, and for the shingles these may need."""
    pool = np.empty((2 * len(solver.pool) + len(solver.rarest), 2), np.int32)
    pool[: len(solver.pool)] = solver.pool
    words, chains = solver.words, solver.chains
    while len(words) < 2 * (solver.state[2] + len(solver.rarest)):
        words, chains = np.zeros(2 * len(words), np.uint64), _chains(2 * len(chains))
    if len(words) > len(solver.words):
        _move(solver.words, solver.chains, words, chains)
    return solver._replace(pool=pool, words=words, chains=chains)


@kernel
def _decide(
    sets: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]],
    protect: NDArray[np.bool_],
    bucket: NDArray[np.int32],
    common: NDArray[np.uint16],
    threshold: float,
    solver: SolverState,
) -> bool:
    """Decide the rows in order; return whether all are decided."""
    kept, score, chain, pool, words, chains, seen, entered, candidates, waiting, rarest, state = solver
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
                used, fresh = _enter_shingles(j, rarest, rare, words, chains, pool, used)
                known += fresh
            waits -= 1
        if waits or i == len(size) or used + bucket.shape[1] > len(pool):
            break
        if not protect[i]:
            count, full = _bucket_candidates(i, bucket, chain, pool, seen, candidates)
            if full:
                rare, whose = _rarest(values, start[i], size[i], common, threshold, rarest), i
                count = _shingle_candidates(i, rarest, rare, words, chains, pool, seen, candidates, count)
            comparisons += count
            kept[i], score[i] = _choose(sets, i, candidates, count, threshold)
        if kept[i] < 0:
            used, waits = _enter_buckets(i, bucket, chain, pool, used, waiting)
        i += 1
    state[0], state[1], state[2], state[3], state[4] = i, used, known, waits, comparisons
    return i == len(size) and not waits
