"""Scripts by Unicode's property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals.script import SCRIPTS, WEIGHTS, letters, share


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grüße, 12 µm!", {"Latin": 6}),
        ("naïve “café” – ok", {"Latin": 11}),
        ("Привет мир", {"Cyrillic": 9}),
        ("สวัสดี", {"Thai": 4}),
        ("日本 kana カナ", {"Latin": 4, "Han": 6, "Katakana": 4}),
        ("한국", {"Hangul": 6}),
        ("١٢٣ … 😀 123", {}),
        ("", {}),
    ],
)
def test_letters_are_counted_by_script_and_weighted(text: str, expected: dict[str, int]) -> None:
    assert letters(text) == expected


@given(st.text())
def test_any_text_has_a_count_and_shares_sum_to_one(text: str) -> None:
    counts = letters(text)
    assert set(counts) <= set(SCRIPTS)
    assert sum(count // WEIGHTS.get(name, 1) for name, count in counts.items()) <= len(text)
    assert share(counts, SCRIPTS) == (1 if counts else 0)
