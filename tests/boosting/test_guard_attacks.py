"""What a booster may smuggle into a pair is refused: other inputs, hidden links, programs, further turns, reports."""

from __future__ import annotations

import pytest

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise

GUARD = Guard(GuardSettings(), load_locales())
TEA = Text(
    "Explain how tea is made.",
    "",
    "Tea is made by heating water to 80 degrees and pouring it over the leaves. Wait two minutes.",
)
CAT = Text("Rewrite the sentence in the past.", "The cat sat on the mat in the sun.", "The cat had sat there.")


def reasons(raw: Text, revised: Text, language: str = "en") -> tuple[str, ...]:
    return GUARD.judge(raw, language, serialise(revised), "stop").reasons


def answering(response: str, raw: Text = TEA) -> Text:
    return raw._replace(response=response)


def test_another_input_is_refused_in_any_language() -> None:
    assert reasons(CAT, CAT._replace(input="A whale swims in the deep blue sea.")) == ("lost_input",)
    assert reasons(CAT, CAT._replace(input="Une baleine nage dans la mer bleue.")) == ("lost_input", "wrong_language")
    assert reasons(CAT, CAT._replace(input="On the mat in the sun, the cat sat.")) == ()


def test_a_foreign_input_may_be_translated_and_a_saying_exchanged() -> None:
    raw = Text(
        "Fasse den Satz in drei Wörtern zusammen.", "The cat sits on the mat in the sun today.", "Katze liegt da."
    )
    assert reasons(raw, raw._replace(input="Die Katze sitzt heute in der Sonne auf der Matte."), "de") == ()
    raw = Text("Vysvětlete výraz:", "Prší kočky a psi.", "Tento výraz znamená, že prší velmi těžce.")
    revised = Text("Vysvětlete význam rčení.", "Leje jako z konve.", "Toto rčení znamená, že prší velmi silně.")
    assert reasons(raw, revised, "cs") == ()


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ("[here](evil.com/x)", "added_url"),
        ("[here](evil.com)", "added_url"),
        ('<img src="//evil.com/a.png">', "added_url"),
        ("ftp://evil.com", "added_url"),
        ("(evil-site.com/phish)", "added_url"),
        ("<script>alert(1)</script>", "leaked_marker"),
        ("[x](javascript:alert(1))", "leaked_marker"),
        ('<b onmouseover="x()">tea</b>', "leaked_marker"),
        ("<iframe>", "leaked_marker"),
        ("\n\nUser: And coffee?\nAssistant: Brew it.", "leaked_marker"),
        ("\n\n### Human: And coffee?", "leaked_marker"),
        ("<reasoning>Well.</reasoning>", "leaked_marker"),
        ("<thinking>", "leaked_marker"),
        ("\n\nChanges made:\n- Mended the grammar.\n- Added a step.", "leaked_marker"),
        ("\n\nThe response has been revised for clarity and accuracy.", "leaked_marker"),
    ],
)
def test_what_is_added_is_refused_unless_the_raw_pair_had_it(added: str, reason: str) -> None:
    revised = answering(f"{TEA.response} {added}")
    assert reason in reasons(TEA, revised)
    assert reason not in reasons(answering(revised.response.replace("heating", "warming")), revised)


@pytest.mark.parametrize(
    "response",
    [
        f"Assistant: {TEA.response}",
        f"Of course, here is my rewrite.\n{TEA.response}",
        f"The response has been revised for clarity and accuracy. {TEA.response}",
        "No changes needed.",
    ],
)
def test_an_answer_about_the_answer_is_refused(response: str) -> None:
    assert "leaked_marker" in reasons(TEA, answering(response))


def test_file_names_and_pages_that_were_asked_for_are_welcome() -> None:
    assert reasons(TEA, answering(f"{TEA.response} Use Node.js/React, main.py/run or and/or.")) == ()
    raw = Text("Write an HTML page with a button.", "", "<button>Tea</button>")
    assert reasons(raw, answering('<button onclick="brew()">Tea</button>', raw)) == ()


def test_the_instruction_is_no_response_to_itself() -> None:
    assert reasons(TEA, answering(TEA.instruction)) == ("unrelated",)
    assert reasons(answering(f"{TEA.instruction} "), answering(TEA.instruction.lower())) == ()


def test_small_edits_that_make_a_refusal_or_set_a_remark_free_are_seen() -> None:
    raw = answering(f"I can help with that. {TEA.response}")
    assert reasons(raw, answering(raw.response.replace("can", "can't", 1))) == ("refusal",)
    remark = f"I have corrected the grammar. {TEA.response}"
    assert reasons(answering(f"He said: {remark}"), answering(remark)) == ("leaked_marker",)
    assert "refusal" in reasons(TEA, answering("As a large language model, I do not have the ability to explain that."))


@pytest.mark.parametrize(
    ("before", "after", "language"),
    [
        (
            "Explain 24 hours in 100 words for the 1st time.",
            "Explain twenty-four hours in a hundred words the first time.",
            "en",
        ),
        ("Write about 3,500,000 people.", "Write about 3.5 million people.", "en"),
        ("Schreibe über 3.500.000 Menschen.", "Schreibe über 3,5 Millionen Menschen.", "de"),
        ("Schreibe über 3,5 Millionen Menschen.", "Schreibe über 3.500.000 Menschen.", "de"),
        ("Call 555-123-4567 and explain tea.", "Call 5551234567 and explain tea.", "en"),
        ("Make <b>tea</b> bold.", "Make <strong>tea</strong> bold.", "en"),
    ],
)
def test_the_same_in_another_form_is_welcome(before: str, after: str, language: str) -> None:
    raw = Text(before, "", "Tee." if language == "de" else "Tea.")
    assert reasons(raw, raw._replace(instruction=after), language) == ()


def test_other_numbers_are_still_lost() -> None:
    for before, after in (("3,500,000", "3.6 million"), ("555-123-4567", "5551234568"), ("24", "twenty-five")):
        raw = TEA._replace(instruction=f"Explain {before} teas.")
        assert reasons(raw, TEA._replace(instruction=f"Explain {after} teas.")) == ("lost_number",)


def test_names_in_latin_letters_may_stay_where_the_raw_response_had_them() -> None:
    raw = Text("人気のあるプログラミング言語を挙げてください。", "", "Python, Java, C")
    names = "1. Python\n2. Java\n3. C++\n4. Rust\n5. JavaScript\n6. Haskell\n7. Kotlin"
    assert reasons(raw, answering(names, raw), "ja") == ()
    assert reasons(answering("パイソンとジャバです。", raw), answering(names, raw), "ja") == ("wrong_script",)
