"""Near-duplicates: found by their keys, verified, and grouped whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.curation import duplicates
from midb_ray.signals import minhash

TEXTS = [
    "List three rivers of Europe and say where they end, please.",
    "An unlike text about cooking rice for six people.",
]


def sketches(texts: list[str]) -> np.ndarray:
    return minhash.sketch(minhash.signatures(texts))


def test_a_key_alone_makes_no_duplicate() -> None:
    found = sketches([TEXTS[0], TEXTS[1], TEXTS[0]])
    assert duplicates.edges(np.zeros(3, np.uint64), np.arange(3), found, 0.8).tolist() == [[0, 2]]
    assert duplicates.edges(np.arange(3, dtype=np.uint64), np.arange(3), found, 0.8).tolist() == []


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_row_have_no_duplicates(count: int) -> None:
    found = duplicates.edges(np.zeros(count, np.uint64), np.arange(count), sketches(TEXTS[:count]), 0.8)
    assert found.shape == (0, 2)


def test_thousands_with_one_key_are_each_tied_to_one_other() -> None:
    found = np.repeat(sketches(TEXTS), 5_000, axis=0)
    pairs = duplicates.edges(np.zeros(10_000, np.uint64), np.arange(10_000), found, 0.8)
    label = np.arange(10_000)
    duplicates.join(label, pairs)
    duplicates.settle(label)
    assert label.tolist() == [0] * 5_000 + [5_000] * 5_000


def test_pairs_are_the_same_in_any_order_of_rows() -> None:
    texts = [f"{TEXTS[0]} {'x' * (number % 7)} {number % 5}" for number in range(60)]
    keys, found = np.arange(60, dtype=np.uint64) % np.uint64(2), sketches(texts)
    groups = []
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(60)
        label = np.arange(60)
        duplicates.join(label, duplicates.edges(keys[order], order, found[order], 0.8))
        duplicates.settle(label)
        groups.append(label.tolist())
    assert groups[0] == groups[1]


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60), st.integers(1, 7))
def test_groups_are_connected_components_however_the_pairs_come(pairs: list[tuple[int, int]], step: int) -> None:
    label = np.arange(30)
    for start in range(0, len(pairs), step):
        duplicates.join(label, np.array(pairs[start : start + step], np.int64))
    duplicates.settle(label)
    expected = list(range(30))
    for _ in range(30):
        for one, other in pairs:
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert label.tolist() == expected
