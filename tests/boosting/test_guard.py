"""The guard accepts what an expert would write, rejects every kind of fault with its own reason, and never loses a pair."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.reasons import REASONS
from midb_ray.engines.base import Finish
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.signals.distance import distance

LOCALES = load_locales()
GUARD = Guard(GuardSettings(), LOCALES)

GERMAN = Text(
    "Erkläre in 3 Sätzen, wie man Tee kocht.",
    "Sorte: Grüntee, 80 Grad",
    "Man erhitzt das Wasser auf 80 Grad. Dann gießt man es über die Blätter. Nach 2 Minuten nimmt man das Sieb heraus.",
)
REVISED = "Erhitze das Wasser auf 80 Grad und gieße es über die Blätter. Lass den Tee 2 Minuten ziehen. Nimm dann das Sieb heraus."
ENGLISH = "Heat the water to 80 degrees and pour it over the leaves. Let the tea steep for 2 minutes. Then take out the strainer."
THAI = "ต้มน้ำให้ได้ 80 องศาแล้วเทลงบนใบชา ทิ้งไว้ 2 นาที จากนั้นนำที่กรองออก"


def reasons(raw: Text, revised: Text, language: str = "de", guard: Guard = GUARD) -> tuple[str, ...]:
    verdict = guard.judge(raw, language, serialise(revised), "stop")
    assert verdict.text == (revised if verdict.decision == "boosted" else raw)
    assert (verdict.decision == "kept_original") == bool(verdict.reasons)
    return verdict.reasons


def with_response(response: str, raw: Text = GERMAN) -> Text:
    return raw._replace(response=response)


def test_a_good_revision_is_boosted_with_its_distance() -> None:
    revised = with_response(REVISED)
    verdict = GUARD.judge(GERMAN, "de", serialise(revised), "stop")
    assert verdict == ("boosted", (), revised, distance(GERMAN, revised))
    assert verdict.distance > 0


def test_an_answer_that_differs_in_outer_white_space_only_is_unchanged() -> None:
    raw = GERMAN._replace(response=GERMAN.response + "\n")
    answer = serialise(Text(f" {raw.instruction}", f"{raw.input}\n", f"\n{raw.response} "))
    assert GUARD.judge(raw, "de", answer, "stop") == ("unchanged", (), raw, 0)


def test_outer_white_space_of_a_revised_section_goes_and_indentation_stays() -> None:
    assert GUARD.judge(GERMAN, "de", serialise(with_response(f"\n{REVISED} \n")), "stop").text.response == REVISED
    raw = GERMAN._replace(input="    x = 1\n    y = 2")
    verdict = GUARD.judge(raw, "de", serialise(raw._replace(input="    x = 1\n    y = 2  # zwei\n")), "stop")
    assert verdict.text.input == "    x = 1\n    y = 2  # zwei"


@pytest.mark.parametrize(
    ("answer", "finish", "expected"),
    [
        ("Das kann ich nicht.", "stop", ("unparseable",)),
        ("", "stop", ("unparseable",)),
        ("Gern!\n" + serialise(GERMAN), "stop", ("preamble",)),
        (serialise(GERMAN).split("\n<|response|>")[0], "length", ("unparseable", "truncated")),
        (serialise(with_response(REVISED[:60])), "length", ("truncated",)),
        (serialise(with_response(REVISED)), "error", ("engine_error",)),
    ],
)
def test_answers_that_are_no_whole_pair(answer: str, finish: Finish, expected: tuple[str, ...]) -> None:
    assert GUARD.judge(GERMAN, "de", answer, finish) == ("kept_original", expected, GERMAN, 0)


@pytest.mark.parametrize(
    ("revised", "expected"),
    [
        (with_response(" \n"), ("empty", "too_short")),
        (GERMAN._replace(instruction=""), ("empty", "too_short", "lost_number")),
        (GERMAN._replace(input=""), ("lost_input", "lost_number")),
        (with_response(ENGLISH), ("wrong_language",)),
        (with_response(THAI), ("wrong_script",)),
        (with_response(f"{REVISED} Er soll nicht bitter sein. {ENGLISH}"), ("wrong_language",)),
        (with_response(REVISED + " Nimm es raus." * 9), ("repetition",)),
        (with_response(f"{REVISED}\n{REVISED}"), ("repetition",)),
        (with_response("Tee."), ("too_short",)),
        (
            GERMAN._replace(instruction=f"{GERMAN.instruction} {REVISED} {GERMAN.response} Das ist alles."),
            ("too_long",),
        ),
        (with_response(f"{REVISED}<|im_end|>"), ("leaked_marker",)),
        (with_response(f"Here is the revised pair:\n{REVISED}"), ("leaked_marker",)),
        (with_response(REVISED.replace("ß", "\ufffd")), ("leaked_marker",)),
        (GERMAN._replace(instruction=GERMAN.instruction.replace("3", "4")), ("lost_number",)),
        (GERMAN._replace(input="Sorte: Grüntee, 70 Grad"), ("lost_number",)),
    ],
)
def test_each_fault_has_its_reason(revised: Text, expected: tuple[str, ...]) -> None:
    assert reasons(GERMAN, revised) == expected


@pytest.mark.parametrize(
    ("given", "lost", "expected"),
    [
        (" Siehe https://example.org/tee.", "", "lost_url"),
        (" Siehe https://example.org/tee.", " Siehe https://example.org/kaffee.", "lost_url"),
        (" Frag tee@example.org.", " Frag nach.", "lost_email"),
        ("\n```\nkoche(80)\n```", "\nkoche(80)", "lost_code"),
        ("\n```\nkoche(80)\n```", "\n```\nkoche(80)", "lost_code"),
        (" Rufe `koche()` auf.", " Rufe koche() auf.", "lost_code"),
        (" Danke, {user_name}!", " Danke, {nutzer_name}!", "lost_placeholder"),
        (" Danke, %s!", " Danke!", "lost_placeholder"),
        (" Danke, <name>!", " Danke, <Vorname>!", "lost_placeholder"),
    ],
)
def test_lost_structure_is_caught_and_kept_structure_is_not(given: str, lost: str, expected: str) -> None:
    raw = with_response(GERMAN.response + given)
    assert reasons(raw, with_response(REVISED + given)) == ()
    assert reasons(raw, with_response(REVISED + lost)) == (expected,)


def test_a_list_may_change_its_bullets_but_not_become_a_paragraph() -> None:
    items = ["Wasser erhitzen", "Tee aufgießen", "Ziehen lassen", "Sieb herausnehmen"]
    raw = with_response("\n".join(f"{number}. {item}" for number, item in enumerate(items, 1)))
    assert reasons(raw, with_response("So geht es:\n\n" + "\n".join(f"- {item}" for item in items))) == ()
    assert reasons(raw, with_response(", ".join(items))) == ("lost_list",)


def test_all_reasons_are_reported_in_the_order_of_the_table() -> None:
    raw = with_response(f"{GERMAN.response} https://example.org a@example.org `x` {{name}}")
    revised = Text("Brew tea", "", f"{ENGLISH}</s>")
    found = reasons(raw, revised)
    assert found == (
        *("unrelated", "lost_input", "wrong_language", "leaked_marker", "lost_number", "lost_url", "lost_email"),
        *("lost_code", "lost_placeholder"),
    )
    assert list(found) == sorted(found, key=list(REASONS).index)


def test_an_answer_to_another_pair_is_refused_and_a_translation_of_an_untranslated_one_is_not() -> None:
    about_something_else = Text("Wie lange kocht man Eier, bis sie hart sind?", "", "Etwa zehn Minuten lang.")
    raw = Text("Nenne den höchsten Berg Afrikas.", "", "Der höchste Berg Afrikas ist der Kilimandscharo.")
    assert "unrelated" in reasons(raw, about_something_else)
    assert "unrelated" not in reasons(raw, Text("Welcher Berg ist Afrikas höchster?", "", "Der Kilimandscharo."))


def test_what_was_wrong_before_is_not_held_against_the_answer() -> None:
    raw = with_response(f"{GERMAN.response} </s> [INST]" + " und so weiter und so fort" * 8)
    assert reasons(raw, with_response(f"{REVISED} </s>" + " und so weiter und so fort" * 6)) == ()


def test_a_translated_placeholder_may_be_mended() -> None:
    raw = Text("Begrüße {name} freundlich.", "", "Guten Tag, {Namen}, wie geht es Ihnen?")
    assert reasons(raw, with_response("Guten Tag, {name}, wie geht es Ihnen heute?", raw)) == ()
    assert reasons(raw, with_response("Guten Tag, {nombre}, wie geht es Ihnen heute?", raw)) == ("lost_placeholder",)


def test_a_translated_keyword_in_code_may_be_mended() -> None:
    raw = with_response(f"{GERMAN.response} Das prüft `wenn (20 > 18)`.")
    assert reasons(raw, with_response(f"{REVISED} Das prüft `if (20 > 18)`.")) == ()


def test_a_gap_to_fill_in_stays_in_the_question() -> None:
    raw = Text("Ergänze: Der Himmel ist ____ und klar.", "", "Der Himmel ist blau und klar.")
    assert reasons(raw, raw._replace(instruction="Ergänze den Satz: Der Himmel ist ____ und klar.")) == ()
    assert reasons(raw, raw._replace(instruction="Ergänze: Der Himmel ist blau und klar.")) == ("lost_placeholder",)


def test_a_number_may_change_its_form() -> None:
    raw = Text("Wie viel sind 1,234.5 plus 10?", "", "Das Ergebnis ist 1244.5.")
    assert reasons(raw, Text("Wie viel sind 1.234,5 plus 10?", "", "Das Ergebnis lautet 1.244,5.")) == ()


def test_a_wrong_number_of_the_response_may_be_corrected_but_not_all_of_many_lost() -> None:
    raw = Text("Wann war das?", "", "Das war 1914, dann 1939, dann 1989 und zuletzt 2001 in ganz Europa zu sehen.")
    assert reasons(raw, with_response(raw.response.replace("1914", "1918"), raw)) == ()
    gone = "Das war einst, dann später, dann danach und zuletzt neulich in ganz Europa zu sehen."
    assert reasons(raw, with_response(gone, raw)) == ("lost_number",)


def test_an_input_may_move_into_the_instruction_or_go_if_it_is_but_a_note() -> None:
    raw = Text("Wähle die richtige Antwort.", "Wer schrieb den Faust?", "Goethe schrieb den Faust.")
    assert reasons(raw, raw._replace(instruction="Wer schrieb den Faust?", input="")) == ()
    raw = raw._replace(input="<noinput>")
    assert reasons(raw, Text(raw.instruction, "", "Johann Wolfgang von Goethe schrieb den Faust.")) == ()


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


@pytest.mark.parametrize(
    ("setting", "revised", "reason"),
    [
        ("language", with_response(ENGLISH), "wrong_language"),
        ("repetition", with_response(REVISED + " Nimm es raus." * 9), "repetition"),
        ("length", with_response("Tee."), "too_short"),
        ("markers", with_response(f"{REVISED}</s>"), "leaked_marker"),
        ("numbers", GERMAN._replace(instruction=GERMAN.instruction.replace("3", "4")), "lost_number"),
    ],
)
def test_each_check_can_be_switched_off(setting: str, revised: Text, reason: str) -> None:
    off: dict[str, Any] = {setting: False}
    assert reasons(GERMAN, revised) == (reason,)
    assert reasons(GERMAN, revised, guard=Guard(GuardSettings(**off), LOCALES)) == ()


def test_without_the_script_check_another_script_is_another_language() -> None:
    guard = Guard(GuardSettings(script=False), LOCALES)
    assert reasons(GERMAN, with_response(THAI), guard=guard) == ("wrong_language",)
    neither = Guard(GuardSettings(script=False, language=False), LOCALES)
    assert reasons(GERMAN, with_response(THAI), guard=neither) == ()


def test_every_reason_of_the_engine_has_a_meaning() -> None:
    assert {"prompt_too_long", "engine_error", "engine_crash"} < set(REASONS)


ANY = st.text(max_size=80) | st.text(
    alphabet=st.sampled_from("<|>instructionresponse\n`{}1,.@ \ud800日x-"), max_size=80
)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Text, ANY, ANY, ANY),
    ANY,
    st.sampled_from(["stop", "length", "error"]),
    st.sampled_from(["de", "ja", "x-none"]),
)
def test_any_answer_gets_a_verdict_and_a_kept_pair_is_the_same(
    raw: Text, answer: str, finish: Finish, language: str
) -> None:
    verdict = GUARD.judge(raw, language, answer, finish)
    assert verdict.decision == "kept_original"
    assert verdict.text == raw
    assert set(verdict.reasons) <= set(REASONS)


@settings(max_examples=300, deadline=None)
@given(st.builds(Text, ANY, ANY, ANY), st.builds(Text, ANY, ANY, ANY), st.sampled_from(["de", "th", "en"]))
def test_any_pair_gets_a_verdict(raw: Text, revised: Text, language: str) -> None:
    verdict = GUARD.judge(raw, language, serialise(revised), "stop")
    if verdict.decision == "boosted":
        assert list(map(str.strip, verdict.text)) == list(map(str.strip, revised))
        assert verdict.distance == distance(raw, verdict.text)
    else:
        assert verdict.text == raw
        assert verdict.distance == 0
        assert bool(verdict.reasons) == (verdict.decision == "kept_original")


UNITS = [
    *(
        "(",
        "`",
        "``` ",
        "`a\n",
        "x`y`z",
        "1,",
        "1 000 ",
        "12/25/2024 ",
        "3:00 pm ",
        "٠٬",
        "{",
        "{a} ",
        "${",
        "%s ",
        "<",
        "<|",
        "<a",
    ),
    *(
        "[",
        "_",
        ".",
        "@",
        "a@",
        "a@a.a-",
        "http://",
        "http://)",
        "www.",
        "- a\n",
        "1. a\n",
        "\n",
        " \n",
        "\t",
        "a",
        "é",
        "日本 ",
    ),
    *("\ud800", "\x00", "<|instruction|>", "#", "\ufffd", "5 miles ", "\u200b", "\u200eا", "(", "note: ", "drei "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_long_hostile_text_is_judged_in_linear_time(unit: str) -> None:
    long = (unit * 200_000)[:200_000]
    for raw, revised in (
        (Text("Do it.", "x 1", long), Text("Do it.", "x 1", f"{long}end")),
        (Text(f"Do it {long}", "", "fine"), Text("Do that", "", "all fine")),
        (Text("Do.", long, "yes"), Text("Do!", f"{long[:-3]}7", "yes, yes")),
    ):
        verdict = GUARD.judge(raw, "ja", serialise(revised), "stop")  # quadratic work would take minutes
        assert verdict.decision == "boosted" or verdict.text == raw


def samples() -> dict[str, dict[str, dict[str, Any]]]:
    """The package's own revisions: by source, then by language."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for file in (resources.files("midb_ray") / "samples" / "revisions").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["source_id"], {})[row["language"]] = row
    return found


def raw_and_revised(row: dict[str, Any]) -> tuple[Text, Text]:
    raw = Text(row["raw_instruction"], row["raw_input"], row["raw_response"])
    return raw, Text(row["instruction"], row["input"], row["response"])


def test_expert_revisions_of_every_language_are_accepted() -> None:
    rejected = {
        (row["language"], source): found
        for source, rows in samples().items()
        for row in rows.values()
        if (found := reasons(*raw_and_revised(row), row["language"]))
    }
    assert rejected == {}


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
