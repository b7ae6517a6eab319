"""Signatures are datasketch's, bit by bit, and bands find the share of pairs that they promise."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.kernels.buffers import frozen
from curate.text.minhash import (
    RECALL,
    SKETCHED,
    Bands,
    band_keys,
    bands_for,
    lean_minhashes,
    most_apart,
    signatures,
)

SETS = st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=5)


def lists(sets: list[Any]) -> pa.ListArray:
    return pa.array(sets, pa.list_(pa.uint64()))


def theirs(members: list[int], num_perm: int) -> list[int]:
    from datasketch import MinHash

    minhash = MinHash(num_perm, hashfunc=lambda word: word, scheme="affine32")
    for word in members:
        minhash.update(word & 0xFFFFFFFF)
    return minhash.hashvalues.tolist()


@given(SETS, st.integers(1, 40))
def test_signatures_are_those_of_datasketch(sets: list[list[int]], num_perm: int) -> None:
    found = signatures(lists(sets), num_perm)
    assert found.shape == (len(sets), num_perm)
    assert found.dtype == np.uint32
    assert found.tolist() == [theirs(members, num_perm) for members in sets]


def test_a_slice_and_a_null_read_as_what_they_are() -> None:
    sets = lists([[9], [1, 2], None, [3]])
    assert signatures(sets, 8)[2].tolist() == theirs([], 8)
    assert signatures(sets.slice(1), 8).tolist() == [theirs(each, 8) for each in ([1, 2], [], [3])]
    assert signatures(sets.slice(3), 8).tolist() == [theirs([3], 8)]


def test_lean_minhashes_go_into_the_indexes_of_datasketch() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from datasketch import MinHashLSH

    first, second, third = lean_minhashes(signatures(lists([range(100), range(1, 100), range(500, 600)])))
    index = MinHashLSH(threshold=0.8, num_perm=128)
    index.insert("first", first)
    assert index.query(second) == ["first"]
    assert index.query(third) == []
    assert first.jaccard(second) > 0.9


@pytest.mark.parametrize("num_perm", [2, 16, 128, 256])
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.7, 0.8, 0.9, 0.99, 0.9999])
def test_bands_are_the_narrowest_that_reach_the_recall(threshold: float, num_perm: int) -> None:
    def recall(places: int) -> float:
        return float(1 - (1 - threshold**places) ** (num_perm // places))

    reached = [places for places in range(1, num_perm + 1) if recall(places) >= RECALL]
    if reached:
        assert bands_for(threshold, num_perm) == (num_perm // max(reached), max(reached))
    else:
        with pytest.raises(MixtureError, match=r"give num_perm=\d+ or a higher threshold"):
            bands_for(threshold, num_perm)


def test_the_number_of_permutations_that_an_error_names_is_enough() -> None:
    with pytest.raises(MixtureError, match="give num_perm=528") as error:
        bands_for(0.01, 128)
    assert "99.5%" in str(error.value)
    assert bands_for(0.01, 528) == (528, 1)
    assert bands_for(1, 2) == (0, 0)


@given(SETS, st.sampled_from([0.3, 0.8, 0.9]))
def test_sets_share_a_hash_of_a_band_where_their_signatures_agree(sets: list[list[int]], threshold: float) -> None:
    bands = bands_for(threshold, 64)
    sizes = [len(members) for members in sets]
    offsets = np.cumsum([0, *sizes])
    values = frozen(np.array([word for members in sets for word in members], np.uint64))
    found = band_keys(values, frozen(offsets), bands, 64).hashes
    assert found.shape == (bands.number, len(sets))
    signed = signatures(lists(sets), 64)
    for band in range(bands.number):
        places = slice(band * bands.places, (band + 1) * bands.places)
        for i, a in enumerate(signed):
            for j, b in enumerate(signed):
                if sizes[i] and sizes[j]:
                    assert (found[band, i] == found[band, j]) == (a[places] == b[places]).all()


@given(SETS, st.sampled_from([Bands(2, 3), Bands(21, 6), Bands(0, 0)]))
def test_a_sketch_has_a_bit_of_each_place(sets: list[list[int]], bands: Bands) -> None:
    offsets = np.cumsum([0, *map(len, sets)])
    values = frozen(np.array([word for members in sets for word in members], np.uint64))
    found = band_keys(values, frozen(offsets), bands, 128).sketch
    places = min(bands.number * bands.places, SKETCHED)
    bits = [[value * 0x9E3779B1 % 2**32 >> 31 for value in row[:places]] for row in signatures(lists(sets)).tolist()]
    expected = [sum(bit << k for k, bit in enumerate(row)) if own else 0 for row, own in zip(bits, sets, strict=True)]
    assert [low | high << 64 for low, high in found.T.tolist()] == expected


def test_pairs_at_the_threshold_meet_as_often_as_promised() -> None:
    chance = np.random.default_rng(5)
    pairs = 4000
    words = chance.integers(1, 2**64, (pairs, 100), dtype=np.uint64)
    sets = np.concatenate([words[:, :90], words[:, 10:]], axis=1)  # each pair shares 80 of 100
    values, offsets = frozen(sets.ravel()), frozen(np.arange(2 * pairs + 1) * 90)
    found = band_keys(values, offsets, bands_for(0.8, 128), 128)
    shared = (found.hashes[:, ::2] == found.hashes[:, 1::2]).any(axis=0).mean()
    assert shared >= RECALL
    near = np.bitwise_count(found.sketch[:, ::2] ^ found.sketch[:, 1::2]).sum(axis=0)
    assert near.max() <= most_apart(0.8, bands_for(0.8, 128))
    assert near.mean() == pytest.approx(12.6, abs=0.2)
    other = np.bitwise_count(found.sketch[:, ::2] ^ np.roll(found.sketch[:, 1::2], 1, axis=1)).sum(axis=0)
    assert other.min() > most_apart(0.8, bands_for(0.8, 128))
    assert other.mean() == pytest.approx(63, abs=0.3)
    assert bands_for(0.8, 128) == Bands(21, 6)
