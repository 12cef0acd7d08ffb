"""What holds for every kind of fault, and what single kinds must and must not do. Rows are written here."""

from __future__ import annotations

import json
from random import Random

import faults
import pytest
from fault_carriers import carriers
from fault_markup import PLACEHOLDER, URL, code
from fault_negation import affirmed, rules
from fault_numerals import values
from fault_responses import list_items
from fault_rows import SECTIONS, Clean, half, read
from fault_text import section_of
from fault_units import imperial, units, written

from midb_ray.pairs import Text

STEPS_EN = """Here are some steps that help:

1. Walk 5 kilometers every morning before breakfast.

2. Do not drink coffee after lunch.

3. Sleep 8 hours in a dark and quiet room.

4. Call a friend when you feel alone.

Most people feel better in 1999 than before."""
STEPS_DE = """Hier sind einige Schritte, die helfen:

1. Gehen Sie jeden Morgen vor dem Frühstück 5 Kilometer.

2. Trinken Sie nach dem Essen keinen Kaffee.

3. Schlafen Sie 8 Stunden in einem dunklen und ruhigen Zimmer.

4. Rufen Sie einen Freund an, wenn Sie allein sind.

Die meisten Menschen fühlten sich im Jahr 1999 besser als zuvor."""
STEPS_FR = (
    "Voici quelques étapes utiles :\n\n1. Marchez 5 kilomètres chaque matin sans vous presser.\n\n2. Pas de café."
)
LANGUAGES = ["it", "es", "fr", "de", "ru", "ar", "tr", "ja", "ko", "pt", "cs", "el", "id", "th", "vi", "ms"]
ROW = Clean("de", 7, Text("How can I live well?", "", STEPS_EN), Text("Wie kann ich gut leben?", "", STEPS_DE))
OTHERS = {"fr": Text("Comment bien vivre ?", "", STEPS_FR), "cs": Text("Jak žít dobře?", "", STEPS_FR)}


def injected(kind: str, seed: int, row: Clean = ROW) -> faults.Faulty:
    faulty = faults.inject(kind, row, Random(seed), OTHERS)
    assert faulty is not None
    return faulty


@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_fault_changes_one_place_of_the_target_and_nothing_else(kind: str) -> None:
    for seed in range(30):
        case = injected(kind, seed)
        before, after = section_of(case.clean.pair, case.section), section_of(case.pair, case.section)
        assert before != after
        assert before[: case.was[0]] == after[: case.span[0]]
        assert before[case.was[1] :] == after[case.span[1] :]
        for section in SECTIONS:
            if section != case.section:
                assert section_of(case.pair, section) == section_of(case.clean.pair, section)
        if not case.prepared:
            assert case.clean == ROW


@pytest.mark.parametrize("kind", faults.KINDS)
def test_the_same_seed_gives_the_same_fault(kind: str) -> None:
    assert injected(kind, 3) == injected(kind, 3)


def test_a_row_without_a_place_gets_no_fault() -> None:
    bare = Clean("ja", 1, Text("Say hello.", "", "Hello."), Text("挨拶して。", "", "こんにちは。"))
    for kind in (
        "number_changed",
        "number_dropped",
        "list_item_lost",
        "sentence_left_in_english",
        "truncated",
        "negation_lost",
    ):
        assert faults.inject(kind, bare, Random(1)) is None
    assert faults.inject("wrong_language", ROW, Random(1)) is None  # nothing in other languages is known


def test_changed_numbers_are_new_to_the_pair_and_markers_of_lists_stay() -> None:
    for seed in range(50):
        case = injected("number_changed", seed)
        new = section_of(case.pair, "response")[slice(*case.span)]
        assert section_of(ROW.pair, "response")[slice(*case.was)] in ("5", "8", "1999")
        assert not set(values(new, "de")) & {1, 2, 3, 4, 5, 8, 1999}


def test_dropped_numbers_are_gone() -> None:
    for seed in range(20):
        case = injected("number_dropped", seed)
        gone = "".join(sign for sign in section_of(ROW.pair, "response")[slice(*case.was)] if sign.isdigit())
        assert gone in ("5", "8", "1999")
        assert gone not in case.pair.response


def test_a_lost_item_leaves_one_fewer_and_numbers_that_close_up_or_gap() -> None:
    seen = set()
    for seed in range(40):
        case = injected("list_item_lost", seed)
        numbers = [case.pair.response[slice(*item.number)] for item in list_items(case.pair.response)]
        assert len(numbers) == 3
        seen.add(case.variant)
        if case.variant == "renumbered":
            assert numbers == ["1", "2", "3"]
        assert "Die meisten Menschen" in case.pair.response
    assert seen == {"renumbered", "gap"}


def test_truncation_keeps_40_to_90_percent_and_ends_within_a_sentence() -> None:
    for seed in range(50):
        kept = injected("truncated", seed).pair.response
        assert 0.4 <= len(kept) / len(STEPS_DE) <= 0.9
        assert kept[-1] not in ".!?:\n "


def test_a_loop_repeats_its_phrase_at_least_four_times() -> None:
    for seed in range(30):
        case = injected("repetition_loop", seed)
        loop = case.pair.response[slice(*case.span)]
        phrase = min(
            (loop[:length] for length in range(3, len(loop) // 4 + 1) if is_loop(loop, length)), key=len, default=""
        )
        assert phrase or case.variant == "numbered"


def is_loop(text: str, length: int) -> bool:
    """Whether `text` is its first `length` characters again and again, the last time perhaps not whole."""
    return all(text[at] == text[at - length] for at in range(length, len(text)))


def test_the_english_sentence_is_one_of_the_source() -> None:
    for seed in range(20):
        case = injected("sentence_left_in_english", seed)
        assert case.pair.response[slice(*case.span)] in STEPS_EN


def test_prepared_faults_have_their_host_on_both_sides() -> None:
    for seed in range(40):
        case = injected("url_dropped", seed)
        assert case.prepared
        (url,) = URL.findall(section_of(case.clean.source, case.section))
        assert url in section_of(case.clean.pair, case.section)
        assert url not in section_of(case.pair, case.section)
        case = injected("placeholder_broken", seed)
        held = [
            sorted(PLACEHOLDER.findall(section_of(side, case.section))) for side in (case.clean.source, case.clean.pair)
        ]
        assert held[0] == held[1] != sorted(PLACEHOLDER.findall(section_of(case.pair, case.section)))


def test_json_keys_are_translated_but_no_strings_nor_comments() -> None:
    block = '{"name": "red"}  # list of names'
    row = Clean("de", 1, Text("Explain.", block, "A red name."), Text("Erkläre.", block, "Ein roter Name."))
    for seed in range(10):
        case = faults.inject("code_keyword_translated", row._replace(language="fr"), Random(seed))
        assert case is not None
        assert case.prepared or case.variant == "name"


def test_a_quantity_is_converted_and_written_in_the_language() -> None:
    assert [imperial("km", 5.0), imperial("celsius", 25.0), imperial("kg", 70.0)] == [3.1, 77.0, 154.0]
    assert written("de", "mile", 3.1) == "3,1 Meilen"
    assert written("cs", "pound", 3.0) == "3 libry"
    assert written("ja", "fahrenheit", 77.0) == "華氏77度"
    case = next(case for case in (injected("units_not_localised", seed) for seed in range(9)) if not case.prepared)
    assert section_of(case.pair, "response")[slice(*case.span)] == "3,1 Meilen"


@pytest.mark.parametrize(
    ("language", "english", "sentence", "affirmative"),
    [
        ("fr", "He does not eat.", "Il ne mange pas.", "Il mange."),
        ("fr", "I have not seen it.", "Je n'ai pas vu cela.", "J'ai vu cela."),
        ("de", "That is not a mistake.", "Das ist kein Fehler.", "Das ist ein Fehler."),
        ("es", "It is not easy.", "Esto no es fácil.", "Esto es fácil."),
        ("tr", "It cannot be done.", "Bu yapılamaz.", "Bu yapılabilir."),
        ("tr", "Do not forget this.", "Bunu unutmayın.", "Bunu unutun."),
        ("tr", "He does not do it.", "Bunu etmiyor.", "Bunu ediyor."),
        ("cs", "They are not here.", "Nejsou tady.", "Jsou tady."),
        ("ja", "It is not a bird.", "それは鳥ではありません。", "それは鳥です。"),
        ("ja", "It cannot fly.", "飛ぶことができません。", "飛ぶことができます。"),
        ("ko", "He does not do it.", "그는 일을 하지 않습니다.", "그는 일을 합니다."),
        ("ko", "It is not a bird.", "그것은 새가 아닙니다.", "그것은 새입니다."),
        ("vi", "You cannot swim.", "Bạn không thể bơi.", "Bạn có thể bơi."),
        ("id", "This is not a bird.", "Ini bukan burung.", "Ini adalah burung."),
        ("ar", "You cannot do that.", "لا يمكنك فعل ذلك.", "يمكنك فعل ذلك."),
        ("el", "He does not eat.", "Αυτός δεν τρώει.", "Αυτός τρώει."),
        ("ru", "He does not eat.", "Он не ест.", "Он ест."),
        ("th", "There is no water.", "ไม่มีน้ำ", "มีน้ำ"),
    ],
)
def test_a_lost_negation_leaves_a_sentence_that_says_the_opposite(
    language: str, english: str, sentence: str, affirmative: str
) -> None:
    source, target = Text("Say it.", "", english), Text("X", "", sentence)
    case = faults.inject("negation_lost", Clean(language, 1, source, target), Random(1))
    assert case is not None
    assert case.pair.response == affirmative


def test_negations_that_only_look_like_one_stay() -> None:
    assert not list(affirmed("It is not only big.", "Es ist nicht nur groß, sondern neu.", "de"))
    assert not list(affirmed("He is a bird.", "それは鳥ではありません。", "ja"))  # the source does not negate
    assert not list(affirmed("It may not be so.", "そうではないかもしれません。", "ja"))


def test_every_language_has_its_words() -> None:
    everywhere = {*LANGUAGES, "en"}
    for kind in ("url", "placeholder", "unit"):
        assert len(carriers()[kind]) >= 8
        assert all(everywhere <= set(carrier) for carrier in carriers()[kind])
    for leads in carriers()["lead"].values():
        assert all(everywhere == set(lead) for lead in leads)
    assert everywhere == set(units())
    assert set(LANGUAGES) == set(rules())
    for words in (code()["words"], code()["renamed"]):
        assert all(set(LANGUAGES) == set(own) for own in words.values())
    assert len({snippet["fence"] for snippet in code()["snippets"]}) >= 10
    for carrier in carriers()["placeholder"]:
        assert len({tuple(sorted(PLACEHOLDER.findall(carrier[language]))) for language in everywhere}) == 1


def test_rows_survive_the_dirt_of_the_files(tmp_path) -> None:
    def row(index: int, instruction: str, response: str) -> dict[str, object]:
        raw = {"Raw Instruction": "r", "Raw Input": "", "Raw Response": "r"}
        return raw | {
            "Revised Instruction": instruction,
            "Revised Input": "",
            "Revised Response": response,
            "source_index": index,
        }

    english = [row(index, "Name a bird.", "The owl is a bird that can see well in the dark.") for index in range(4)]
    odd = {
        "A": "r",
        "B": "",
        "C": "r",
        "D": "Nomina un uccello.",
        "E": "",
        "F": "Il gufo.",
        "Distanza": 3,
        "source_index": 1,
    }
    italian = [
        row(0, "Nomina un uccello.", "Il gufo è un uccello che vede bene al buio."),
        odd,  # keys translated too
        row(2, "Nomina un uccello.", ""),
        row(3, "Name a bird.", "The owl is a bird that can see well in the dark."),
        row(9, "Nomina un uccello.", "Il gufo."),  # no such source
    ]
    (tmp_path / "English.json").write_text(json.dumps(english), "utf-8")
    (tmp_path / "Italian.json").write_text(json.dumps(italian), "utf-8")
    rows = read(tmp_path)
    assert sorted(rows["it"]) == [0, 1]
    assert rows["it"][1].pair == Text("Nomina un uccello.", "", "Il gufo.")


def test_the_halves_are_about_equal_and_stay() -> None:
    halves = [half(index) for index in range(2000)]
    assert 0.45 < halves.count("measure") / 2000 < 0.55
    assert [half(0), half(1), half(2)] == halves[:3]
