"""The distance is character Levenshtein over the serialised pair, up to a cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.signals.distance import DISTANCE_CAP, LONGEST, distance

TEXTS = st.builds(Text, st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


def levenshtein(before: str, after: str) -> int:
    """The textbook's dynamic programme."""
    row = list(range(len(after) + 1))
    for i, old in enumerate(before, 1):
        previous, row[0] = row[0], i
        for j, new in enumerate(after, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (old != new))
    return row[-1]


def test_edits_of_all_sections_are_counted() -> None:
    assert distance(Text("ab", "cd", "ef"), Text("aB", "cd", "efg")) == 2


def test_an_input_that_is_left_out_counts_with_its_label() -> None:
    assert distance(Text("a", "b", "c"), Text("a", "", "c")) == len("\n<|input|>\nb")


@given(TEXTS, TEXTS)
def test_the_distance_is_levenshteins(before: Text, after: Text) -> None:
    assert distance(before, after) == levenshtein(serialise(before), serialise(after))


def test_more_edits_than_the_cap_count_as_the_cap() -> None:
    assert distance(Text("a", "", "x" * 3 * DISTANCE_CAP), Text("a", "", "y" * 3 * DISTANCE_CAP)) == DISTANCE_CAP


def test_pairs_of_millions_of_characters_are_not_compared() -> None:
    long = Text("a", "", "x" * LONGEST)
    assert distance(long, long._replace(response=long.response + "y")) == DISTANCE_CAP
    assert distance(long, long) == 0
