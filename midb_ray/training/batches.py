"""Which examples make which step, and which of them go through the model together.

A step's examples follow from the seed and the step alone, never from the number of workers: a run that goes on with fewer of them
sees the same examples in the same steps. The order is a seeded permutation of the training set for each epoch, one after the other;
how many examples have been taken from it is the whole position in the data.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


class Schedule:
    """The steps of a run: `batch_size` examples each, or as many as reach `batch_tokens`; the last one may be smaller.

    `lengths` are the examples' tokens.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.integer],
        epochs: float,
        batch_size: int,
        batch_tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        self._count, self._seed = len(lengths), seed
        total = max(round(epochs * self._count), 1)
        self._orders: dict[int, Indices] = {}
        if batch_tokens is None:
            self._starts = np.append(np.arange(0, total, batch_size), total)
        else:
            self._starts = _starts(lengths[self._taken(0, total)], batch_tokens)

    @property
    def steps(self) -> int:
        return len(self._starts) - 1

    @property
    def examples(self) -> int:
        """Examples that the whole run takes, repeated ones included."""
        return int(self._starts[-1])

    def offset(self, step: int) -> int:
        """How many examples were taken before a step (from 0)."""
        return int(self._starts[step])

    def indices(self, step: int) -> Indices:
        """The examples of a step (from 0)."""
        return self._taken(self.offset(step), self.offset(step + 1))

    def _taken(self, begin: int, end: int) -> Indices:
        parts = []
        while begin < end:
            epoch, place = divmod(begin, self._count)
            part = self._order(epoch)[place : place + end - begin]
            parts.append(part)
            begin += len(part)
        return np.concatenate(parts)

    def _order(self, epoch: int) -> Indices:
        if epoch not in self._orders:
            if len(self._orders) > 1:
                del self._orders[min(self._orders)]
            self._orders[epoch] = permutation(self._count, self._seed, epoch)
        return self._orders[epoch]


def permutation(count: int, seed: int, epoch: int) -> Indices:
    """An order of `count` examples: sorted by a hash (splitmix64, Steele et al. 2014), so that no library's version changes it."""
    with np.errstate(over="ignore"):
        start = _splitmix(np.uint64(seed) + np.uint64(epoch + 1) * np.uint64(0x632BE59BD9B4E019))
        hashes = _splitmix(np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start)
    return np.argsort(hashes, kind="stable").astype(np.int64)


def pack(lengths: Sequence[int], budget: int, workers: int, together: bool = True) -> list[list[list[int]]]:
    """The micro-batches of a step for each worker, as places in `lengths`: at most `budget` tokens in each, as many for
    each worker, and about as many tokens; not `together`: one example in each. A worker without examples has empty ones.

    Longest first into the emptiest (Graham 1969), with as few micro-batches as there can be.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    rounds = max(math.ceil(sum(lengths) / (budget * workers)), 1) if together else math.ceil(len(lengths) / workers)
    while True:
        bins = _spread(lengths, order, budget, rounds * workers, together)
        if bins is not None:
            # Neighbours have about the same number of tokens: what is computed at the same time ends at the same time.
            bins.sort(key=lambda one: -sum(lengths[place] for place in one))
            return [bins[rank::workers] for rank in range(workers)]
        rounds += 1


def _spread(
    lengths: Sequence[int], order: Sequence[int], budget: int, count: int, together: bool
) -> list[list[int]] | None:
    bins: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, number) for number in range(count)]
    for place in order:
        filled, number = emptiest[0]
        if bins[number] and (filled + lengths[place] > budget or not together):
            return None
        bins[number].append(place)
        heapq.heapreplace(emptiest, (filled + lengths[place], number))
    return bins


def _starts(lengths: npt.NDArray[np.integer], batch_tokens: int) -> npt.NDArray[np.int64]:
    """Where steps begin that take examples until they have so many tokens, and the end."""
    ends = np.cumsum(lengths, dtype=np.int64)
    starts, tokens = [0], 0
    while starts[-1] < len(lengths):
        reached = int(np.searchsorted(ends, tokens + batch_tokens, side="left"))
        starts.append(min(reached + 1, len(lengths)))
        tokens = int(ends[starts[-1] - 1])
    return np.asarray(starts, dtype=np.int64)


def _splitmix(value: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))
