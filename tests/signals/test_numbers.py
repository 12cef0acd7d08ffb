"""One value has many forms; a number is lost only if it stands in none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.locales import load_locales
from midb_ray.signals.numbers import kept_share, lost, numbers

LOCALES = load_locales()
FORMS = ["1,000.5", "1.000,5", "1 000,5", "1\u202f000,5", "1'000.5", "١٬٠٠٠٫٥", "１０００.５", "1000.50"]


@pytest.mark.parametrize("before", FORMS)
@pytest.mark.parametrize("after", FORMS)
def test_one_value_is_never_lost_between_its_forms(before: str, after: str) -> None:
    assert lost(f"It costs {before} in all", f"Es kostet {after} €") == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("50%", "٪٥٠"),
        ("50 %", "%50"),
        ("10,50,000 rupees", "1,050,000 Rupien"),
        ("1,500,000 people", "150万人"),
        ("人口150万", "1,500,000"),
        ("5つ", "五つ"),
        ("on 12/25/2024", "am 25. Dezember 2024"),
        ("on 12/25/2024", "am 25.12.24"),
        ("born 2024-12-25", "เกิด 25 ธันวาคม 2567"),
        ("in 2024", "ในปี 2567"),
        ("at 3:00 pm", "um 15 Uhr"),
        ("at 3 p.m.", "à 15h00"),
        ("um 15:30", "at 3:30 PM"),
        ("1,2,3", "1, 2 und 3"),
        ("in 2020 300 people", "2020: 300 Leute"),
        ("Go to https://example.org/2024/7 now", "Go now"),
        ("1. one\n2. two", "- eins\n- zwei"),
        ("007", "7"),
    ],
)
def test_a_localised_form_is_the_same_number(before: str, after: str) -> None:
    assert lost(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        ("5 apples", "6 apples", ["5"]),
        ("1.5 l", "15 l", ["1.5"]),
        ("3.14", "3.141", ["3.14"]),
        ("the year 1984", "the year 1948", ["1984"]),
        ("541, 1183 and 745", "541 and 745", ["1183"]),
        ("1,000", "10,000", ["1,000"]),
        ("on 12/25/2024", "on 12/26/2024", ["25"]),
        ("at 3:30 pm", "at 4:30 pm", ["3"]),
        ("٥ تفاحات", "٦ تفاحات", ["٥"]),
    ],
)
def test_another_value_is_a_loss(before: str, after: str, gone: list[str]) -> None:
    assert lost(before, after) == gone


@pytest.mark.parametrize(
    ("before", "after", "tag"),
    [
        ("The road is 5 miles long", "Die Straße ist 8 km lang", "de"),
        ("Bake at 350 °F", "Bei 177 °C backen", "de"),
        ("It weighs 2 lb", "น้ำหนัก 900 กรัม", "th"),
        ("10 km away", "6 miles away", "en"),
    ],
)
def test_a_quantity_may_change_with_its_unit(before: str, after: str, tag: str) -> None:
    assert lost(before, after, LOCALES.resolve(tag)) == []
    assert lost(before, after) != []


def test_a_quantity_may_not_change_without_its_unit() -> None:
    assert lost("5 km long", "8 km lang", LOCALES.resolve("de")) == ["5"]


def test_the_share_that_is_kept_leaves_list_numbers_out() -> None:
    before = "1. In 1990: 12\n2. In 2000: 15"
    assert kept_share(before, "1990: 12", 3) == 0.5
    assert kept_share(before, "1. nothing\n2. nothing", 3) == 0.0
    assert kept_share(before, "nothing", 5) == 1.0


@given(st.text(alphabet=st.sampled_from("0123456789٣๕.,' /:-万apm\u202f\n")))
def test_nothing_is_lost_from_a_text_to_itself(text: str) -> None:
    assert lost(text, f"{text} ") == []
    assert kept_share(text, text, 1) == 1.0


@given(st.integers(0, 10**12), st.integers(0, 999))
def test_grouping_and_decimals_of_any_locale_are_read(whole: int, thousandths: int) -> None:
    english = f"{whole:,}.{thousandths:03}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert not numbers(english)[0].values.isdisjoint(numbers(german)[0].values)
