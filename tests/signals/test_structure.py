"""Links, addresses, code, placeholders and lists are found, and nothing else is taken for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals import structure
from midb_ray.signals.notes import says_no_input


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://www.example.org/a?b=1.", {"example.org/a?b=1"}),
        ("(http://example.org/wiki/X_(Y))", {"example.org/wiki/x_(y)"}),
        ("[here](https://example.org/)", {"example.org"}),
        ("詳しくはhttps://example.jp/道。次", {"example.jp/道"}),
        ("**www.example.org**", {"example.org"}),
        ("http is a protocol; www is a web", set()),
    ],
)
def test_links_are_found_without_the_punctuation_around_them(text: str, expected: set[str]) -> None:
    assert structure.urls(text) == expected


def test_addresses_are_found_next_to_letters_without_spaces() -> None:
    assert structure.emails("連絡はInfo@example.co.jpまで、または a.b+c@example.org.") == {
        "info@example.co.jp",
        "a.b+c@example.org",
    }
    assert structure.emails("5 @ 3 EUR, @name, a@b") == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no code", 0),
        ("`a` and `b` and `a`", 2),
        ("```py\n`x`\n```", 1),
        ("```\nopen", 1),
        ("```a``` `b`", 2),
        ("a ` b", 0),
    ],
)
def test_fences_and_different_spans_are_counted(text: str, expected: int) -> None:
    assert structure.code(text) == expected


def test_an_open_fence_is_seen() -> None:
    assert structure.open_fence("```\nx = 1")
    assert not structure.open_fence("```\nx = 1\n```")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {name}, {0} {}", {"{name}", "{0}", "{}"}),
        ("{{ user }} ${HOME}", {"{{ user }}", "${HOME}"}),
        ("%s is %d, %(who)s %.2f", {"%s", "%d", "%(who)s", "%.2f"}),
        ("Dear <name>,", {"<name>"}),
        ("こんにちは{name}さん", {"{name}"}),
        (r"50% sure, 100%de, \frac{a}{b}, [a-z]{4}, {1, 2}, a < b > c", set()),
        ("[Your name]", set()),
    ],
)
def test_placeholders_of_programs_are_found(text: str, expected: set[str]) -> None:
    assert structure.placeholders(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- b\n* c", 3),
        ("1. a\n2) b\n(3) c\n10. d", 4),
        ("・一\n・二\n１．三", 3),
        ("a) x\nB. y", 2),
        ("Intro:\n  • x\n  • y", 2),
        ("3.5 kg\n12 eggs\n-5 degrees", 0),
        ("- one line", 0),
    ],
)
def test_list_items_are_counted(text: str, expected: int) -> None:
    assert structure.items(text) == expected


def test_markers_are_taken_off_and_numbers_stay() -> None:
    assert structure.without_markers("1. Take 5 eggs\n2. Wait 3.5 minutes") == "Take 5 eggs\nWait 3.5 minutes"


def test_gaps_to_fill_in_are_seen() -> None:
    assert structure.has_blank("The ____ of the year")
    assert structure.has_blank("Das ist ......")
    assert not structure.has_blank("Wait... what_is_this")


@pytest.mark.parametrize(
    "text",
    [
        "<noinput>",
        "No input.",
        "Keine Eingabe",
        "`<aucune entrée>`",
        "입력 없음",
        "入力なし。",
        "لا يوجد إدخال",
        "N/A",
        "ไม่มีอินพุต",
    ],
)
def test_a_note_that_there_is_no_input_is_known(text: str) -> None:
    assert says_no_input(text)


@pytest.mark.parametrize(
    "text", ["Japan", "541, 1183", "No input validation is done in this function, why is that bad?", "Natur"]
)
def test_an_input_is_no_note(text: str) -> None:
    assert not says_no_input(text)


@given(st.text(alphabet=st.sampled_from("`{}<>%@.:/w-_1a \n(\ud800é日")))
def test_any_text_has_structure(text: str) -> None:
    prose = structure.prose(text)
    assert structure.emails(prose) == set() or "@" in text
    assert structure.items(text) <= text.count("\n") + 1
    assert structure.lines(text) <= len(text)
    assert all(placeholder in text for placeholder in structure.placeholders(text))
    assert structure.code(text) <= text.count("`")


def test_blanked_text_keeps_places_and_lines() -> None:
    text = "See `x = 1` and\n```\ncode\n``` at https://a.example/b now."
    blank = structure.blanked(text)
    assert len(blank) == len(text)
    assert blank.split() == ["See", "and", "at", "now."]
    assert [place for place, mark in enumerate(blank) if mark == "\n"] == [
        place for place, mark in enumerate(text) if mark == "\n"
    ]
    assert structure.blanked("Plain.") == "Plain."
