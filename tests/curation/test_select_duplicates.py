"""Near-duplicates: found by their keys, verified, and grouped whatever the order."""

from __future__ import annotations

import numpy as np

from midb_ray.curation import duplicates
from midb_ray.signals import minhash


def test_a_key_alone_makes_no_duplicate() -> None:
    text = "List three rivers of Europe and say where they end, please."
    found = minhash.sketch(minhash.signatures([text, "An unlike text about cooking rice for six people.", text]))
    pairs = duplicates.edges(np.zeros(3, np.uint64), np.arange(3), found, 0.8)
    assert pairs.tolist() == [[0, 2]]


def test_groups_are_connected_components_in_any_order_of_pairs() -> None:
    pairs = np.array([[4, 5], [1, 4], [2, 3], [0, 5]])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        assert duplicates.groups(7, pairs[order]).tolist() == [0, 0, 2, 2, 0, 0, 6]
