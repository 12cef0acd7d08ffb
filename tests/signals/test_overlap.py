"""Overlap of character runs: one number between nothing and all, in any script, at bounded cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals import overlap


@given(st.text(), st.text(), st.sampled_from([2, 4]))
def test_it_is_a_share_and_a_text_stands_wholly_in_itself(before: str, after: str, length: int) -> None:
    assert 0 <= overlap.shared(before, after, length) <= 1
    assert overlap.shared(before, before, length) == 1


def test_related_texts_share_runs_and_others_do_not() -> None:
    german = "Nenne den höchsten Berg Afrikas."
    assert overlap.shared(german, "Welcher ist der höchste Berg Afrikas?", 4) > 0.5
    assert overlap.shared(german, "Wie kocht man ein Ei?", 4) < 0.05
    assert overlap.shared("日本で一番高い山は", "一番高い山は富士山です", 2) > 0.5


def test_scripts_decide_how_long_a_run_is() -> None:
    assert (overlap.run_length(("Latin",)), overlap.run_length(("Han", "Hiragana", "Katakana"))) == (4, 2)


def test_megabytes_cost_no_more_than_their_beginning() -> None:
    assert overlap.shared("a" * 5_000_000, "b" * 5_000_000, 4) == 0
