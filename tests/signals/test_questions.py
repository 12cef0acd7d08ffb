"""Questions with and without a mark."""

from __future__ import annotations

import pytest

from midb_ray.signals.questions import asks, marked


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Where?", "en", True),
        ("Where.", "en", False),
        ("どこですか。", "ja", True),
        ("ここです。", "ja", False),
        ("어디에 있습니까", "ko", True),
        ("여기 있습니다.", "ko", False),
        ("هل هذا بيتك", "ar", True),
        ("أين؟", "ar", True),
        ("Πού είναι;", "el", True),
        ("Wo; da.", "de", False),
        ("Di mana rumahmu", "id", True),
        ("บ้านอยู่ที่ไหน", "th", True),
        ("どこ？", "ja", True),
    ],
)
def test_a_mark_or_a_word_that_asks(text: str, language: str, expected: bool) -> None:
    assert asks(text, language) is expected


def test_a_word_is_no_mark() -> None:
    assert not marked("どこですか。", "ja")
    assert marked("Πού είναι;", "el")
