"""Forms of a number beside its digits, and what needs no number at all."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals.number_forms import excused, plain
from midb_ray.signals.number_scales import myriads
from midb_ray.signals.numbers import lost

LOCALES = load_locales()


@pytest.mark.parametrize(
    ("before", "after", "language"),
    [
        ("It was built in the 18th century.", "Elle fut bâtie au XVIIIe siècle.", "fr"),
        ("It was built in the 18th century.", "Se construyó en el siglo XVIII.", "es"),
        ("Songs of the 1990s", "Canciones de los años 90", "es"),
        ("Songs of the 1990s", "أغاني من التسعينيات", "ar"),
        ("the 8th grade", "octavo grado", "es"),
        ("a 5-year-old child", "pětileté dítě", "cs"),
        ("when she turned 18", "عندما بلغت الثامنة عشرة", "ar"),
        ("a 28-year-old", "في الثامنة والعشرين من عمري", "ar"),
        ("2 questions", "سؤالين", "ar"),
        ("1/2 cup of milk", "½ taza de leche", "es"),
        ("1/2 cup of milk", "نصف كوب من الحليب", "ar"),
        ("6a^2", "6a²", "pt"),
        ("$3 billion", "30億ドル", "ja"),
        ("50 million people", "5천만 명", "ko"),
        ("153 to 148 million years ago", "1億5300万年前から1億4800万年前", "ja"),
    ],
)
def test_a_number_came_through_in_another_form(before: str, after: str, language: str) -> None:
    assert lost(before, after, LOCALES.resolve(language), "en") == []


@pytest.mark.parametrize(
    ("before", "after", "language", "gone"),
    [
        ("Here are 5 tips", "Voici 8 conseils", "fr", "5"),  # a word that begins with V is no five
        (
            "Name 3 types of clouds.",
            "Nommez 1 type de nuages.",
            "fr",
            "3",
        ),  # 3 feet are about 1 m, and no metre is named
        ("the 18th century", "le XVIIe siècle", "fr", "18"),
        ("Songs of the 1990s", "Canciones de los años 80", "es", "1990"),
        ("$3 billion", "40億ドル", "ja", "3"),
        ("a 2-sentence talk between two owners", "cuộc trò chuyện 3 câu giữa hai chủ", "vi", "2"),
        ("over 5 years", "hơn 7 năm", "vi", "5"),  # năm are years as well
        ("heat to 375°F (190°C)", "chauffez à 735°F (190°C)", "fr", "375"),
        ("15 degrees Celsius are 59 degrees Fahrenheit", "15 degrés Celsius font 79 degrés Fahrenheit", "fr", "59"),
    ],
)
def test_another_number_is_none_of_its_forms(before: str, after: str, language: str, gone: str) -> None:
    assert gone in lost(before, after, LOCALES.resolve(language), "en")


def test_footnotes_grades_and_the_second_unit_may_go() -> None:
    assert excused("It has several meanings1. The K-12 schools", "", is_alike=True) == {"1", "12"}
    assert excused("open 24/7", "", is_alike=True) == {"24", "7"}
    assert excused("heat to 350°F (175°C)", "auf 175 °C", is_alike=True) == {"350"}
    assert excused("heat to 350°F (175°C)", "auf 175 °C", is_alike=False) == set()


def test_raised_digits_and_fractions_are_written_out_and_nothing_else() -> None:
    assert plain("54 cm² and ¼ cup") == "54 cm 2 and  1/4  cup"
    assert plain("１０００ und 一") == "１０００ und 一"


def test_groups_of_four_digits_are_one_number() -> None:
    assert myriads("1兆2,000億円と3万5000円") == {"1200000000000", "35000"}
    assert myriads("2008年の1.5億") == {"150000000"}
    assert myriads("no such sign 12 34") == set()


def test_long_odd_input_ends_soon() -> None:
    for text in ("1億" * 50_000, "½" * 100_000, "9" * 200_000 + "万", "XVIII " * 20_000, "24/7 (" * 20_000):
        assert isinstance(lost("24/7, 18th and 1990s (" + text[:1000], text, LOCALES.resolve("ja"), "en"), list)
