"""What of a source did not come through in its translation."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality.consistency import inconsistencies
from midb_ray.quality.findings import KINDS, Finding

LOCALES = load_locales()


def compare(source: str, target: str, language: str, section: str = "response") -> list[Finding]:
    empty = Text("", "", "")
    sides = (empty._replace(**{section: text}) for text in (source, target))
    return inconsistencies(*sides, LOCALES.resolve("en"), LOCALES.resolve(language))


FAITHFUL = [
    ("The tower is 324 metres high. It has 3 floors.", "Der Turm ist 324 Meter hoch. Er hat drei Stockwerke.", "de"),
    ("It is 5 miles to the sea.", "Il y a 8 kilomètres jusqu'à la mer.", "fr"),
    ("It cost 1,250.50 euros.", "Es kostete 1.250,50 Euro.", "de"),
    ("Do you know the way? I do not.", "道を知っていますか。私は知りません。", "ja"),
    ("See https://museum.example/times for more.", "詳しくは https://museum.example/times をご覧ください。", "ja"),
    ("Hello {name}, your order is on its way.", "Bonjour {name}, votre commande est en route.", "fr"),
    ("1. Wash it.\n2. Dry it.\n3. Iron it.", "1. Yıkayın.\n2. Kurutun.\n3. Ütüleyin.", "tr"),
    ("Not only that: it was late.", "Mehr noch: Es war spät.", "de"),
    ("Type `print(name)` now.", "Tippe jetzt `print(name)` ein.", "de"),
    ('Run this:\nprint("good morning")', 'Führe das aus:\nprint("guten Morgen")', "de"),
    ("Press <b>Save</b> now.", "Drücke jetzt auf <b>Speichern</b>.", "de"),
    ("Can you help me with this letter", "Kannst du mir bei diesem Brief helfen", "de"),
]


@pytest.mark.parametrize(("source", "target", "language"), FAITHFUL)
def test_a_faithful_translation_has_no_finding(source: str, target: str, language: str) -> None:
    assert compare(source, target, language) == []


UNFAITHFUL = [
    ("lost_number", "The tower is 324 metres high.", "Der Turm ist 342 Meter hoch.", "de", "324"),
    ("lost_number", "In 1889 it was opened.", "開業しました。", "ja", "1889"),
    (
        "lost_url",
        "See https://museum.example/times for more.",
        "Plus d'informations sur le site.",
        "fr",
        "museum.example/times",
    ),
    ("lost_email", "Write to info@museum.example today.", "Schreiben Sie uns noch heute.", "de", "info@museum.example"),
    ("lost_placeholder", "Hello {name}, it is on its way.", "Bonjour {nom}, elle est en route.", "fr", "{name}"),
    ("lost_list", "- red\n- green\n- blue\n- white", "- rot\n- grün\n- weiß", "de", "3 of 4 items"),
    ("lost_negation", "You must not open the door.", "Ouvrez donc la porte.", "fr", "not"),
    ("lost_negation", "The shop isn't open on Mondays.", "店は月曜日に開いています。", "ja", "isn't"),
    ("lost_negation", "She came without her dog.", "Elle est venue avec son chien.", "fr", "without"),
    ("lost_negation", "He had no friends.", "Il avait des amis.", "fr", "had no friends"),
    ("lost_code", "Use it:\nif (age > 20) {\n}", "Nutze es:\nwenn (age > 20) {\n}", "de", "if"),
    ("lost_code", '{"user": 3}', '{"Nutzer": 3}', "de", "user"),
    ("lost_placeholder", "Press <b>Save</b> now.", "Drücke jetzt auf <b>Speichern.", "de", "</b>"),
    ("lost_question", "Do you like the sea?", "Du magst das Meer.", "de", "Do you like the sea?"),
    (
        "untranslated",
        "It rains. The old man walks home slowly.",
        "Es regnet. The old man walks home slowly.",
        "de",
        "The old",
    ),
    (
        "omitted",
        "It rains. The old man slowly walks home in the dark. He sings.",
        "Es regnet. Er singt.",
        "de",
        "The old man",
    ),
    (
        "truncated",
        "The bread is baked in a hot oven for an hour and then left to cool.",
        "Das Brot wird eine Stunde lang in einem heißen Ofen geba",
        "de",
        "geba",
    ),
]


@pytest.mark.parametrize(("kind", "source", "target", "language", "text"), UNFAITHFUL)
def test_what_did_not_come_through_is_found_where_it_should_stand(
    kind: str, source: str, target: str, language: str, text: str
) -> None:
    (found,) = compare(source, target, language)
    assert found.kind == kind
    assert text in found.text
    assert found.section == "response"
    assert 0 <= found.start <= found.end <= len(target)


def test_the_place_is_the_sentence_beside_the_source() -> None:
    source = "The first house is white. The second has 12 rooms. The third is empty."
    target = "La première maison est blanche. La seconde a des chambres. La troisième est vide."
    (found,) = compare(source, target, "fr")
    assert target[found.start : found.end] == "La seconde a des chambres."


def test_a_section_that_is_gone_is_omitted_and_one_that_was_empty_is_none() -> None:
    (found,) = compare("Say it in one word.", " ", "de", "instruction")
    assert (found.kind, found.section) == ("omitted", "instruction")
    assert compare("", "Neu.", "de", "input") == []


def test_a_list_item_that_is_gone_is_said_once() -> None:
    source = (
        "- The first thing to do is to wash\n- The second thing to do is to dry\n- The third thing to do is to iron"
    )
    target = "- Zuerst wird alles gewaschen\n- Zuletzt wird alles gebügelt"
    assert [one.kind for one in compare(source, target, "de")] == ["lost_list"]


def test_an_input_may_stay_in_the_language_that_the_task_is_about() -> None:
    text = "The quick brown fox jumps over the lazy dog."
    assert compare(text, text, "de", "input") == []


def test_every_kind_that_can_be_found_is_explained() -> None:
    assert all(KINDS[kind].meaning and KINDS[kind].dimension == "translation" for kind, *_ in UNFAITHFUL)


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        (
            "The capital of Thailand is Bangkok, the largest city.",
            "เมืองหลวงของประเทศไทยคือกรุงเทพมหานคร ซึ่งเป็นเมืองที่ใหญ่ที่สุด",
            "th",
        ),
        ("A great day at the lake with all of our friends!", "Ein toller Tag am See mit allen Freunden! #sommer", "de"),
        ("Nobody came to the old house by the lake.", "Personne n’est venu à la vieille maison du lac.", "fr"),
        ("Do not smoke in this room.", "Prohibido fumar en esta sala.", "es"),
        ("The meeting begins at 3:30 today.", "会議は今日3時半に始まります。", "ja"),
        ("The meeting begins at 3:30 today.", "Die Sitzung beginnt heute um halb vier.", "de"),
        ("There are 8 billion people on earth.", "Hay 8000 millones de personas en la Tierra.", "es"),
    ],
)
def test_what_came_through_in_its_own_way_is_not_missed(source: str, target: str, language: str) -> None:
    assert compare(source, target, language) == []


def test_a_french_negation_counts_once() -> None:
    source = "It is not true and it is not good."
    assert [one.kind for one in compare(source, "Ce n'est pas vrai et c'est bon.", "fr")] == ["lost_negation"]
    assert compare(source, "Ce n'est pas vrai et ce n'est pas bon.", "fr") == []


def test_a_text_that_is_far_too_short_has_lost_something() -> None:
    source = "Photosynthesis is a process. It turns light into energy. Plants need it to live and to grow."
    (one,) = compare(source, "Die Photosynthese ist ein Prozess.", "de")
    assert one.kind == "omitted"


def test_many_lines_that_stand_in_both_are_looked_for_in_bounded_time() -> None:
    source = "".join(f"{number}. point\n" for number in range(20_000))
    assert compare(source, source[:-2] + "X\n", "fr") == []
