"""Defects of a translation that show without its source."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality import translation
from midb_ray.quality.findings import Finding
from midb_ray.signals.language import Identifier

LOCALES = load_locales()
IDENTIFIER = Identifier(LOCALES, translation.FEW_LETTERS, translation.SURE)
TASK = "Beschreibe, wie man Brot backt."
ANSWER = "Man knetet Mehl, Wasser, Salz und Hefe, lässt den Teig gehen und backt ihn im heißen Ofen."


def found(instruction: str, response: str, language: str = "de") -> list[Finding]:
    return translation.findings(Text(instruction, "", response), LOCALES.resolve(language), IDENTIFIER)


def test_a_pair_in_its_language_has_no_finding() -> None:
    assert found(TASK, ANSWER) == []


@pytest.mark.parametrize(
    ("language", "instruction", "response"),
    [
        ("es", "Describe how bread is baked at home.", "Se amasa la harina con agua, sal y levadura, y se hornea."),
        ("ja", "パンの焼き方を説明してください。", "You knead flour with water, salt and yeast, and bake it."),
        ("fr", "Décris comment on fait le pain.", "Man knetet Mehl und Wasser und backt den Teig im Ofen."),
    ],
)
def test_a_section_in_another_language_is_found(language: str, instruction: str, response: str) -> None:
    assert [one.kind for one in found(instruction, response, language)] == ["wrong_language"]


def test_malay_and_indonesian_are_not_held_against_each_other() -> None:
    malay = "Uli tepung dengan air, garam dan yis, kemudian bakar doh itu di dalam ketuhar yang panas."
    assert found("Terangkan cara membakar roti di rumah.", malay, "id") == []


def test_a_response_may_be_in_the_language_that_the_task_asks_for() -> None:
    assert found("Übersetze den Satz ins Französische: Das Brot ist frisch.", "Le pain est frais et il sent bon.") == []


def test_a_sentence_in_english_is_found_where_it_stands() -> None:
    response = f"{ANSWER} The dough should be left to rise for an hour before it is baked. Danach ist es fertig."
    (one,) = found(TASK, response)
    assert one.kind == "foreign_sentence"
    assert response[one.start : one.end] == "The dough should be left to rise for an hour before it is baked."


def test_english_is_at_home_in_tasks_about_english_titles_and_code() -> None:
    sentence = "The dough should be left to rise for an hour before it is baked."
    assert found("Übersetze den letzten Satz ins Englische.", f"{ANSWER} {sentence}") == []
    assert found(TASK, f"{ANSWER} Siehe „The Art of the Loaf“ von Bake & Co.") == []
    assert found(TASK, f"{ANSWER}\n```\n# {sentence}\n```".replace("\n# ", " ")) == []


@pytest.mark.parametrize("text", ["", "42", "OK.", "x = f(y)", "\ud800", "<|" * 999])
def test_what_is_too_short_to_tell_is_left_alone(text: str) -> None:
    assert found(text, text) == []


def test_one_foreign_sentence_at_the_beginning_does_not_make_a_text_foreign() -> None:
    rest = "La vieille tour du port mesure presque cinquante mètres. Elle date du moyen âge, et les bateaux la voient de loin."
    opening = "Here is what is known of the old tower in the port and of its history."
    assert [one.kind for one in found("Parlez de la tour.", f"{opening} {rest * 2}", "fr")] == ["foreign_sentence"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Brasilien, Argentinien, Kolumbien, Peru, Venezuela, Chile, Ecuador, Bolivien, Paraguay und Uruguay", "de"),
        ("Tukar dari Celsius ke Fahrenheit.", "ms"),
        (
            "def mean(numbers):\n    total = 0\n    for number in numbers:\n        total += number\n    return total",
            "de",
        ),
    ],
)
def test_names_short_phrases_and_programs_are_in_no_other_language(text: str, language: str) -> None:
    assert not [one for one in found(TASK, text, language) if one.section == "response"]
