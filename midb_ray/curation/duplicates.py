"""Near-duplicates among rows that share a bucket of band keys, and the groups that such pairs make."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from midb_ray.signals import minhash

_LEADERS: Final = 16  # rows of one key that others are compared with: the work stays linear where thousands share a key

Rows = npt.NDArray[np.int64]


def edges(keys: npt.NDArray[np.uint64], rows: Rows, sketches: npt.NDArray[np.uint8], threshold: float) -> Rows:
    """Pairs of rows (n, 2), the earlier first, with equal keys and an estimated similarity of at least `threshold`."""
    order = np.lexsort((rows, keys))
    keys, rows, sketches = keys[order], rows[order], sketches[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
    ends = np.r_[starts[1:], len(keys)]
    found: list[Any] = [np.empty((0, 2), np.int64)]
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        left = np.arange(start, end)
        for _ in range(_LEADERS):
            if len(left) < 2:
                break
            like = minhash.similarity(sketches[left[0]], sketches[left[1:]]) >= threshold
            same = rows[left[1:][like]]
            found.append(np.stack([np.full(len(same), rows[left[0]]), same], axis=1))
            left = left[1:][~like]
    return np.unique(np.concatenate(found), axis=0)


def groups(count: int, pairs: Rows) -> Rows:
    """For each of `count` rows the first row of its group (connected component): 8 bytes a row, 16 a pair."""
    label = np.arange(count, dtype=np.int64)
    while len(pairs):
        low = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        high = np.maximum(label[pairs[:, 0]], label[pairs[:, 1]])
        if (low == high).all():
            break
        np.minimum.at(label, high, low)
        while (label[label] != label).any():
            label = label[label]
    return label
