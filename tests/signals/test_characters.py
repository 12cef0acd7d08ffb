"""Characters that no editor types are found wherever they stand, and invisible ones that belong to a script are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals.characters import strange


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\r", "\x0c", "\x1b", "\x7f", "\x85", "\x9f"),
        *("\u202a", "\u202e", "\u2066", "\u2069", "\u2060", "\ufeff", "\u200b", "\u200c", "\u200d", "\u200e", "\u061c"),
        *("\U000e0001", "\U000e0041", "\ue000", "\uf8ff", "\U000f0001", "\U0010fffd"),
        *("\u00ad", "\u2028", "\u2029", "\ufffc", "\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\u17b4", "\u17b5"),
        *("\u180b", "\u180e", "\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef"),
        *("\ufdd0", "\uffff", "\U0001fffe", "\ud800", "\udfff"),
    ],
)
def test_a_character_without_business_is_found(character: str) -> None:
    assert strange(f"Der Himmel{character} ist\n\tblau.") == {character}


@pytest.mark.parametrize(
    "text",
    [
        "Zeile\n\tEinzug",
        "«\u00a0texte\u00a0», 1\u202f000, 全角\u3000空白",
        "👩‍👩‍👧 🧑🏽‍🚀 ❤️‍🔥 🏳️‍🌈",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می‌خواهم",
        "क्‍ष",
        "สวัสดี\u200bครับ 12\u200bบาท",
        "النص\u200f (ABC)\u200e هنا",
        "葛\U000e0100城",
        "❤️ ©️ 1️⃣ 。\ufe00",
        "⠓⠑⠇⠇⠕⠀⠺⠕⠗⠇⠙",
    ],
)
def test_what_a_script_or_an_emoji_needs_is_left_alone(text: str) -> None:
    assert strange(text) == set()


def test_a_joiner_hidden_in_a_word_is_found_beside_one_that_belongs() -> None:
    assert strange("👩‍👧 und Was\u200dser") == {"\u200d"}
    assert strange("สวัสดี\u200bครับ und Was\u200bser") == {"\u200b"}


@given(st.text())
def test_only_characters_of_the_text_are_found(text: str) -> None:
    assert strange(text) <= set(text)
