"""Figures add up, balance and survive being written down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midb_ray.pairs import DECISIONS
from midb_ray.runs.figures import Figures

PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["de", "fr", "pt-BR"]),
        st.sampled_from(DECISIONS),
        st.lists(st.sampled_from(["truncated", "empty", "wrong_language"]), unique=True).map(tuple),
    )
)


def counted(pairs: list[tuple[str, str, tuple[str, ...]]], dead: int = 0) -> Figures:
    figures = Figures(rows_in=len(pairs) + dead, dead_letters=dead, engine_seconds=len(pairs) / 8)
    for pair in pairs:
        figures.count(*pair)
    figures.dead_letter_reasons.update(["invalid_json"] * dead)
    return figures


@given(PAIRS, PAIRS, st.integers(0, 5))
def test_the_sum_of_shards_is_what_one_shard_would_count(one: list, two: list, dead: int) -> None:
    total = Figures()
    total.add(counted(one, dead))
    total.add(counted(two))
    assert total == counted(one + two, dead)
    assert total.balanced
    assert sum(total.total(decision) for decision in DECISIONS) == total.rows_out == len(one) + len(two)


@given(PAIRS, st.integers(0, 5))
def test_figures_survive_being_written_and_go_on_counting(pairs: list, dead: int) -> None:
    read = Figures.from_json(counted(pairs, dead).to_json())
    assert read == counted(pairs, dead)
    read.add(counted(pairs))
    assert read == counted(pairs * 2, dead)


def test_a_lost_row_unbalances_the_books() -> None:
    figures = counted([("de", "boosted", ())], dead=1)
    assert figures.balanced
    figures.rows_in += 1
    assert not figures.balanced


def test_plain_data_has_a_fixed_order() -> None:
    figures = counted([("fr", "unchanged", ()), ("de", "kept_original", ("truncated", "empty")), ("de", "boosted", ())])
    assert list(figures.to_dict()["decisions"]) == ["de", "fr"]
    assert figures.to_dict()["decisions"]["de"] == {"boosted": 1, "kept_original": 1}
    assert list(figures.to_dict()["reasons"]["de"]) == ["empty", "truncated"]
    assert figures.to_dict()["reasons"].keys() == {"de"}
