"""How far a revised pair is from the raw one: character Levenshtein over the serialised form."""

from __future__ import annotations

from typing import Final

from rapidfuzz.distance import Levenshtein

from midb_ray.pairs import Text
from midb_ray.prompts import serialise

DISTANCE_CAP: Final = 10_000
"""The largest distance: a pair with more edits than this counts as having this many."""

LONGEST: Final = 1_000_000
"""Pairs of more characters than this are not compared: any difference at all counts as `DISTANCE_CAP`."""


def distance(before: Text, after: Text) -> int:
    """Edits (characters inserted, deleted or replaced) between two texts as they are serialised for a booster: the labelled
    concatenation of instruction, input (left out when empty) and response (MIDB, arXiv 2505.17671). 0 to `DISTANCE_CAP`.

    Linear in the length of the texts, because the cap bounds the band of the comparison.
    """
    if before == after:
        return 0
    old, new = serialise(before), serialise(after)
    if max(len(old), len(new)) > LONGEST:
        return DISTANCE_CAP
    return min(int(Levenshtein.distance(old, new, score_cutoff=DISTANCE_CAP)), DISTANCE_CAP)
