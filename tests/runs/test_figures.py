"""Figures add up, balance and survive being written down."""

from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.pairs import DECISIONS, turn_row
from midb_ray.runs.figures import EngineFigures, Figures

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
    figures.duplicates = 3 * len(pairs)
    for language, _, _ in pairs:
        name = ("10.0.0.1", f"actor of {language}")
        figures.engines.setdefault(name, EngineFigures()).add(EngineFigures(1, 8, 100, 2.0, 1.5))
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


def test_a_conversation_is_one_row_in_and_as_many_out_as_it_has_turns() -> None:
    rows = [turn_row("a:1", 1), turn_row("a:1", 2), turn_row("a:1", 3), "a:2"]
    dead = pa.table({"reason": ["invalid_json"]})
    figures = Figures.of([pa.table({"row": rows[:2]}), pa.table({"row": rows[2:]})], dead)
    assert (figures.rows_in, figures.later_turns, figures.dead_letters) == (3, 2, 1)
    assert not figures.balanced
    for _ in rows:
        figures.count("de", "boosted", ())
    assert figures.balanced
    assert Figures.from_json(figures.to_json()) == figures
    total = Figures()
    total.add(figures)
    total.add(counted([("de", "boosted", ())]))
    assert total.balanced
    assert (total.rows_in, total.later_turns, total.rows_out) == (4, 2, 5)


def test_plain_data_has_a_fixed_order() -> None:
    figures = counted([("fr", "unchanged", ()), ("de", "kept_original", ("truncated", "empty")), ("de", "boosted", ())])
    assert list(figures.to_dict()["decisions"]) == ["de", "fr"]
    assert figures.to_dict()["decisions"]["de"] == {"boosted": 1, "kept_original": 1}
    assert list(figures.to_dict()["reasons"]["de"]) == ["empty", "truncated"]
    assert figures.to_dict()["reasons"].keys() == {"de"}


def test_an_engine_is_busy_for_a_share_of_its_own_time() -> None:
    figures = counted([("de", "boosted", ())] * 4)
    (engine,) = figures.engines.values()
    assert (engine.shards, engine.rows, engine.tokens, engine.busy) == (4, 32, 400, 0.75)
    assert figures.generated_tokens == 400
    assert EngineFigures().busy == 0


def test_figures_of_parts_that_say_nothing_of_engines_can_still_be_read() -> None:
    plain = counted([("de", "boosted", ())]).to_dict()
    del plain["engines"], plain["duplicates"], plain["later_turns"]
    assert Figures.from_json(json.dumps(plain)).rows_out == 1
