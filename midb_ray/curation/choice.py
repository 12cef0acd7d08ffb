"""Which units stay: each rule takes from what the one before has left, by language, the worst first.

Pure functions of what is known of the units. Ties are broken by a hash of row and texts, so that neither the order in which runs
were given nor that in which tasks ended changes anything.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from midb_ray.curation import units
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.curation.units import Units

REASONS: Final = ("kept", "threshold", "finding", "duplicate", "quota", "score", "limit")
"""What a verdict means: that a unit is kept, or why it is left out."""

KEPT, THRESHOLD, FINDING, DUPLICATE, QUOTA, SCORE, LIMIT = range(7)

Places = npt.NDArray[np.int64]


class Choice(NamedTuple):
    """The verdict on each unit, and for a duplicate the unit that stays in its place (otherwise itself)."""

    verdict: npt.NDArray[np.uint8]
    instead: Places


def choose(known: Units, group: Places, settings: SelectSettings) -> Choice:
    """The choice among all units. `group` has the first unit of each one's group of duplicates."""
    verdict = np.zeros(len(known.state), np.uint8)
    verdict[known.state == units.BELOW] = THRESHOLD
    verdict[known.state == units.FOUND] = FINDING
    instead = _best_of_groups(known, group)
    verdict[instead != np.arange(len(instead))] = DUPLICATE
    for language in range(len(known.languages)):
        mine = np.flatnonzero((known.language == language) & (verdict == KEPT))
        mine = mine[_best_first(known, mine)]
        diversity = settings.diversity
        if diversity.on:  # a conversation is one of its cluster, however long it is
            most = min(_share(diversity.share or 1, len(mine)), diversity.pairs or len(mine))
            mine = _leave_out(verdict, mine, _in_cluster(known, mine) > most, QUOTA)
        total = int(known.rows[mine].sum())
        before = (
            np.cumsum(known.rows[mine]) - known.rows[mine]
        )  # a conversation that reaches beyond the share is kept whole
        mine = _leave_out(verdict, mine, before >= _share(settings.keep, total), SCORE)
        if settings.limit is not None:
            _leave_out(verdict, mine, np.cumsum(known.rows[mine]) > settings.limit, LIMIT)
    return Choice(verdict, instead)


def _best_of_groups(known: Units, group: Places) -> Places:
    """For each unit the best of its group."""
    instead = np.arange(len(group))
    shared = np.zeros(len(group), bool)
    others = np.flatnonzero(group != instead)
    shared[others] = shared[group[others]] = True
    mine = np.flatnonzero(shared)
    mine = mine[np.lexsort((*_rank(known, mine), group[mine]))]
    first = np.r_[True, group[mine][1:] != group[mine][:-1]] if len(mine) else np.empty(0, bool)
    instead[mine] = mine[first][np.cumsum(first) - 1]
    return instead


def _rank(known: Units, some: Places) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
    """Keys for `lexsort`, that of most weight last: the best comes first."""
    return known.tie[some], -known.score[some]


def _best_first(known: Units, some: Places) -> Places:
    return np.lexsort(_rank(known, some))


def _share(share: float, total: int) -> int:
    """A share of so many pairs, at least one."""
    return max(math.ceil(share * total - 1e-9), 1)


def _in_cluster(known: Units, ranked: Places) -> Places:
    """For each unit how many of its cluster there are, from the best to itself."""
    order = np.argsort(known.cluster[ranked], kind="stable")
    clusters = known.cluster[ranked][order]
    first = np.r_[True, clusters[1:] != clusters[:-1]] if len(order) else np.empty(0, bool)
    places = np.arange(len(order))
    found = np.empty(len(order), np.int64)
    found[order] = places - places[first][np.cumsum(first) - 1] + 1
    return found


def _leave_out(verdict: npt.NDArray[np.uint8], ranked: Places, too_many: npt.NDArray[np.bool_], reason: int) -> Places:
    """The units that stay; the others get the reason."""
    verdict[ranked[too_many]] = reason
    return ranked[~too_many]
