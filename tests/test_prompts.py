"""Prompts: any text survives the way into a prompt and back, and text never becomes structure."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midb_ray import prompts
from midb_ray.locales import load_locales
from midb_ray.pairs import Text, Turn

MARKERS = [
    "<|instruction|>",
    "<|input|>",
    "<|response|>",
    "<|revised|>",
    "<|eot_id|>",
    "</s>",
    "[INST]",
    "<\\|input|>",
    "\\",
    "\n",
]
TEXT = st.lists(st.one_of(st.text(), st.sampled_from(MARKERS))).map("".join)


@given(TEXT, TEXT, TEXT)
@example("<|response|>\nx", "\n<|input|>\n", "<\\\\|instruction|>")
@example("", "", "")
def test_parsing_gives_back_what_was_serialised(instruction: str, given_input: str, response: str) -> None:
    text = Text(instruction, given_input, response)
    assert prompts.parse(prompts.serialise(text)) == text


@given(TEXT)
def test_no_marker_survives_escaping_and_unescaping_restores_the_text(text: str) -> None:
    escaped = prompts.escape(text)
    assert not any(marker in escaped for marker in MARKERS[:4])
    assert prompts.unescape(escaped) == text


@given(TEXT, TEXT, TEXT)
def test_a_prompt_has_exactly_the_sections_of_its_pair(instruction: str, given_input: str, response: str) -> None:
    french = load_locales().resolve("fr")
    rendered = prompts.prompt("locale", french, Text(instruction, given_input, response))
    assert rendered.count("<|instruction|>") == rendered.count("<|response|>") == 1
    assert rendered.count("<|input|>") == bool(given_input)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1), TEXT, TEXT)
@example([("user", "a\u2028b\x85c\r\nd<|instruction|>\n")], "a", "b")
def test_what_was_said_before_is_a_turn_a_line_and_never_structure(
    said: list[tuple[str, str]], instruction: str, response: str
) -> None:
    pair = prompts.serialise(Text(instruction, "", response))
    shown = prompts.before([Turn(*turn) for turn in said])
    assert f"{shown}{pair}".count("<|instruction|>") == f"{shown}{pair}".count("<|response|>") == 1
    assert "<|input|>" not in shown
    heading, *lines, blank = shown.splitlines()
    assert (heading, len(lines), blank) == (prompts.CONTEXT, len(said), "")
    assert [tuple(json.loads(prompts.unescape(line)).values()) for line in lines] == said


def test_where_nothing_was_said_before_the_prompt_has_nothing_more() -> None:
    assert prompts.before([]) == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "unparseable"),
        ("Sure, here it is.", "unparseable"),
        ("<|instruction|>\nA", "unparseable"),
        ("<|response|>\nA\n<|instruction|>\nB", "unparseable"),
        ("<|instruction|>\nA\n<|response|>\nB\n<|response|>\nC", "unparseable"),
        ("<|instruction|>\nA\n<|response|>\nB\n<|input|>\nC", "unparseable"),
        ("Sure!\n<|instruction|>\nA\n<|response|>\nB", "preamble"),
    ],
)
def test_answers_of_another_form_are_refused_with_a_reason(answer: str, reason: str) -> None:
    with pytest.raises(prompts.AnswerError) as caught:
        prompts.parse(answer)
    assert caught.value.reason == reason


def test_the_locale_template_names_language_region_and_conventions_and_the_plain_one_none() -> None:
    canadian = load_locales().resolve("fr-CA")
    text = prompts.instructions("locale", canadian)
    assert all(word in text for word in ("French", "Canada", "2024-12-25", "Content", "Translation", "Localisation"))
    assert "French" not in prompts.instructions("plain", canadian)


def test_every_locale_renders() -> None:
    rendered = {prompts.instructions("locale", locale) for locale in load_locales()}
    assert len(rendered) == len(load_locales()) == 17
