"""An answer stays in the language and the script of its pair, unless the task leaves them."""

from __future__ import annotations

import pytest

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.pairs import Text
from tests.boosting.judging import (
    ENGLISH,
    GERMAN,
    LOCALES,
    REVISED,
    THAI,
    raw_and_revised,
    reasons,
    samples,
    with_response,
)


@pytest.mark.parametrize("input", ["", "Das Wasser ist heiß, und der Tee zieht zwei Minuten."])
def test_a_translation_may_leave_the_language(input: str) -> None:
    raw = Text("Übersetze ins Englische.", input, "The water is hot, and the tea is steeping for two minutes.")
    assert reasons(raw, with_response("The water is hot and the tea steeps for two minutes.", raw)) == ()
    assert reasons(with_response(GERMAN.response, raw), with_response(ENGLISH, raw)) == ()


def test_a_task_may_stay_in_the_language_its_response_was_in() -> None:
    raw = Text(
        "Verbessere bitte die Grammatik der folgenden Zeile.",
        "He go home",
        "He goes home every day after his work is done.",
    )
    assert reasons(raw, with_response("He goes home every day once his work at the office is done.", raw)) == ()
    assert reasons(raw, with_response("Torna a casa ogni giorno dopo aver finito il suo lavoro.", raw)) == (
        "wrong_language",
    )


def test_an_untranslated_pair_may_become_the_declared_language_but_not_stay_english() -> None:
    raw = Text("Explain in three sentences how to make tea.", "", ENGLISH.replace("Then take out", "Now remove"))
    assert reasons(raw, Text("Erkläre in drei Sätzen, wie man Tee kocht.", "", REVISED)) == ()
    assert reasons(raw, with_response(ENGLISH, raw)) == ("wrong_language",)


def test_indonesian_and_malay_count_as_one() -> None:
    raw = Text("Terangkan cara membuat teh.", "", "Panaskan air lalu tuangkan ke atas daun teh dan tunggu.")
    indonesian = (
        "Panaskan air hingga mendidih, lalu tuangkan ke atas daun teh dan tunggu selama beberapa menit sebelum diminum."
    )
    assert reasons(raw, with_response(indonesian, raw), "ms") == ()
    assert reasons(raw, with_response(indonesian, raw), "id") == ()
    assert reasons(raw, with_response(indonesian, raw), "vi") == ("wrong_language",)


def test_the_language_of_a_regional_tag_is_the_language() -> None:
    assert reasons(GERMAN, with_response(REVISED), "de-AT") == ()


def test_without_the_script_check_another_script_is_another_language() -> None:
    guard = Guard(GuardSettings(script=False), LOCALES)
    assert reasons(GERMAN, with_response(THAI), guard=guard) == ("wrong_language",)
    neither = Guard(GuardSettings(script=False, language=False), LOCALES)
    assert reasons(GERMAN, with_response(THAI), guard=neither) == ()


def test_names_in_latin_letters_may_stay_where_the_raw_response_had_them() -> None:
    raw = Text("人気のあるプログラミング言語を挙げてください。", "", "Python, Java, C")
    names = "1. Python\n2. Java\n3. C++\n4. Rust\n5. JavaScript\n6. Haskell\n7. Kotlin"
    assert reasons(raw, with_response(names, raw), "ja") == ()
    assert reasons(with_response("パイソンとジャバです。", raw), with_response(names, raw), "ja") == ("wrong_script",)


def test_the_response_of_another_language_is_rejected_in_every_language() -> None:
    tried = caught = 0
    for rows in samples().values():
        for row in rows.values():
            for other in rows.values():
                if LOCALES.resolve(row["language"]).group != LOCALES.resolve(other["language"]).group:
                    raw, revised = raw_and_revised(row)
                    found = reasons(raw, with_response(other["response"], revised), row["language"])
                    tried += 1
                    caught += not {"wrong_language", "wrong_script"}.isdisjoint(found)
    assert tried > 2_000
    assert caught / tried > 0.99
