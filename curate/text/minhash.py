"""MinHash signatures of sets of shingles, and the bands under which similar sets meet.

A signature holds, for each of `num_perm` permutations of 32-bit numbers, the least number that the set's members come
to; two sets agree at a place with a probability of about their Jaccard similarity. Signatures are bit-identical to
those of `datasketch.MinHash(num_perm, seed, scheme="affine32")` updated with the low 32 bits of every member.

A band is a stretch of places. Sets of similarity s share a band of r places with a probability of s^r, and at least one
of b such bands with 1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3.4).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.kernels.buffers import Int64s, UInt64s, frozen
from curate.kernels.compile import inline, kernel
from curate.kernels.hashing import mix
from curate.kernels.vector import LANES, least_affine

if TYPE_CHECKING:
    from datasketch import LeanMinHash

SEED: Final = 1
"""The default seed of datasketch's permutations."""

RECALL: Final = 0.995
"""Share of the pairs at the threshold that meet in a band; more of those above it."""

SKETCHED: Final = 128
"""Places of a signature that a sketch has a bit of, at most."""

UNSEEN: Final = 1e-6
"""Share of the pairs at the threshold whose sketches may be too different."""

SPREAD: Final = np.uint32(0x9E3779B1)
"""The factor by which the value at a place is multiplied for its bit, the highest one of the product."""

NOTHING: Final = 2**32 - 1
"""The value at every place of the signature of an empty set."""


class Permutations(NamedTuple):
    """`h -> factor * h + addend` modulo 2^32; every factor is odd."""

    factor: NDArray[np.uint32]
    addend: NDArray[np.uint32]


class Bands(NamedTuple):
    """`number` bands of `places` places each, from the first place on; no band where sets must be equal."""

    number: int
    places: int


class BandKeys(NamedTuple):
    """What tells which of some sets may be similar; of an empty set all is 0, and means nothing.

    `hashes` has a 32-bit hash of each band (the first axis) of each set: sets that agree in a band have its hash in
    common, and others do by a chance of 1 to 2^32. `sketch` (two rows of 64 bits) has a bit for each of the places of
    the bands, or the first `SKETCHED`: of sets that share a hash by chance about half of the bits differ, see
    `most_apart`.
    """

    hashes: NDArray[np.uint32]
    sketch: NDArray[np.uint64]


@functools.cache
def permutations(num_perm: int) -> Permutations:
    """Return the permutations that datasketch 2.0 draws for its scheme "affine32"."""
    chance = np.random.RandomState(SEED)
    factor = chance.randint(0, 1 << 31, num_perm, np.uint32) * np.uint32(2) + np.uint32(1)
    return Permutations(frozen(factor), frozen(chance.randint(0, 1 << 32, num_perm, np.uint32)))


def bands_for(threshold: float, num_perm: int) -> Bands:
    """Return the bands of the most places under which pairs at `threshold` meet with a probability of `RECALL`.

    More places a band mean fewer chance meetings to verify. Sets of similarity 1 are equal, and need no band. Raises
    `MixtureError` for a threshold outside (0, 1], fewer than two permutations, or too few for so low a threshold.

    >>> bands_for(0.8, 128)
    Bands(number=21, places=6)
    >>> bands_for(1.0, 128)
    Bands(number=0, places=0)
    """
    if not 0 < threshold <= 1:
        raise MixtureError(f"threshold={threshold!r} is no similarity: above 0, at most 1")
    if num_perm < 2:
        raise MixtureError(f"num_perm={num_perm!r}: a signature has at least two places; 128 is usual")
    if threshold == 1:
        return Bands(0, 0)
    for places in range(num_perm, 0, -1):
        if 1 - (1 - threshold**places) ** (num_perm // places) >= RECALL:
            return Bands(num_perm // places, places)
    needed = math.ceil(math.log(1 - RECALL) / math.log1p(-threshold))
    raise MixtureError(
        f"threshold={threshold!r}: {num_perm} permutations do not find {RECALL:.1%} of such pairs; "
        f"give num_perm={needed} or a higher threshold"
    )


def signatures(sets: pa.ListArray, num_perm: int = 128) -> NDArray[np.uint32]:
    """Return the signature of each set: rows of `num_perm` uint32.

    `sets` is `list<uint64>`; order and repetition within a list do not matter. An empty or null list has
    `NOTHING` at every place, as an empty `datasketch.MinHash` has.

    >>> sets = pa.array([[1, 2, 3], [3, 2, 1], []], pa.list_(pa.uint64()))
    >>> signatures(sets, num_perm=2).tolist()
    [[2010641705, 2959116297], [2010641705, 2959116297], [4294967295, 4294967295]]
    """
    sets = sets.fill_null(pa.scalar([], sets.type)) if sets.null_count else sets
    offsets = sets.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    values = frozen(sets.values.to_numpy(zero_copy_only=False))
    return _signatures(values, frozen(offsets), *_whole_vectors(num_perm, num_perm), num_perm)


def lean_minhashes(rows: NDArray[np.uint32]) -> list[LeanMinHash]:
    """Return signatures as objects of datasketch, ready for its indexes (`MinHashLSH`, `MinHashLSHForest`).

    >>> first, second = lean_minhashes(signatures(pa.array([[1, 2, 3], [2, 3]], pa.list_(pa.uint64()))))
    >>> first.jaccard(second)
    0.7109375
    """
    from datasketch import LeanMinHash

    return [LeanMinHash(seed=SEED, hashvalues=row, scheme="affine32") for row in rows]


def band_keys(values: UInt64s, offsets: Int64s, bands: Bands, num_perm: int) -> BandKeys:
    """Return the hashes of the bands and the sketch of each set `values[offsets[i]:offsets[i + 1]]`."""
    return BandKeys(*_band_keys(values, offsets, *_whole_vectors(num_perm, bands.number * bands.places), bands))


@functools.cache
def most_apart(threshold: float, bands: Bands) -> int:
    """Return in how many bits the sketches of two sets at `threshold` differ at most, but for one pair in a million.

    A bit is the same where the sets agree at its place, and by chance in half of the other cases.

    >>> most_apart(0.8, Bands(21, 6)), most_apart(0.5, Bands(42, 3)), most_apart(0.9, Bands(2, 1))
    (31, 56, 2)
    """
    places, differs = min(bands.number * bands.places, SKETCHED), (1 - threshold) / 2
    chances = [math.comb(places, k) * differs**k * (1 - differs) ** (places - k) for k in range(places + 1)]
    return next(k for k in range(places + 1) if sum(chances[k + 1 :]) <= UNSEEN)


@functools.cache
def _whole_vectors(num_perm: int, used: int) -> Permutations:
    """Return the first `used` of the permutations, and as many of no meaning as fill up the last vector."""
    filled = np.zeros((2, -(-used // LANES) * LANES), np.uint32)
    filled[:, :used] = [numbers[:used] for numbers in permutations(num_perm)]
    return Permutations(frozen(filled[0]), frozen(filled[1]))


@inline
def _spread32(word: np.uint64) -> np.uint32:
    """Spread the low 32 bits of `word`, as datasketch does before it permutes (MurmurHash3's finaliser)."""
    low = np.uint32(word)
    low = np.uint32(low ^ np.uint32(low >> np.uint32(16)))
    low = np.uint32(low * np.uint32(0x85EBCA6B))
    low = np.uint32(low ^ np.uint32(low >> np.uint32(13)))
    low = np.uint32(low * np.uint32(0xC2B2AE35))
    return np.uint32(low ^ np.uint32(low >> np.uint32(16)))


@inline
def _most(offsets: Int64s) -> int:
    most = 0
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    return most


@inline
def _sign(
    values: UInt64s,
    start: int,
    end: int,
    factor: NDArray[np.uint32],
    addend: NDArray[np.uint32],
    members: NDArray[np.uint32],
    least: NDArray[np.uint32],
) -> None:
    """Write the signature of `values[start:end]` to `least`, and the members as they are permuted to `members`."""
    for k in range(end - start):
        members[k] = _spread32(values[start + k])
    for place in range(0, len(least), LANES):
        least_affine(members, end - start, factor, addend, place, least)


@kernel
def _signatures(
    values: UInt64s, offsets: Int64s, factor: NDArray[np.uint32], addend: NDArray[np.uint32], num_perm: int
) -> NDArray[np.uint32]:
    out = np.empty((len(offsets) - 1, num_perm), np.uint32)
    members, least = np.empty(_most(offsets), np.uint32), np.empty(len(factor), np.uint32)
    for i in range(len(offsets) - 1):
        _sign(values, offsets[i], offsets[i + 1], factor, addend, members, least)
        for k in range(num_perm):
            out[i, k] = least[k]
    return out


@inline
def _bits(least: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """Return the bits of the places from `start` to `end`, at most 64; 0 for none."""
    word = np.uint64(0)
    for k in range(start, end):
        word |= np.uint64(np.uint32(least[k] * SPREAD) >> np.uint32(31)) << np.uint64(k - start)
    return word


@kernel
def _band_keys(
    values: UInt64s, offsets: Int64s, factor: NDArray[np.uint32], addend: NDArray[np.uint32], bands: Bands
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Hash bands beside each other: a vector of them takes a place each at a time."""
    count, places = bands
    out, sketch = np.zeros((count, len(offsets) - 1), np.uint32), np.zeros((2, len(offsets) - 1), np.uint64)
    members, least = np.empty(_most(offsets), np.uint32), np.empty(len(factor), np.uint32)
    words = np.empty(count, np.uint64)
    for i in range(len(offsets) - 1):
        if count == 0 or offsets[i] == offsets[i + 1]:
            continue
        _sign(values, offsets[i], offsets[i + 1], factor, addend, members, least)
        for band in range(count):
            words[band] = np.uint64(band)
        for k in range(places):
            for band in range(count):
                words[band] = mix(words[band] ^ np.uint64(least[band * places + k]))
        for band in range(count):
            out[band, i] = np.uint32(words[band] >> np.uint64(32))
        used = min(count * places, SKETCHED)
        sketch[0, i] = _bits(least, 0, min(used, 64))
        sketch[1, i] = _bits(least, 64, used)
    return out, sketch
