"""How a response is laid out."""

from __future__ import annotations

import pytest

from midb_ray.signals.presentation import presentation

ASKED = "Name two old bridges in Prague."


def test_a_bare_answer_shows_none_of_what_experts_add() -> None:
    found = presentation(ASKED, "Charles and Judith")
    assert found[:4] == (False, False, False, False)
    assert found.taken_up == 0


def test_a_revised_answer_shows_all_of_it() -> None:
    found = presentation(ASKED, "Here are two old bridges in Prague:\n\n- **Charles Bridge**\n- Judith Bridge")
    assert found[:4] == (True, True, True, True)
    assert found.taken_up == pytest.approx(5 / 6)


def test_a_colon_in_a_link_explains_nothing() -> None:
    assert not presentation(ASKED, "See https://example.org/bridges").explains
    assert presentation(ASKED, "The bridges: see https://example.org/bridges").explains


def test_words_are_characters_where_a_script_has_no_spaces() -> None:
    assert presentation("プラハの古い橋の名前を挙げてください", "プラハの古い橋はカレル橋です").taken_up > 0.3


@pytest.mark.parametrize("text", ["", "\n\n", ":" * 100_000, "** " * 50_000, "\ud800\n"])
def test_anything_has_a_presentation(text: str) -> None:
    assert 0 <= presentation(text, text).taken_up <= 1
