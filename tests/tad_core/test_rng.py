"""Keys, and permutations that are worked out where they are read."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from tad_core.rng import Permutation

MILLIONS = 256_000_000


def whole(size: int, *parts: object) -> np.ndarray:
    return Permutation(size, *parts)[np.arange(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 10, 16, 17, 25, 1000, 65_536, 65_537])
def test_every_number_comes_once(size: int) -> None:
    assert sorted(whole(size, "a", 1).tolist()) == list(range(size))


def test_what_stands_at_a_place_does_not_depend_on_what_else_is_asked_for() -> None:
    one = Permutation(MILLIONS, "order", 42, 0)
    place_N = np.array([7, 255_999_999, 0, 7, 123_456_789])
    together = one[place_N].tolist()
    assert [int(one[np.array([place])][0]) for place in place_N] == together
    assert Permutation(MILLIONS, "order", 42, 0)[place_N].tolist() == together
    assert together[0] == together[3]
    assert one[np.array([], dtype=np.int64)].tolist() == []


def test_it_is_what_it_has_always_been() -> None:
    found = [Permutation(size, "order", 42, 3)[np.arange(1000)] for size in (1000, 10**7, MILLIONS, 1 << 33)]
    assert (
        hashlib.sha256(np.concatenate(found).astype("<i8").tobytes()).hexdigest()[:16] == "7788c55eb34f2b54"
    )


@pytest.mark.parametrize("place", [-1, 10])
def test_a_place_that_is_not_there(place: int) -> None:
    with pytest.raises(IndexError, match=f"places {place} to {place} of 10"):
        Permutation(10, "a")[np.array([place])]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_permutations_are_equally_likely(size: int) -> None:
    """Under an odd base only half of them would be: the even ones."""
    seen = Counter(tuple(whole(size, "uniform", key).tolist()) for key in range(1500))
    count = [seen[one] for one in permutations(range(size))]
    assert stats.chisquare(count).pvalue > 1e-3


def test_it_is_as_random_as_a_shuffle() -> None:
    """Fixed points, rises, and what follows what: of 300 permutations of 1,000 numbers."""
    size, times = 1000, 300
    found = np.array([whole(size, "random", key) for key in range(times)])
    fixed = int((found == np.arange(size)).sum())
    assert stats.poisson.cdf(fixed, times) > 1e-3 and stats.poisson.sf(fixed, times) > 1e-3
    rises = (np.diff(found, axis=1) > 0).sum(axis=1)
    z = (rises - (size - 1) / 2) / math.sqrt((size + 1) / 12)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    apart = np.bincount((np.diff(found, axis=1) % size).ravel(), minlength=size)[1:]
    assert stats.chisquare(apart).pvalue > 1e-3


def test_a_stretch_of_a_long_one_comes_from_everywhere() -> None:
    place_N = np.arange(100_000_000, 100_200_000)
    found = Permutation(MILLIONS, "order", 42, 0)[place_N]
    assert stats.kstest(found / MILLIONS, "uniform").pvalue > 1e-3
    assert abs(stats.spearmanr(place_N, found).statistic) < 0.01
    assert stats.chisquare(np.bincount(found % 256, minlength=256)).pvalue > 1e-3  # of each row one in 256


def test_keys_tell_permutations_apart() -> None:
    one = whole(1000, "order", 42, 0)
    for parts in (("order", 42, 1), ("order", 43, 0), ("draws", 42, 0)):
        assert int((whole(1000, *parts) == one).sum()) < 8
