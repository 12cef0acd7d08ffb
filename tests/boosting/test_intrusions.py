"""What a booster may smuggle into a pair is refused: characters, remarks, refusals, links, programs, further turns."""

from __future__ import annotations

from typing import Any

import pytest

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.pairs import Text
from tests.boosting.judging import LOCALES, PLAIN, REVISED, TEA, reasons, with_response


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\r", "\u202e", "\u2066", "\U000e0041", "\u200b", "\ufeff", "\ue000", "\ud800"]
)
def test_a_character_that_no_editor_types_is_refused_unless_the_raw_pair_has_it(character: str) -> None:
    revised = with_response(REVISED.replace("Wasser", f"Was{character}ser"), PLAIN)
    assert reasons(PLAIN, revised) == ("leaked_character",)
    assert (
        reasons(
            PLAIN._replace(instruction=f"{PLAIN.instruction}{character}"),
            revised._replace(instruction=f"{PLAIN.instruction}{character}"),
        )
        == ()
    )


def test_an_emoji_and_a_thai_break_are_welcome() -> None:
    assert reasons(PLAIN, with_response(f"{REVISED} 👩‍🍳", PLAIN)) == ()
    raw = Text("ท้องฟ้าสีอะไร", "", "ท้องฟ้าสีฟ้า")
    assert reasons(raw, with_response("ท้องฟ้า\u200bเป็นสีฟ้า", raw), "th") == ()


@pytest.mark.parametrize(
    "response",
    [
        f"Hier ist das überarbeitete Paar:\n{REVISED}",
        f"Hier ist die verbesserte Version:\n\n{REVISED}",
        f"Ich habe die Antwort überarbeitet.\n{REVISED}",
        f"Sure! Here's the improved version:\n{REVISED}",
        f"{REVISED}\n\n(Hinweis: Ich habe die Einheiten angepasst.)",
        f"{REVISED}\n\nNote: I changed the units.",
        f"{REVISED} Lass mich wissen, wenn du noch etwas brauchst!",
        f"{REVISED}\n\nLet me know if you need anything else.",
    ],
)
def test_a_remark_of_the_model_is_refused_unless_the_raw_pair_has_one(response: str) -> None:
    assert reasons(PLAIN, with_response(response, PLAIN)) == ("leaked_marker",)
    had = with_response(response.replace("Erhitze", "Erwärme"), PLAIN)
    assert reasons(had, with_response(response, PLAIN)) == ()


def test_a_remark_in_front_of_the_instruction_is_refused() -> None:
    assert reasons(PLAIN, PLAIN._replace(instruction=f"Hier ist die überarbeitete Anweisung: {PLAIN.instruction}")) == (
        "leaked_marker",
    )


def test_a_corrected_text_may_be_handed_over_where_the_task_is_to_correct_it() -> None:
    raw = Text("Korrigiere den Satz.", "Er gehen nach Haus.", "Er geht nach Haus.")
    assert reasons(raw, with_response("Hier ist der verbesserte Text: Er geht nach Hause.", raw)) == ()
    assert reasons(raw, with_response("Hier ist das verbesserte Paar: Er geht nach Hause.", raw)) == ("leaked_marker",)


@pytest.mark.parametrize(
    "response",
    ["Es tut mir leid, aber dabei kann ich nicht helfen.", "As an AI language model, I cannot explain that."],
)
def test_a_refusal_is_refused_unless_the_raw_response_was_one(response: str) -> None:
    assert "refusal" in reasons(PLAIN, with_response(response, PLAIN))
    had = with_response(
        "Es tut mir leid, dabei kann ich Ihnen leider nicht helfen, denn ich bin ein Sprachmodell.", PLAIN
    )
    assert "refusal" not in reasons(had, with_response(response, had))


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ("https://tee-wissen.de/anleitung", "added_url"),
        ("www.tee-wissen.de", "added_url"),
        ("info@tee-wissen.de", "added_email"),
    ],
)
def test_a_link_or_address_that_is_nowhere_in_the_raw_pair_is_refused(added: str, reason: str) -> None:
    revised = with_response(f"{REVISED} Mehr dazu: {added}.", PLAIN)
    assert reasons(PLAIN, revised) == (reason,)
    raw = PLAIN._replace(instruction=f"{PLAIN.instruction} Nenne auch {added}.")
    assert reasons(raw, revised._replace(instruction=raw.instruction)) == ()


def test_domains_that_are_kept_for_examples_may_be_added() -> None:
    assert reasons(PLAIN, with_response(f"{REVISED} Frag tee@example.com oder https://example.org/tee.", PLAIN)) == ()
    for link in ("https://example.org.tee.de", "https://example.ru/x", "https://example.com:80@tee.de/"):
        assert "added_url" in reasons(PLAIN, with_response(f"{REVISED} Frag {link}.", PLAIN))


def test_added_code_is_welcome() -> None:
    raw = Text("Schreibe eine Schleife in Python.", "", "for i in range(3): print(i)")
    assert reasons(raw, with_response("```python\nfor i in range(3):\n    print(i)\n```", raw)) == ()


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
    revised = with_response(f"{TEA.response} {added}", TEA)
    assert reason in reasons(TEA, revised, "en")
    assert reason not in reasons(with_response(revised.response.replace("heating", "warming"), TEA), revised, "en")


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
    assert "leaked_marker" in reasons(TEA, with_response(response, TEA), "en")


def test_file_names_and_pages_that_were_asked_for_are_welcome() -> None:
    assert reasons(TEA, with_response(f"{TEA.response} Use Node.js/React, main.py/run or and/or.", TEA), "en") == ()
    raw = Text("Write an HTML page with a button.", "", "<button>Tea</button>")
    assert reasons(raw, with_response('<button onclick="brew()">Tea</button>', raw), "en") == ()


def test_small_edits_that_make_a_refusal_or_set_a_remark_free_are_seen() -> None:
    raw = with_response(f"I can help with that. {TEA.response}", TEA)
    assert reasons(raw, with_response(raw.response.replace("can", "can't", 1), TEA), "en") == ("refusal",)
    remark = f"I have corrected the grammar. {TEA.response}"
    assert reasons(with_response(f"He said: {remark}", TEA), with_response(remark, TEA), "en") == ("leaked_marker",)
    declined = with_response("As a large language model, I do not have the ability to explain that.", TEA)
    assert "refusal" in reasons(TEA, declined, "en")


@pytest.mark.parametrize(
    ("setting", "revised", "reason"),
    [
        ("characters", with_response(f"{REVISED}\x1b", PLAIN), "leaked_character"),
        (
            "refusals",
            with_response("Es tut mir leid, aber dabei kann ich nicht helfen, weil ich es nicht weiß, 80, 2.", PLAIN),
            "refusal",
        ),
        ("input_invented", PLAIN._replace(input="Zutaten: frische Minze, Honig und Ingwer"), "invented_input"),
        ("urls_added", with_response(f"{REVISED} www.tee-wissen.de", PLAIN), "added_url"),
        ("emails_added", with_response(f"{REVISED} info@tee-wissen.de", PLAIN), "added_email"),
    ],
)
def test_each_of_these_checks_can_be_switched_off(setting: str, revised: Text, reason: str) -> None:
    off: dict[str, Any] = {setting: False}
    assert reasons(PLAIN, revised) == (reason,)
    assert reasons(PLAIN, revised, guard=Guard(GuardSettings(**off), LOCALES)) == ()
