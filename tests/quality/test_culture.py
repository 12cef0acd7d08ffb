"""What in a pair does not follow the conventions of its locale."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality.culture import findings
from midb_ray.quality.findings import KINDS, Finding

LOCALES = load_locales()


def found(response: str, language: str, instruction: str = "") -> list[Finding]:
    return findings(Text(instruction, "", response), LOCALES.resolve(language))


FOREIGN = [
    ("imperial_unit", "La ville est à 10 miles.", "fr", "10 miles", "16,1\u202fkm"),
    ("imperial_unit", "Es sind 5 Meilen bis zum See.", "de", "5 Meilen", "8,05 km"),
    ("imperial_unit", "Es sind fünf Meilen bis zum See.", "de", "fünf Meilen", "8,05 km"),
    ("imperial_unit", "駅まで10マイルです。", "ja", "10マイル", "16.1 km"),
    ("currency", "Das Buch kostet $20.", "de", "$20", "EUR (€)"),
    ("number_form", "Es waren 1,234.56 Tonnen.", "de", "1,234.56", "1.234,56"),
    ("date_form", "Am 12/25/2024 ist Weihnachten.", "de", "12/25/2024", "25.12.24"),
    ("time_form", "Wir treffen uns um 3:30 PM.", "de", "3:30 PM", "15:30"),
    ("us_reference", "Fragen Sie das IRS.", "de", "IRS", "Finanzamt"),
    ("us_reference", "Ask the IRS about it.", "en-GB", "IRS", "HMRC"),
    ("punctuation", "Cómo estás?", "es", "?", "¿…?"),
]


@pytest.mark.parametrize(("kind", "response", "language", "text", "suggestion"), FOREIGN)
def test_a_foreign_form_is_found_with_its_local_one(
    kind: str, response: str, language: str, text: str, suggestion: str
) -> None:
    (one,) = found(response, language)
    assert (one.kind, one.text) == (kind, text)
    assert response[one.start : one.end] == text
    assert (one.suggestion or "").replace("\xa0", " ") == suggestion.replace("\u202f", " ").replace("\xa0", " ") or (
        (one.suggestion or "").replace("\u202f", " ").replace("\xa0", " ") == suggestion.replace("\u202f", " ")
    )
    assert KINDS[one.kind].dimension == "localisation"


@pytest.mark.parametrize(
    ("response", "language"),
    [
        ("La ville est à 10 miles (16 km).", "fr"),
        ("J'ai lu 10 livres.", "fr"),
        ("Version 1.2.3 vom 2024-12-25 auf `$5`.", "de"),
        ("Ein Monitor mit 27 Zoll.", "de"),
        ("Ask the IRS: it is 5 miles, $20.", "en"),
    ],
)
def test_what_is_right_in_its_place_has_no_finding(response: str, language: str) -> None:
    assert found(response, language) == []


def test_a_task_that_converts_units_may_name_them() -> None:
    assert found("10 Meilen sind viel.", "de", "Rechne 10 Meilen in Kilometer um: umrechnen!") == []


def test_a_pair_about_the_us_may_name_what_is_there() -> None:
    assert found("Das IRS verlangt $20.", "de", "Wie zahlt man in den Vereinigten Staaten Steuern?") == []


@pytest.mark.parametrize("odd", ["9" * 10_000, "$" * 10_000, "1/0 Meilen", "٣ Meilen", "²3 Zoll", "1," * 9_000])
def test_odd_texts_raise_nothing(odd: str) -> None:
    for locale in LOCALES:
        findings(Text(odd, odd, odd), locale)


def test_a_temperature_below_zero_keeps_its_sign() -> None:
    for written in ("-40 °F", "\u221240 °F"):
        text = Text("Quel temps fait-il ?", "", f"Il fait {written} dehors.")
        (one,) = findings(text, LOCALES.resolve("fr"))
        assert text.response[one.start : one.end] == written
        assert (one.suggestion or "").replace("\u2212", "-").startswith("-40")


def test_a_metric_amount_beside_excuses_only_the_quantity_that_it_equals() -> None:
    assert not found("Das Brett misst 10 Zoll (25 cm).", "de")
    assert [one.kind for one in found("Das Brett misst 10 Zoll und ist 3 cm dick.", "de")] == ["imperial_unit"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("길이는 12 mi입니다.", "ko"),
        ("気温は華氏72度です。", "ja"),
        ("長さは4.5 inです。", "ja"),
        ("Le réservoir contient 12 gal.", "fr"),
    ],
)
def test_abbreviations_and_units_in_front_are_found(text: str, language: str) -> None:
    assert [one.kind for one in found(text, language)] == ["imperial_unit"]


def test_a_preposition_is_no_inch() -> None:
    assert not found("Nel 2010 erano 5 in tutto.", "it")


def test_what_the_prompt_of_a_booster_asks_for_is_what_is_looked_for() -> None:
    for locale in LOCALES:
        asked = locale.conventions_text
        assert all(f" {local}" in asked for _, local in locale.marks)
        assert ("15" in asked.partition("times as in ")[2][:5]) == locale.counts_24_hours or locale.language in (
            "ar",
            "th",
        )
        for mark, local in locale.marks:
            letter = {"ja": "か", "ar": "ب", "el": "α"}[locale.language]
            marked = [one for one in found(f"{letter * 3}{mark}", locale.language) if one.kind == "punctuation"]
            assert [one.suggestion for one in marked] == [local]


@pytest.mark.parametrize(
    "text", ["Sei $x = 1$ und $f(x) = 2x + 3$.", "Dann gilt $5$.", "Benutzen Sie awk '{print $1}' für die Spalte."]
)
def test_formulas_and_shell_variables_are_no_dollars(text: str) -> None:
    assert not [one for one in found(text, "de") if one.kind == "currency"]


def test_two_prices_are_no_formula() -> None:
    assert [one.text for one in found("Es kostet $20 und nicht $30.", "de")] == ["$20", "$30"]
