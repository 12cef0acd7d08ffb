"""From findings to scores: one for each dimension, 0 to 100, and one over all.

A dimension's score is 100 for a pair without findings. Each finding takes its kind's weight, a share, of what is left; of one kind
three count at most, so that a long text is not worse by its length alone. Richness makes the last fifth of the content score. More
findings never raise a score, and more richness never lowers one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import pyarrow.compute as pc

from midb_ray.quality.findings import KINDS, Dimension, Finding

BEST: Final = 100.0
PLAIN: Final = 0.8
"""The share of the content score that a response without any richness has; CoachLM's rubric puts it between 80 and 90."""

_MOST: Final = 3  # findings of one kind that count


class Scores(NamedTuple):
    """What a pair is worth, 0 to 100 in each dimension."""

    content: float
    translation: float
    localisation: float

    @property
    def overall(self) -> float:
        """See `overall`."""
        return (min(self) + sum(self) / len(self)) / 2


def overall(content: Any, translation: Any, localisation: Any) -> Any:
    """The mean of the worst dimension and of all three, of columns: a pair is not good for two of them."""
    worst = pc.min_element_wise(content, translation, localisation)
    mean = pc.divide(pc.add(pc.add(content, translation), localisation), 3.0)
    return pc.divide(pc.add(worst, mean), 2.0)


def enriched(content: Any, richness: Any) -> Any:
    """The content scores of pairs whose findings alone leave them `content`, with their richness (0 to 1), as columns."""
    return pc.multiply(content, pc.add(pc.multiply(richness, 1 - PLAIN), PLAIN))


def scores(findings: Iterable[Finding]) -> Scores:
    """The scores of a pair with these findings, however rich it is."""
    left: dict[Dimension, float] = {"content": 1.0, "translation": 1.0, "localisation": 1.0}
    for kind, count in Counter(one.kind for one in findings).items():
        left[KINDS[kind].dimension] *= math.pow(1 - KINDS[kind].weight, min(count, _MOST))
    return Scores(**{name: round(BEST * share, 2) for name, share in left.items()})
