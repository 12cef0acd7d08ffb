"""What an answer may not lose (structure, numbers, the input, the task), and the forms in which it is not lost."""

from __future__ import annotations

import pytest

from midb_ray.pairs import Text
from tests.boosting.judging import GERMAN, PLAIN, REVISED, TEA, reasons, with_response

CAT = Text("Rewrite the sentence in the past.", "The cat sat on the mat in the sun.", "The cat had sat there.")


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


@pytest.mark.parametrize("asked", ["Nenne 3 Städte in Italien.", "Nenne drei Städte in Italien."])
def test_a_list_may_have_as_many_items_as_are_asked_for(asked: str) -> None:
    cities = ["Rom", "Mailand", "Turin", "Genua", "Neapel", "Bari", "Pisa", "Siena"]
    raw = Text(asked, "", "\n".join(f"{place}. {city}" for place, city in enumerate(cities, 1)))
    assert reasons(raw, with_response("\n".join(f"- {city}" for city in cities[:3]), raw)) == ()
    assert reasons(raw, with_response("\n".join(f"- {city}" for city in cities[:2]), raw)) == ("lost_list",)
    assert reasons(raw, with_response(", ".join(cities[:3]), raw)) == ("lost_list",)


def test_a_number_may_change_its_form() -> None:
    raw = Text("Wie viel sind 1,234.5 plus 10?", "", "Das Ergebnis ist 1244.5.")
    assert reasons(raw, Text("Wie viel sind 1.234,5 plus 10?", "", "Das Ergebnis lautet 1.244,5.")) == ()


def test_a_wrong_number_of_the_response_may_be_corrected_but_not_all_of_many_lost() -> None:
    raw = Text("Wann war das?", "", "Das war 1914, dann 1939, dann 1989 und zuletzt 2001 in ganz Europa zu sehen.")
    assert reasons(raw, with_response(raw.response.replace("1914", "1918"), raw)) == ()
    gone = "Das war einst, dann später, dann danach und zuletzt neulich in ganz Europa zu sehen."
    assert reasons(raw, with_response(gone, raw)) == ("lost_number",)


def test_a_number_of_the_instruction_may_be_written_out() -> None:
    revised = Text("Erkläre in drei Sätzen, wie man Tee kocht.", "", REVISED)
    assert reasons(PLAIN, revised) == ()
    assert reasons(revised, with_response(REVISED, PLAIN)) == ()
    assert reasons(PLAIN, revised._replace(instruction="Erkläre in vier Sätzen, wie man Tee kocht.")) == (
        "lost_number",
    )


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
        assert reasons(raw, TEA._replace(instruction=f"Explain {after} teas."), "en") == ("lost_number",)


def test_an_input_may_move_into_the_instruction_or_go_if_it_is_but_a_note() -> None:
    raw = Text("Wähle die richtige Antwort.", "Wer schrieb den Faust?", "Goethe schrieb den Faust.")
    assert reasons(raw, raw._replace(instruction="Wer schrieb den Faust?", input="")) == ()
    raw = raw._replace(input="<noinput>")
    assert reasons(raw, Text(raw.instruction, "", "Johann Wolfgang von Goethe schrieb den Faust.")) == ()


def test_another_input_is_refused_in_any_language() -> None:
    assert reasons(CAT, CAT._replace(input="A whale swims in the deep blue sea."), "en") == ("lost_input",)
    assert reasons(CAT, CAT._replace(input="Une baleine nage dans la mer bleue."), "en") == (
        "lost_input",
        "wrong_language",
    )
    assert reasons(CAT, CAT._replace(input="On the mat in the sun, the cat sat."), "en") == ()


def test_a_foreign_input_may_be_translated_and_a_saying_exchanged() -> None:
    raw = Text(
        "Fasse den Satz in drei Wörtern zusammen.", "The cat sits on the mat in the sun today.", "Katze liegt da."
    )
    assert reasons(raw, raw._replace(input="Die Katze sitzt heute in der Sonne auf der Matte."), "de") == ()
    raw = Text("Vysvětlete výraz:", "Prší kočky a psi.", "Tento výraz znamená, že prší velmi těžce.")
    revised = Text("Vysvětlete význam rčení.", "Leje jako z konve.", "Toto rčení znamená, že prší velmi silně.")
    assert reasons(raw, revised, "cs") == ()


def test_an_input_may_be_taken_from_the_raw_pair_but_not_made_up() -> None:
    made_up = PLAIN._replace(input="Zutaten: frische Minze, Honig, eine Scheibe Zitrone und etwas Ingwer")
    assert reasons(PLAIN, made_up) == ("invented_input",)
    note = PLAIN._replace(input="<noinput>")
    assert reasons(note, made_up) == ("invented_input",)
    raw = Text('Forme den Satz "Die Katze schläft" zu einer Frage um.', "", "Schläft die Katze?")
    assert reasons(raw, Text("Forme den Satz zu einer Frage um.", "Die Katze schläft.", raw.response)) == ()
    raw = Text("Schreibe über ein Ereignis deiner Wahl.", "", "Die industrielle Revolution begann in England.")
    assert reasons(raw, raw._replace(input="Industrielle Revolution")) == ()


def test_an_answer_to_another_pair_is_refused_and_a_translation_of_an_untranslated_one_is_not() -> None:
    about_something_else = Text("Wie lange kocht man Eier, bis sie hart sind?", "", "Etwa zehn Minuten lang.")
    raw = Text("Nenne den höchsten Berg Afrikas.", "", "Der höchste Berg Afrikas ist der Kilimandscharo.")
    assert "unrelated" in reasons(raw, about_something_else)
    assert "unrelated" not in reasons(raw, Text("Welcher Berg ist Afrikas höchster?", "", "Der Kilimandscharo."))


def test_the_instruction_is_no_response_to_itself() -> None:
    assert reasons(TEA, with_response(TEA.instruction, TEA), "en") == ("unrelated",)
    assert reasons(with_response(f"{TEA.instruction} ", TEA), with_response(TEA.instruction.lower(), TEA), "en") == ()
