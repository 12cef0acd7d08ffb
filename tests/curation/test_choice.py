"""The choice: rules in their order, the best first, the same whatever the order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.curation import choice, units
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.curation.units import Units


def chosen(known: Units, group: list[int] | None = None, **settings: Any) -> list[str]:
    """The verdict on each unit in words."""
    label = np.arange(len(known.score)) if group is None else np.array(group, np.int64)
    found = choice.choose(known, label, SelectSettings(input=("a",), output="b", **settings))
    return [choice.REASONS[one] for one in found.verdict]


def known(
    scores: list[float],
    language: list[int] | None = None,
    rows: list[int] | None = None,
    state: list[int] | None = None,
    cluster: list[int] | None = None,
    tie: list[int] | None = None,
) -> Units:
    count = len(scores)
    return Units(
        np.array([0, count]),
        ["de", "fr"],
        np.array(language or [0] * count, np.uint16),
        np.array(rows or [1] * count, np.int32),
        np.array(scores, np.float32),
        np.array(tie or range(count), np.uint64),
        np.array(state or [0] * count, np.uint8),
        np.arange(count),
        np.array(cluster or [0] * count, np.uint32),
    )


def test_each_language_keeps_its_own_best_share() -> None:
    found = chosen(known([10, 20, 30, 90, 80, 70, 60], [0, 0, 0, 1, 1, 1, 1]), keep=0.5)
    assert found == ["score", "kept", "kept", "kept", "kept", "score", "score"]


@pytest.mark.parametrize(
    ("count", "keep", "kept"), [(10, 0.7, 7), (30, 0.1, 3), (1, 0.1, 1), (7, 0.5, 4), (1000, 0.29, 290)]
)
def test_a_share_is_rounded_up_and_never_none(count: int, keep: float, kept: int) -> None:
    assert chosen(known([50.0] * count), keep=keep).count("kept") == kept


def test_what_does_not_pass_by_itself_counts_for_nothing_else() -> None:
    state = [units.BELOW, units.FOUND, 0, 0, 0, 0]
    found = chosen(known([1, 99, 50, 51, 52, 53], state=state), keep=0.5, limit=1)
    assert found == ["threshold", "finding", "score", "score", "limit", "kept"]


def test_the_best_of_duplicates_stays_and_a_share_is_of_what_they_leave() -> None:
    group = [0, 0, 0, 3, 4, 4]
    found = choice.choose(
        known([50, 70, 60, 10, 80, 80], tie=[0, 0, 0, 0, 9, 2]),
        np.array(group),
        SelectSettings(input=("a",), output="b"),
    )
    assert [choice.REASONS[one] for one in found.verdict] == [
        "duplicate",
        "kept",
        "duplicate",
        "kept",
        "duplicate",
        "kept",
    ]
    assert found.instead.tolist() == [1, 1, 1, 3, 5, 5]


def test_of_a_cluster_the_best_stay_up_to_the_quota() -> None:
    clusters = [7, 7, 7, 8, 8, 9]
    scores = [10.0, 30, 20, 50, 40, 5]
    assert chosen(known(scores, cluster=clusters), diversity={"pairs": 1}) == [
        "quota", "kept", "quota", "kept", "quota", "kept",
    ]  # fmt: skip
    assert chosen(known(scores, cluster=clusters), diversity={"share": 0.3}) == ["quota"] + ["kept"] * 5
    assert chosen(known(scores, cluster=clusters), diversity={"share": 0.9, "pairs": 2})[0] == "quota"


def test_a_conversation_counts_with_all_its_pairs() -> None:
    assert chosen(known([90, 80, 70], rows=[2, 3, 1]), limit=4) == ["kept", "limit", "limit"]
    assert chosen(known([90, 80, 70], rows=[1, 1, 8]), keep=0.2) == ["kept", "kept", "score"]


def test_a_long_conversation_fills_a_share_and_is_one_of_its_cluster() -> None:
    assert chosen(known([90, 80, 70], rows=[3, 200, 9]), keep=0.7) == ["kept", "kept", "score"]
    assert chosen(known([90, 80], rows=[1, 200], cluster=[4, 5]), diversity={"pairs": 1}) == ["kept", "kept"]


def test_without_rules_every_pair_stays_and_without_pairs_none() -> None:
    assert chosen(known([1.0, 2.0])) == ["kept", "kept"]
    assert chosen(known([])) == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(1, 3), st.integers(0, 4)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_the_order_of_units_changes_nothing(some: list[tuple[int, int, int, int]], random: Any) -> None:
    def outcome(places: list[int]) -> dict[int, str]:
        first: dict[tuple[int, int], int] = {}
        group = [first.setdefault((place // 3, some[place][1]), new) for new, place in enumerate(places)]
        score, language, rows, cluster = ([some[place][column] for place in places] for column in range(4))
        units_now = known(score, language, rows, None, cluster, [place * 31 % 101 for place in places])
        found = chosen(units_now, group, keep=0.7, limit=20, diversity={"share": 0.4})
        return dict(zip(places, found, strict=True))

    order = list(range(len(some)))
    random.shuffle(order)
    assert outcome(order) == outcome(list(range(len(some))))
