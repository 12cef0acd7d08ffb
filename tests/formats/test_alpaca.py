"""Alpaca rows under all the names that a rule can know."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midb_ray.formats import alpaca
from midb_ray.pairs import Pair

Read = Callable[..., Any]


def test_a_plain_row_becomes_a_pair(read: Read) -> None:
    row = {"instruction": "Nommez un fruit.", "input": "", "output": "La pomme."}
    assert read(row) == Pair("corpora/French.json:7", None, None, "fr", "Nommez un fruit.", "", "La pomme.")


@pytest.mark.parametrize(
    ("instruction", "given", "response"),
    [
        ("Instruction", "INPUT", "Output"),
        ("instruction", "context", "response"),
        ("prompt", "context", "completion"),
        ("query", "input", "response"),
        ("question", "context", "answer"),
        ("inputs", "context", "targets"),
        ("Istruzione", "Input", "Risposta"),
        ("instrucción", "entrada", "salida"),
        ("INSTRUCCION", "Entrada", "Respuesta"),
        ("consigne", "entrée", "réponse"),
        ("Anweisung", "Eingabe", "Ausgabe"),
        ("инструкция", "Входные данные", "Ответ"),
        ("التعليمات", "المدخلات", "الإخراج"),
        ("تعليمات", "ادخال", "استجابة"),
        ("Talimat", "Girdi", "YANIT"),
        ("指示", "入力", "出力"),
        ("지시", "입력", "출력"),
        ("Instrução", "Entrada", "Saída"),
        ("instrukce", "vstup", "výstup"),
        ("Οδηγία", "Είσοδος", "ΑΠΑΝΤΗΣΗ"),
        ("instruksi", "masukan", "keluaran"),
        ("คำสั่ง", "อินพุต", "คำตอบ"),
        ("Hướng dẫn", "Đầu vào", "Phản hồi"),
        ("arahan", "input", "tindak balas"),
    ],
)
def test_keys_in_any_case_and_language_are_understood(read: Read, instruction: str, given: str, response: str) -> None:
    assert alpaca.recognises((instruction, given, response))
    pair = read({instruction: "a", given: "b", response: "c"})
    assert (pair.instruction, pair.input, pair.response, pair.extra) == ("a", "b", "c", None)


def test_a_null_input_is_an_empty_one(read: Read) -> None:
    assert read({"instruction": "a", "input": None, "output": "c"}).input == ""


def test_a_missing_input_is_an_empty_one(read: Read) -> None:
    assert read({"instruction": "a", "output": "c"}).input == ""


def test_the_rest_of_the_row_is_kept_untouched_and_in_order(read: Read) -> None:
    row = {"id": "x", "text": "é", "instruction": "a", "output": "c", "meta": {"score": 0.5, "tags": ["á", None]}}
    pair = read(row)
    assert pair.extra == '{"text":"é","meta":{"score":0.5,"tags":["á",null]}}'


def test_a_full_set_of_own_names_leaves_other_names_in_the_rest(read: Read) -> None:
    pair = read({"instruction": "a", "input": "b", "output": "c", "prompt": "the whole a b"})
    assert (pair.instruction, json.loads(pair.extra)) == ("a", {"prompt": "the whole a b"})


def test_two_names_with_different_values_are_not_guessed_at(refused: Read) -> None:
    letter = refused({"instruction": "Answer the question.", "question": "Why?", "output": "c"})
    assert letter.reason == "ambiguous_field"
    assert "'instruction' is 'Answer the question.'" in letter.detail
    assert "'question' is 'Why?'" in letter.detail


def test_two_own_names_with_different_values_are_ambiguous_even_in_a_full_row(refused: Read) -> None:
    assert refused({"instruction": "a", "input": "", "output": "c", "response": "d"}).reason == "ambiguous_field"


@pytest.mark.parametrize("second", ["c", "", "  ", None])
def test_a_second_name_that_says_nothing_else_is_no_ambiguity(read: Read, second: str | None) -> None:
    pair = read({"instruction": "a", "output": "c", "response": second})
    assert (pair.response, pair.extra) == ("c", None)


def test_a_row_without_a_response_shows_its_keys(refused: Read) -> None:
    letter = refused({"instruction": "a", "Kommentar": "c"})
    assert (letter.reason, letter.detail) == ("missing_response", "keys found: 'instruction', 'Kommentar'")


def test_an_empty_history_is_none(read: Read) -> None:
    assert read({"instruction": "a", "output": "c", "history": []}).extra == '{"history":[]}'


@pytest.mark.parametrize(
    "history", [["q", "a"], [["q"]], [["q", "a", "q"]], [{"q": "a"}], [[{}, "a"]], [["q", ["a"]], ["q", {}]]]
)
def test_a_history_that_is_no_list_of_questions_and_answers_is_a_dead_letter(refused: Read, history: Any) -> None:
    assert refused({"instruction": "a", "output": "c", "history": history}).reason == "wrong_type"


def test_a_pair_that_says_nothing_is_a_dead_letter_whatever_its_history(refused: Read) -> None:
    row = {"instruction": "a", "output": "c", "history": [["q", "a"]]}
    assert refused({**row, "instruction": " "}).reason == "empty_instruction"
    assert refused({**row, "output": None}).reason == "empty_response"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    texts=st.tuples(*[st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))] * 3),
    ids=st.tuples(*[st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))] * 2),
    tags=st.none() | st.lists(st.text(), min_size=1),
)
def test_a_pair_written_as_alpaca_is_read_back_the_same(
    read: Read, texts: tuple[str, str, str], ids: tuple[str | None, str | None], tags: list[str] | None
) -> None:
    extra = json.dumps({"tags": tags}, separators=(",", ":")) if tags else None
    pair = Pair("r", *ids, "fr-CA", "a" + texts[0], texts[1], "c" + texts[2], (), extra)
    again = read(alpaca.to_row(pair))
    assert again._replace(row="r", extra=None) == pair._replace(extra=None)
    assert json.loads(again.extra or "null") == json.loads(extra or "null")


def test_a_name_in_the_rest_never_hides_a_field_of_the_pair() -> None:
    row = alpaca.to_row(Pair("r", None, None, "fr", "a", "", "c", (), '{"output":"older","score":1}'))
    assert row == {
        "instruction": "a",
        "input": "",
        "output": "c",
        "language": "fr",
        "score": 1,
        "extra": {"output": "older"},
    }


def test_an_extra_of_the_rest_is_not_lost_beside_what_stays_apart() -> None:
    rest = json.dumps({"output": 5, "extra": "mine"})
    row = alpaca.to_row(Pair("a:1", None, None, "fr", "Traduis.", "", "Bonsoir", extra=rest))
    assert (row["output"], row["extra"]) == ("Bonsoir", {"output": 5, "extra": "mine"})
