"""The guard refuses what a booster adds on its own, and lets through what it writes in another form."""

from __future__ import annotations

from typing import Any

import pytest

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise

LOCALES = load_locales()
GUARD = Guard(GuardSettings(), LOCALES)

RAW = Text(
    "Erkläre in 3 Sätzen, wie man Tee kocht.",
    "",
    "Man erhitzt das Wasser auf 80 Grad. Dann gießt man es über die Blätter. Nach 2 Minuten nimmt man das Sieb heraus.",
)
REVISED = "Erhitze das Wasser auf 80 Grad und gieße es über die Blätter. Lass den Tee 2 Minuten ziehen. Nimm dann das Sieb heraus."


def reasons(raw: Text, revised: Text, language: str = "de", guard: Guard = GUARD) -> tuple[str, ...]:
    verdict = guard.judge(raw, language, serialise(revised), "stop")
    assert verdict.text == (revised if verdict.decision == "boosted" else raw)
    return verdict.reasons


def answering(response: str, raw: Text = RAW) -> Text:
    return raw._replace(response=response)


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\r", "\u202e", "\u2066", "\U000e0041", "\u200b", "\ufeff", "\ue000", "\ud800"]
)
def test_a_character_that_no_editor_types_is_refused_unless_the_raw_pair_has_it(character: str) -> None:
    revised = answering(REVISED.replace("Wasser", f"Was{character}ser"))
    assert reasons(RAW, revised) == ("leaked_character",)
    assert (
        reasons(
            RAW._replace(instruction=f"{RAW.instruction}{character}"),
            revised._replace(instruction=f"{RAW.instruction}{character}"),
        )
        == ()
    )


def test_an_emoji_and_a_thai_break_are_welcome() -> None:
    assert reasons(RAW, answering(f"{REVISED} 👩‍🍳")) == ()
    raw = Text("ท้องฟ้าสีอะไร", "", "ท้องฟ้าสีฟ้า")
    assert reasons(raw, answering("ท้องฟ้า\u200bเป็นสีฟ้า", raw), "th") == ()


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
    assert reasons(RAW, answering(response)) == ("leaked_marker",)
    had = answering(response.replace("Erhitze", "Erwärme"))
    assert reasons(had, answering(response)) == ()


def test_a_remark_in_front_of_the_instruction_is_refused() -> None:
    assert reasons(RAW, RAW._replace(instruction=f"Hier ist die überarbeitete Anweisung: {RAW.instruction}")) == (
        "leaked_marker",
    )


def test_a_corrected_text_may_be_handed_over_where_the_task_is_to_correct_it() -> None:
    raw = Text("Korrigiere den Satz.", "Er gehen nach Haus.", "Er geht nach Haus.")
    assert reasons(raw, answering("Hier ist der verbesserte Text: Er geht nach Hause.", raw)) == ()
    assert reasons(raw, answering("Hier ist das verbesserte Paar: Er geht nach Hause.", raw)) == ("leaked_marker",)


@pytest.mark.parametrize(
    "response",
    ["Es tut mir leid, aber dabei kann ich nicht helfen.", "As an AI language model, I cannot explain that."],
)
def test_a_refusal_is_refused_unless_the_raw_response_was_one(response: str) -> None:
    assert "refusal" in reasons(RAW, answering(response))
    had = answering("Es tut mir leid, dabei kann ich Ihnen leider nicht helfen, denn ich bin ein Sprachmodell.")
    assert "refusal" not in reasons(had, answering(response, had))


def test_an_input_may_be_taken_from_the_raw_pair_but_not_made_up() -> None:
    made_up = RAW._replace(input="Zutaten: frische Minze, Honig, eine Scheibe Zitrone und etwas Ingwer")
    assert reasons(RAW, made_up) == ("invented_input",)
    note = RAW._replace(input="<noinput>")
    assert reasons(note, made_up) == ("invented_input",)
    raw = Text('Forme den Satz "Die Katze schläft" zu einer Frage um.', "", "Schläft die Katze?")
    assert reasons(raw, Text("Forme den Satz zu einer Frage um.", "Die Katze schläft.", raw.response)) == ()
    raw = Text("Schreibe über ein Ereignis deiner Wahl.", "", "Die industrielle Revolution begann in England.")
    assert reasons(raw, raw._replace(input="Industrielle Revolution")) == ()


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ("https://tee-wissen.de/anleitung", "added_url"),
        ("www.tee-wissen.de", "added_url"),
        ("info@tee-wissen.de", "added_email"),
    ],
)
def test_a_link_or_address_that_is_nowhere_in_the_raw_pair_is_refused(added: str, reason: str) -> None:
    revised = answering(f"{REVISED} Mehr dazu: {added}.")
    assert reasons(RAW, revised) == (reason,)
    raw = RAW._replace(instruction=f"{RAW.instruction} Nenne auch {added}.")
    assert reasons(raw, revised._replace(instruction=raw.instruction)) == ()


def test_domains_that_are_kept_for_examples_may_be_added() -> None:
    assert reasons(RAW, answering(f"{REVISED} Frag tee@example.com oder https://example.org/tee.")) == ()
    for link in ("https://example.org.tee.de", "https://example.ru/x", "https://example.com:80@tee.de/"):
        assert "added_url" in reasons(RAW, answering(f"{REVISED} Frag {link}."))


def test_added_code_is_welcome() -> None:
    raw = Text("Schreibe eine Schleife in Python.", "", "for i in range(3): print(i)")
    assert reasons(raw, answering("```python\nfor i in range(3):\n    print(i)\n```", raw)) == ()


def test_a_number_of_the_instruction_may_be_written_out() -> None:
    revised = Text("Erkläre in drei Sätzen, wie man Tee kocht.", "", REVISED)
    assert reasons(RAW, revised) == ()
    assert reasons(revised, answering(REVISED, RAW)) == ()
    assert reasons(RAW, revised._replace(instruction="Erkläre in vier Sätzen, wie man Tee kocht.")) == ("lost_number",)


@pytest.mark.parametrize("asked", ["Nenne 3 Städte in Italien.", "Nenne drei Städte in Italien."])
def test_a_list_may_have_as_many_items_as_are_asked_for(asked: str) -> None:
    cities = ["Rom", "Mailand", "Turin", "Genua", "Neapel", "Bari", "Pisa", "Siena"]
    raw = Text(asked, "", "\n".join(f"{place}. {city}" for place, city in enumerate(cities, 1)))
    assert reasons(raw, answering("\n".join(f"- {city}" for city in cities[:3]), raw)) == ()
    assert reasons(raw, answering("\n".join(f"- {city}" for city in cities[:2]), raw)) == ("lost_list",)
    assert reasons(raw, answering(", ".join(cities[:3]), raw)) == ("lost_list",)


def test_line_ends_of_windows_are_no_change() -> None:
    raw = answering(RAW.response.replace(". ", ".\n"))
    assert GUARD.judge(raw, "de", serialise(raw).replace("\n", "\r\n"), "stop") == ("unchanged", (), raw, 0)
    revised = answering(REVISED.replace(". ", ".\n"))
    verdict = GUARD.judge(raw, "de", serialise(revised).replace("\n", "\r\n"), "stop")
    assert (verdict.decision, verdict.text) == ("boosted", revised)


@pytest.mark.parametrize(
    ("setting", "revised", "reason"),
    [
        ("characters", answering(f"{REVISED}\x1b"), "leaked_character"),
        (
            "refusals",
            answering("Es tut mir leid, aber dabei kann ich nicht helfen, weil ich es nicht weiß, 80, 2."),
            "refusal",
        ),
        ("input_invented", RAW._replace(input="Zutaten: frische Minze, Honig und Ingwer"), "invented_input"),
        ("urls_added", answering(f"{REVISED} www.tee-wissen.de"), "added_url"),
        ("emails_added", answering(f"{REVISED} info@tee-wissen.de"), "added_email"),
    ],
)
def test_each_check_can_be_switched_off(setting: str, revised: Text, reason: str) -> None:
    off: dict[str, Any] = {setting: False}
    assert reasons(RAW, revised) == (reason,)
    assert reasons(RAW, revised, guard=Guard(GuardSettings(**off), LOCALES)) == ()
