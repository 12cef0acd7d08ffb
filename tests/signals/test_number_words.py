"""Number words of every built-in language, as whole words, and numbers that change between digits and words."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals.number_words import counted
from midb_ray.signals.numbers import lost

LOCALES = load_locales()
THREE = {
    "en": "Name three benefits",
    "it": "Indica tre vantaggi",
    "es": "Nombra tres ventajas",
    "fr": "Nommez trois avantages",
    "de": "Nenne drei Vorteile",
    "ru": "Назовите три преимущества",
    "ar": "اذكر ثلاث فوائد",
    "tr": "Üç fayda sayın",
    "ja": "メリットを三つ挙げてください",
    "ko": "장점 세 가지를 말해 보세요",
    "pt": "Cite três vantagens",
    "cs": "Jmenujte tři výhody",
    "el": "Αναφέρετε τρία οφέλη",
    "id": "Sebutkan tiga manfaat",
    "th": "บอกข้อดีสามข้อ",
    "vi": "Nêu ba lợi ích",
    "ms": "Namakan tiga kebaikan",
}


def test_every_language_has_an_example() -> None:
    assert set(THREE) == {locale.language for locale in LOCALES}


@pytest.mark.parametrize("language", THREE)
def test_a_small_number_may_be_written_out(language: str) -> None:
    assert counted(THREE[language], language)[3] == 1
    assert lost("3 x", f"{THREE[language]} x", LOCALES.resolve(language)) == []
    assert lost("4 x", f"{THREE[language]} x", LOCALES.resolve(language)) == ["4"]


@pytest.mark.parametrize("language", THREE)
def test_a_word_may_become_digits(language: str) -> None:
    assert lost(THREE[language], "3 x", LOCALES.resolve(language)) == []


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [
        ("Dreißig Dreiecke", "de", 3),
        ("often tend to attend", "en", 10),
        ("한국의 두부와 세상", "ko", 1),
        ("dix-sept", "fr", 7),
        ("dua belas", "id", 2),
    ],
)
def test_part_of_a_word_or_number_is_no_number(text: str, language: str, value: int) -> None:
    assert counted(text, language)[value] == 0


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [
        ("On iki", "tr", 12),
        ("İki", "tr", 2),
        ("والثلاثة", "ar", 3),
        ("двух", "ru", 2),
        ("dix-sept", "fr", 17),
        ("十二", "ja", 12),
    ],
)
def test_inflected_and_compound_words_are_read(text: str, language: str, value: int) -> None:
    assert counted(text, language) == {value: 1}


def test_a_word_that_stood_there_before_accounts_for_no_number() -> None:
    german = LOCALES.resolve("de")
    assert lost("Nenne eine Liste von 1 Stadt", "Nenne eine Liste von Städten", german) == ["1"]


def test_a_language_without_data_has_no_words() -> None:
    assert counted("tri ting", "nn") == {}
