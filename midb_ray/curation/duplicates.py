"""Near-duplicates among rows that share a bucket of band keys, and the groups that such pairs make."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from midb_ray.signals import minhash

_LEADERS: Final = 16  # rows of one key that others are compared with: the work stays linear where thousands share a key

Rows = npt.NDArray[np.int64]


def edges(keys: npt.NDArray[np.uint64], rows: Rows, sketches: npt.NDArray[np.uint8], threshold: float) -> Rows:
    """Pairs of rows (n, 2), the earlier first, with equal keys and an estimated similarity of at least `threshold`; the same pairs
    whatever the order of the rows."""
    words = np.ascontiguousarray(sketches).view(np.uint64)
    order = np.lexsort((*words.T, keys))
    keys = keys[order]
    shared = np.zeros(len(keys) + 1, bool)
    shared[1:-1] = keys[1:] == keys[:-1]
    left = np.flatnonzero(shared[1:] | shared[:-1])  # places in that order
    found: list[Any] = [np.empty((0, 2), np.int64)]
    for _ in range(_LEADERS):
        if not len(left):
            break
        first = np.r_[True, keys[left][1:] != keys[left][:-1]]
        leaders = left[first][np.cumsum(first) - 1]
        like = minhash.similarity(sketches[order[leaders]], sketches[order[left]]) >= threshold
        chosen = like & ~first
        found.append(np.stack([rows[order[leaders[chosen]]], rows[order[left[chosen]]]], axis=1))
        left = left[~(like | first)]
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def join(label: Rows, pairs: Rows) -> None:
    """Put the rows of each pair into one group. `label` leads each row to one of its group that is no later, in the end to the
    first; it begins as the rows themselves. Takes time by the pairs, not by the rows."""
    while len(pairs):
        ends = np.sort(_first(label, pairs), axis=1)
        pairs = ends[ends[:, 0] != ends[:, 1]]
        np.minimum.at(label, pairs[:, 1], pairs[:, 0])


def settle(label: Rows) -> None:
    """Lead every row to the first of its group at once."""
    while (label[label] != label).any():
        label[:] = label[label]


def _first(label: Rows, rows: Rows) -> Rows:
    """The first rows of groups, as far as they are known; the way there becomes shorter."""
    found = label[rows]
    while (label[found] != found).any():
        found = label[found]
    label[rows] = found
    return found
