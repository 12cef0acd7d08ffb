"""Totals of a corpus from two samples of it: a large one that was only looked at, and a small one that went through the engine.

Strata are languages, each cut into three classes of length. What a pair takes is estimated in each stratum by its ratio to the
characters of the pair (double sampling, ratio estimator: Cochran, Sampling Techniques, 1977, chapters 6 and 12). The error has two
parts: that of the pilot, from the residuals of its pairs and of its shards' totals, the larger of the two; and that of the look,
from the totals of its shards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

CLASSES = 3  # of length in a language
ENOUGH = 15  # pairs of the pilot in a stratum; with fewer those of other strata help to speak for it
_NORMAL = 1.6449  # the 95 % quantile: an interval of 90 %
_MOST_LEVERAGE = 0.9
_FAINT = 1e-5
_CLUSTERS = 8  # totals of fewer shards say little of how they differ

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float = 0.0

    @property
    def low(self) -> float:
        """The lower end of the 90 % interval."""
        return max(self.value - _NORMAL * self.error, 0.0)

    @property
    def high(self) -> float:
        """The upper end of the 90 % interval."""
        return self.value + _NORMAL * self.error

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(self.value * factor, self.error * abs(factor))

    def by(self, other: Estimate) -> Estimate:
        """The product of two that have nothing to do with each other."""
        value = self.value * other.value
        return Estimate(value, math.hypot(self.error * other.value, other.error * self.value))

    def plus(self, amount: float) -> Estimate:
        """The sum with something that is known."""
        return Estimate(self.value + amount, self.error)

    def to_dict(self) -> dict[str, float]:
        """As plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Sample:
    """Pairs: language of each, what it is measured by (characters), and the shard that it was read in."""

    languages: npt.NDArray[Any]
    characters: Numbers
    units: Places

    @property
    def size(self) -> int:
        """The number of pairs."""
        return len(self.units)


class Strata:
    """Languages and lengths of the `seen` pairs, `expansion` times as many as which there are, and the pairs of a `pilot` that
    stand for each. The units of `seen` are places in `unit_rows`, the numbers of rows of the shards that were looked at; `share` is
    the part of the whole that they are: 1 leaves no error of its own."""

    def __init__(self, seen: Sample, unit_rows: Numbers, pilot: Sample, expansion: float, share: float) -> None:
        self.seen, self.unit_rows, self.pilot, self.expansion, self.share = seen, unit_rows, pilot, expansion, share
        self.languages = [str(one) for one in np.unique(seen.languages)]
        self.borrowed: list[str] = []  # languages without a pair in the pilot
        self._cells = np.zeros(seen.size, dtype=np.int64)
        self._donors: list[Places] = []
        self._lent: list[bool] = []  # whether a stratum has too few pairs of the pilot to speak for itself
        known = [str(one) for one in np.unique(pilot.languages)]
        self._own = np.stack([pilot.languages == one for one in known], axis=1).astype(np.float64)
        self._slopes = [self._share_of(known, language) for language in self.languages]
        for number, language in enumerate(self.languages):
            mine = seen.languages == language
            edges = np.quantile(seen.characters[mine], np.arange(1, CLASSES) / CLASSES)
            self._cells[mine] = number * CLASSES + np.searchsorted(edges, seen.characters[mine], side="left")
            spoken = np.flatnonzero(pilot.languages == language)
            if not len(spoken):
                self.borrowed.append(language)
                spoken = np.arange(pilot.size)
            classes = np.searchsorted(edges, pilot.characters[spoken], side="left")
            for one in range(CLASSES):
                inside = spoken[classes == one]
                self._donors.append(inside if len(inside) >= ENOUGH else spoken)
                self._lent.append(len(inside) < ENOUGH)

    @staticmethod
    def _share_of(known: list[str], language: str) -> Numbers:
        """How much of the slope of each known language is that of this one: all of its own, or of every one as much."""
        if language in known:
            return np.array([float(one == language) for one in known])
        return np.full(len(known), 1 / len(known))

    def pairs(self, language: str | None = None) -> Estimate:
        """How many pairs there are."""
        return self._total(np.ones(self.seen.size), np.ones(self.pilot.size), np.ones(self.pilot.size), language)

    def count(self, happened: npt.NDArray[np.bool_], language: str | None = None) -> Estimate:
        """To how many pairs something happens that `happened` to these of the pilot."""
        return self._total(np.ones(self.seen.size), happened.astype(np.float64), np.ones(self.pilot.size), language)

    def seen_count(self, which: npt.NDArray[np.bool_], language: str | None = None) -> Estimate:
        """How many pairs are as these of the seen ones."""
        return self._total(which.astype(np.float64), np.ones(self.pilot.size), np.ones(self.pilot.size), language)

    def amount(
        self, taken: Numbers, language: str | None = None, without: npt.NDArray[np.bool_] | None = None
    ) -> Estimate:
        """What all pairs take together, of which each of the pilot has `taken` so much; those of the seen pairs that are `without`
        take nothing."""
        there = np.ones(self.seen.size) if without is None else np.where(without, 0.0, 1.0)
        return self._total(self.seen.characters * there, taken, self.pilot.characters, language, there)

    def _total(
        self, measure: Numbers, taken: Numbers, by: Numbers, language: str | None, there: Numbers | None = None
    ) -> Estimate:
        """The sum over all strata. With `there`, the seen pairs that count, a stratum with too few pairs of its own is estimated by
        the regression over the whole pilot, since what a pair takes has a part that its length does not change: a few short pairs
        would say far too much of each character."""
        wanted = range(len(self._donors))
        if language is not None:
            first = self.languages.index(language) * CLASSES
            wanted = range(first, first + CLASSES)
        sums = np.bincount(self._cells, weights=measure, minlength=len(self._donors)) * self.expansion
        counts = np.bincount(self._cells, weights=there, minlength=len(self._donors)) * self.expansion
        lines = np.zeros(
            (len(self._donors), 2)
        )  # of each stratum: what a pair takes, and what each character of it takes
        influence = np.zeros(self.pilot.size)
        thin = [cell for cell in wanted if there is not None and self._lent[cell] and by.any()]
        for cell in set(wanted).difference(thin):
            donors = self._donors[cell]
            x, y = by[donors], taken[donors]
            if not len(donors) or x.sum() <= 0:
                continue
            lines[cell] = 0.0, y.sum() / x.sum()
            influence[donors] += sums[cell] / x.sum() * (y - lines[cell, 1] * x) * _corrected(len(donors))
        if thin:
            design = self._design(by)
            inverse = np.linalg.pinv(design)
            fitted = inverse @ taken
            weights = np.zeros(len(fitted))
            for cell in thin:
                slope = self._slopes[cell // CLASSES]
                lines[cell] = design[0, 0] * fitted[0], slope @ fitted[1:]
                weights += np.concatenate([[design[0, 0] * counts[cell]], sums[cell] * slope])
            # A pair that pulls the line to itself leaves little to be seen of its error: MacKinnon and White, 1985 (HC3).
            leverage = np.minimum(np.einsum("ij,ji->i", design, inverse), _MOST_LEVERAGE)
            influence += (weights @ inverse) * (taken - design @ fitted) / (1 - leverage)
        value = float(counts @ lines[:, 0] + sums @ lines[:, 1])
        expected = measure * lines[self._cells, 1]
        if there is not None:
            expected = expected + there * lines[self._cells, 0]
        return Estimate(max(value, 0.0), math.hypot(_error(influence, self.pilot.units), self._error_of_look(expected)))

    def _design(self, by: Numbers) -> Numbers:
        """Of the regression that speaks for thin strata: what any pair takes, in a faint unit, and what a character takes in each
        language. Where pairs of one length cannot tell the two apart, the least squares of least norm then leave it to the
        characters."""
        return np.column_stack([np.full(len(by), _FAINT * by.mean()), self._own * by[:, None]])

    def _error_of_look(self, expected: Numbers) -> float:
        """The standard error of having seen a part of the shards, at equal distances: from the differences of neighbours (Wolter,
        Introduction to Variance Estimation, 2007, chapter 8), as shards of one file are alike."""
        if self.share >= 1:
            return 0.0
        count = len(self.unit_rows)
        if count < 2:
            return float(expected.sum()) * self.expansion  # one shard says nothing of the others
        totals = np.bincount(self.seen.units, weights=expected, minlength=count)
        steps = np.diff(totals - totals.sum() / self.unit_rows.sum() * self.unit_rows)
        return self.expansion * math.sqrt((1 - self.share) * count / (2 * (count - 1)) * float(steps @ steps))


def ratio(taken: Numbers, by: Numbers) -> Estimate:
    """What one unit takes, from parts that took so much by so many units."""
    base = float(by.sum())
    if base <= 0:
        return Estimate(0.0)
    value = float(taken.sum()) / base
    rest = (taken - value * by) / base
    return Estimate(value, float(np.sqrt((rest * rest).sum())) * _corrected(len(taken)))


def _error(influence: Numbers, units: Places) -> float:
    """The standard error of a sum from what each pair adds to it: as if drawn singly or by shards, whichever is more."""
    single = float(influence @ influence)
    _, unit = np.unique(units, return_inverse=True)
    totals = np.bincount(unit, weights=influence)
    together = float(totals @ totals) * _corrected(len(totals)) ** 2 if len(totals) >= _CLUSTERS else 0.0
    return math.sqrt(max(single, together))


def _corrected(count: int) -> float:
    """For a sample of so many: one degree of freedom is spent, and the tails are Student's (first term of their expansion)."""
    if count < 2:
        return 1.0
    return math.sqrt(count / (count - 1)) * (1 + (_NORMAL**2 + 1) / (4 * (count - 1)))
