"""What translations of one source tell of each other."""

from __future__ import annotations

import random

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality.findings import KINDS, MOST
from midb_ray.quality.sisters import LEAST, Sister, Told, told

LOCALES = load_locales()
ENGLISH = LOCALES.resolve("en")

TOWER = {
    "de": "Der Turm ist 48 Meter hoch. Siehe https://turm.example/plan und schreibe an {name}.",
    "es": "La torre mide 48 metros de altura. Véase https://turm.example/plan y escriba a {name}.",
    "fr": "La tour mesure 48 mètres de haut. Voir https://turm.example/plan et écrire à {name}.",
    "it": "La torre è alta 48 metri. Vedi https://turm.example/plan e scrivi a {name}.",
    "ja": "塔の高さは48メートルです。https://turm.example/plan を見て、{name} に書いてください。",
}
SHUT = {
    "cs": "Dveře jsou zelené. V pondělí nejsou otevřené. Vedou na dvůr.",
    "de": "Die Tür ist grün. Am Montag ist sie nicht geöffnet. Sie führt in den Hof.",
    "es": "La puerta es verde. El lunes no está abierta. Lleva al patio.",
    "fr": "La porte est verte. Le lundi, elle n'est pas ouverte. Elle mène à la cour.",
    "it": "La porta è verde. Il lunedì non è aperta. Porta nel cortile.",
    "pt": "A porta é verde. Na segunda-feira não está aberta. Leva ao pátio.",
    "tr": "Kapı yeşildir. Pazartesi günü açık değildir. Avluya çıkar.",
}


def group(responses: dict[str, str]) -> list[Sister]:
    return [
        Sister(place % 2, place, LOCALES.resolve(language), Text("?", "", response))
        for place, (language, response) in enumerate(responses.items())
    ]


def of(language: str, sisters: list[Sister]) -> Told:
    (found,) = (what for one, what in told(sisters, ENGLISH) if one.locale.language == language)
    return found


def lost(language: str, responses: dict[str, str]) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in of(language, group(responses)).findings]


def test_faithful_sisters_tell_of_no_loss() -> None:
    for responses in (TOWER, SHUT):
        found = list(told(group(responses), ENGLISH))
        assert [one.locale.language for one, _ in found] == list(responses)
        assert all(what == Told(len(responses) - 1, None, []) for _, what in found)


@pytest.mark.parametrize("language", TOWER)
@pytest.mark.parametrize(
    ("piece", "instead", "finding"),
    [
        ("48", "84", ("lost_number", "48")),
        ("https://turm.example/plan", "", ("lost_url", "turm.example/plan")),
        ("{name}", "Anna", ("lost_placeholder", "{name}")),
    ],
)
def test_what_one_lacks_and_the_others_have_was_lost(
    language: str, piece: str, instead: str, finding: tuple[str, str]
) -> None:
    responses = {**TOWER, language: TOWER[language].replace(piece, instead)}
    assert lost(language, responses) == [finding]
    assert all(lost(other, responses) == [] for other in TOWER if other != language)


def test_the_place_is_the_sentence_that_lacks_it() -> None:
    responses = {**TOWER, "fr": TOWER["fr"].replace("48", "84")}
    (found,) = of("fr", group(responses)).findings
    assert responses["fr"][found.start : found.end] == "La tour mesure 84 mètres de haut."


def test_what_only_one_says_is_its_own_affair() -> None:
    responses = {**TOWER, "it": TOWER["it"].replace(".", ". Nel 1889 costava 5 lire. www.torre.example", 1)}
    assert all(what.findings == [] for _, what in told(group(responses), ENGLISH))


def test_a_number_may_be_a_word_in_any_of_them() -> None:
    rooms = {
        "de": "Das Haus hat drei Zimmer.",
        "es": "La casa tiene 3 habitaciones.",
        "fr": "La maison a 3 pièces.",
        "it": "La casa ha tre stanze.",
        "ja": "その家には3つの部屋があります。",
        "cs": "Dům má 3 pokoje.",
    }
    assert all(what.findings == [] for _, what in told(group(rooms), ENGLISH))
    assert lost("fr", {**rooms, "fr": "La maison a des pièces.", "de": "Das Haus hat 3 Zimmer."}) == [
        ("lost_number", "3")
    ]


def test_a_list_with_an_item_less_than_the_others() -> None:
    words = {
        "de": "rot grün blau weiß",
        "es": "rojo verde azul blanco",
        "fr": "rouge vert bleu blanc",
        "ja": "赤 緑 青 白",
    }
    lists = {language: "\n".join(f"- {word}" for word in some.split()) for language, some in words.items()}
    assert lost("es", {**lists, "es": "- rojo\n- verde\n- blanco"}) == [("lost_list", "3 of 4 items")]


def test_a_denial_is_lost_where_all_others_deny_and_enough_do() -> None:
    responses = {**SHUT, "fr": SHUT["fr"].replace("n'est pas", "est")}
    (found,) = of("fr", group(responses)).findings
    assert found.kind == "lost_negation"
    assert responses["fr"][found.start : found.end] == "Le lundi, elle est ouverte."
    assert lost("fr", {**responses, "tr": SHUT["tr"].replace("açık değildir", "kapalıdır")}) == []
    assert lost("fr", {language: responses[language] for language in ("de", "es", "fr", "it", "pt")}) == []


def test_too_few_sisters_tell_nothing() -> None:
    few = {language: TOWER[language] for language in list(TOWER)[:LEAST]}
    assert list(told(group(few), ENGLISH)) == []


def test_a_sister_in_the_language_of_the_source_is_the_source_even_of_a_single_one() -> None:
    found = list(told(group({"fr": TOWER["fr"], "en": "The tower is 48 metres high."}), ENGLISH))
    assert [(one.locale.language, what) for one, what in found] == [
        ("fr", Told(1, Text("?", "", "The tower is 48 metres high."), []))
    ]
    german = group({"fr": TOWER["fr"], "de": TOWER["de"]})
    assert [what.source for _, what in told(german, LOCALES.resolve("de"))] == [german[1].text]


def test_languages_with_several_texts_tell_nothing_and_so_does_an_id_that_is_none() -> None:
    twice = [*group(TOWER), *group({"de": "Etwas ganz anderes.", "it": TOWER["it"]})]
    assert of("fr", twice).sisters == 3  # es, it, ja
    sources = [*group(TOWER), *group({"en": "The tower is 48 metres high."}), *group({"en": "Something else."})]
    assert all(what.source is None and what.sisters == 4 for _, what in told(sources, ENGLISH))
    unrelated = [*group(TOWER), *group({language: f"{number}" for number, language in enumerate(TOWER)})]
    assert list(told(unrelated, ENGLISH)) == []


def test_one_that_was_cut_off_is_not_asked_first() -> None:
    responses = {**TOWER, "de": "Der", "es": "La torre", "fr": TOWER["fr"].replace("48", "84")}
    more = {**responses, "pt": TOWER["es"], "cs": TOWER["it"], "ko": TOWER["ja"], "tr": TOWER["de"]}
    assert ("lost_number", "48") in lost("fr", more)


def test_the_order_of_the_group_does_not_matter() -> None:
    responses = {**TOWER, "fr": TOWER["fr"].replace("48", "84")}
    sisters = group(responses)
    expected = of("fr", sisters)
    for seed in range(5):
        random.Random(seed).shuffle(sisters)
        assert of("fr", sisters) == expected


@pytest.mark.parametrize(
    "piece", ["7 ", "5 miles. ", "http://a.example/x ", "{name} ", "<b>", "Nein? ", "- x\n", "\ud83d "]
)
def test_long_and_odd_texts_come_to_an_end_with_few_findings_of_known_kinds(piece: str) -> None:
    texts = dict.fromkeys(("de", "es", "fr", "it"), piece * (3_000 // len(piece)))
    numbered = "".join(f"{{n{number}}} http://a.example/{number} {number}.\n" for number in range(200))
    for responses in ({**texts, "cs": "Ne."}, {**texts, "cs": numbered}, dict.fromkeys(texts, numbered) | {"cs": ""}):
        findings = of("cs", group(responses)).findings
        assert {one.kind for one in findings} <= KINDS.keys()
        assert len(findings) <= 12 * MOST
