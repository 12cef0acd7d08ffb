"""From findings to scores."""

from __future__ import annotations

import itertools
import math

import pyarrow as pa
import pytest

from midb_ray.quality.findings import KINDS, Finding
from midb_ray.quality.scores import Scores, enriched, overall, scores


def finding(kind: str) -> Finding:
    return Finding(kind, "response", 0, 1, "x")


def test_a_pair_without_findings_has_all_of_every_score() -> None:
    assert scores([]) == Scores(100, 100, 100)
    assert scores([]).overall == 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_finding_lowers_its_own_dimension_by_its_weight_and_no_other(kind: str) -> None:
    found = scores([finding(kind)])._asdict()
    dimension, weight = KINDS[kind].dimension, KINDS[kind].weight
    assert found.pop(dimension) == pytest.approx(100 * (1 - weight))
    assert set(found.values()) == {100}
    assert 0 < weight <= 1


def test_more_findings_never_raise_a_score() -> None:
    for kinds in itertools.product(KINDS, repeat=2):
        less, more = scores([finding(kinds[0])]), scores([finding(kind) for kind in kinds])
        assert all(after <= before for before, after in zip(less, more, strict=True))
        assert more.overall <= less.overall


def test_of_one_kind_three_findings_count() -> None:
    few, many = scores([finding("lost_number")] * 3), scores([finding("lost_number")] * 30)
    assert few == many
    assert few.translation == pytest.approx(100 * math.pow(1 - KINDS["lost_number"].weight, 3), abs=0.01)


def test_the_worst_dimension_counts_twice_over_all() -> None:
    assert Scores(100, 40, 100).overall == pytest.approx((40 + 80) / 2)
    columns = (pa.array([100.0, 10.0]), pa.array([40.0, 20.0]), pa.array([100.0, 90.0]))
    assert overall(*columns).to_pylist() == pytest.approx([60, (10 + 40) / 2])


def test_richness_makes_the_last_fifth_of_content() -> None:
    found = enriched(pa.array([100.0, 100.0, 50.0]), pa.array([0.0, 1.0, 0.5]))
    assert found.to_pylist() == pytest.approx([80, 100, 45])
