"""Questions with and without a mark."""

from __future__ import annotations

import pytest

from midb_ray.signals.questions import asks


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Where?", "en", True),
        ("Where.", "en", False),
        ("どこですか。", "ja", True),
        ("ここです。", "ja", False),
        ("어디에 있습니까", "ko", True),
        ("여기 있습니다.", "ko", False),
        ("هذا بيتي من حجر.", "ar", False),
        ("أين؟", "ar", True),
        ("Πού είναι;", "el", True),
        ("Wo; da.", "de", False),
        ("Πού είναι\u037e", "el", True),
        ("Di mana rumahmu", "id", True),
        ("บ้านอยู่ที่ไหน", "th", True),
        ("どこ？", "ja", True),
    ],
)
def test_a_mark_or_a_word_that_asks(text: str, language: str, expected: bool) -> None:
    assert asks(text, language) is expected
