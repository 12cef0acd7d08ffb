"""Loops and doubled text are told from lists, refrains and tables."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals.repetition import WINDOW, repetition, stutter

WORDS = [
    "river",
    "stone",
    "lamp",
    "winter",
    "paper",
    "garden",
    "silver",
    "window",
    "thunder",
    "copper",
    "meadow",
    "orange",
]


def prose(words: int) -> str:
    """Sentences without a pattern."""
    chance = random.Random(words)
    return " ".join(chance.choice(WORDS) + str(chance.randrange(1000)) for _ in range(words))


@pytest.mark.parametrize("unit", [" and so on", " We are sorry.", "すみません、もう一度。", "ха-ха, очень смешно "])
def test_a_loop_at_the_end_is_measured(unit: str) -> None:
    looped = repetition(prose(60) + unit * 12)
    assert len(unit) * 11 <= looped.loop <= len(unit) * 13


def test_a_loop_in_the_middle_is_found() -> None:
    assert repetition(prose(40) + " again and again" * 12 + prose(41)).loop >= 150


def test_a_loop_of_numbered_lines_is_found_across_9_and_10() -> None:
    assert repetition(prose(30) + "".join(f"\n{n}. Drink enough water" for n in range(4, 14))).loop >= 200


def test_a_loop_at_the_end_of_a_very_long_text_is_found() -> None:
    assert repetition(prose(20_000) + " the end" * 100).loop >= 700


def test_doubled_text_shares_half_with_itself() -> None:
    assert repetition(f"{prose(60)}\n\n{prose(60)}").share > 0.45


@pytest.mark.parametrize(
    "text",
    [
        prose(200),
        "",
        "short",
        "\n".join(f"- The {word} is for {word[::-1]} in {year}" for year, word in enumerate(WORDS, 1900)),
        "| a | b |\n|-------|-------|\n" + "\n".join(f"| {word} | {word[::-1]} |" for word in WORDS),
        "Name: ______________________________________________ Date: _______________________________",
    ],
)
def test_ordinary_text_does_not_loop(text: str) -> None:
    found = repetition(text)
    assert found.loop == 0
    assert found.share < 0.1


@given(st.text(alphabet=st.sampled_from("ab \n-日"), max_size=400))
def test_a_loop_is_no_longer_than_the_text_and_a_turn(text: str) -> None:
    found = repetition(text)
    assert 0 <= found.loop <= 2 * len(text)
    assert 0 <= found.share <= 1


@pytest.mark.parametrize("unit", ["표면적 ", "the same few words ", "系で", "la la, "])
def test_a_short_loop_is_a_stutter(unit: str) -> None:
    before = "An ordinary beginning that says this and that of many things. "
    assert stutter(before + unit * 12) >= len(unit) * 10


@pytest.mark.parametrize(
    "text",
    [
        "ha ha ha, very, very funny",
        "| --- | --- | --- | --- | --- | --- |",
        "=" * 200,
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "She said yes. He said no. They said maybe. We said never. You said nothing.",
        "",
    ],
)
def test_ordinary_text_does_not_stutter(text: str) -> None:
    assert stutter(text) == 0


def test_stutters_of_long_texts_are_looked_for_soon() -> None:
    for text in ("ab" * 500_000, "a" * 1_000_000, "abcd efgh " * 100_000, "".join(map(chr, range(32, 50_000)))):
        assert 0 <= stutter(text) <= 2 * WINDOW
