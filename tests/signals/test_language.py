"""Languages are told by script where that suffices, by the classifier where it does not, and not at all in short text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midb_ray.locales import load_locales
from midb_ray.signals import language
from midb_ray.signals.language import Identifier, named, sampled

LOCALES = load_locales()
IDENTIFIER = Identifier(LOCALES)

SENTENCES = {
    "en": "The ferry leaves the harbour at noon and reaches the island before the evening.",
    "it": "Il traghetto lascia il porto a mezzogiorno e raggiunge l'isola prima di sera.",
    "es": "El transbordador sale del puerto al mediodía y llega a la isla antes de la noche.",
    "fr": "Le bac quitte le port à midi et arrive sur l'île avant la tombée de la nuit.",
    "de": "Die Fähre verlässt den Hafen am Mittag und erreicht die Insel noch vor dem Abend.",
    "ru": "Паром выходит из гавани в полдень и прибывает на остров до вечера.",
    "ar": "تغادر العبارة الميناء عند الظهر وتصل إلى الجزيرة قبل المساء.",
    "tr": "Feribot öğle vakti limandan ayrılıyor ve akşam olmadan adaya ulaşıyor.",
    "ja": "フェリーは正午に港を出て、夕方までに島に着きます。",
    "ko": "여객선은 정오에 항구를 떠나 저녁 전에 섬에 도착합니다.",
    "pt": "A balsa deixa o porto ao meio-dia e chega à ilha antes do anoitecer.",
    "cs": "Trajekt opouští přístav v poledne a na ostrov dorazí ještě před večerem.",
    "el": "Το πλοίο φεύγει από το λιμάνι το μεσημέρι και φτάνει στο νησί πριν το βράδυ.",
    "id": "Kapal feri meninggalkan pelabuhan pada siang hari dan tiba di pulau sebelum malam.",
    "th": "เรือข้ามฟากออกจากท่าเรือตอนเที่ยงและถึงเกาะก่อนค่ำ",
    "vi": "Chuyến phà rời bến cảng vào buổi trưa và đến đảo trước khi trời tối.",
    "ms": "Feri itu meninggalkan pelabuhan pada waktu tengah hari dan sampai ke pulau sebelum petang.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_agrees_with_its_language_and_with_no_other(language: str) -> None:
    locale = LOCALES.resolve(language)
    found = IDENTIFIER.identify(SENTENCES[language])
    assert found is not None
    assert IDENTIFIER.group(found) == locale.group
    for other in LOCALES:
        assert IDENTIFIER.agrees(SENTENCES[language], other) is (other.group == locale.group)


@pytest.mark.parametrize("text", ["", "42", "OK", "Paris, Rome", "+-*/ 100 %", "`for i in range(10): print(i)`"])
def test_one_cannot_tell_from_short_text_or_code(text: str) -> None:
    assert IDENTIFIER.identify(text) is None
    assert IDENTIFIER.agrees(text, LOCALES.resolve("fr")) is None


def test_code_and_links_do_not_count() -> None:
    text = (
        "```\nwhile not finished and there is more to read: go on\n```\nhttps://example.org/all/of/this/is/english "
        + SENTENCES["de"]
    )
    assert IDENTIFIER.identify(text) == "de"


def test_han_without_kana_is_not_japanese() -> None:
    chinese = "渡轮中午离开港口，傍晚之前到达岛上，乘客们可以在船上吃午饭，也可以看海。"
    assert IDENTIFIER.identify(chinese) is None
    assert IDENTIFIER.agrees(chinese, LOCALES.resolve("ja")) is False
    assert IDENTIFIER.agrees("東京大学", LOCALES.resolve("ja")) is not False


def test_a_latin_name_in_a_japanese_sentence_leaves_it_japanese() -> None:
    assert IDENTIFIER.identify("『The Great Gatsby』はF. Scott Fitzgeraldの小説です。") == "ja"


def test_an_added_language_with_a_script_of_its_own_is_known_by_it(tmp_path: Path) -> None:
    extra = tmp_path / "more.yaml"
    extra.write_text('he: {region: IL, scripts: [Hebrew], quotes: "„”", units: metric}\n', encoding="utf-8")
    locales = load_locales(str(extra))
    hebrew = "המעבורת עוזבת את הנמל בצהריים"
    assert Identifier(locales).identify(hebrew) == "he"
    assert IDENTIFIER.identify(hebrew) is None
    assert IDENTIFIER.agrees(hebrew, LOCALES.resolve("fr")) is False


def test_an_added_language_that_the_classifier_does_not_know_is_never_held_against_a_text(tmp_path: Path) -> None:
    extra = tmp_path / "more.yaml"
    extra.write_text('haw: {region: US, scripts: [Latin], quotes: "“”", units: imperial}\n', encoding="utf-8")
    locales = load_locales(str(extra))
    assert Identifier(locales).agrees(SENTENCES["fr"], locales.resolve("haw")) is None
    assert Identifier(locales).agrees(SENTENCES["ru"], locales.resolve("haw")) is False


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("de", "Übersetze den Satz ins Englische."),
        ("cs", "Přelož to do angličtiny."),
        ("ar", "ترجم الجملة للإنجليزية"),
        ("tr", "Cümleyi İngilizceye çevir."),
        ("vi", "Dịch sang tiếng Anh."),
        ("ja", "英語に翻訳してください。"),
        ("th", "แปลเป็นภาษาอังกฤษ"),
        ("ms", "Terjemahkan ke dalam bahasa Inggeris."),
    ],
)
def test_a_language_is_found_by_its_name_in_any_inflection(tag: str, text: str) -> None:
    assert named(text, "en", LOCALES.resolve(tag))
    assert not any(named(text, other, LOCALES.resolve(tag)) for other in ("it", "ko", "el") if other != tag)


def test_the_sample_is_bounded() -> None:
    assert len(sampled("word " * 100_000)[0]) <= 200


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_identified_or_not(text: str) -> None:
    found = IDENTIFIER.identify(text)
    assert found is None or LOCALES.find(found) is not None


def test_threads_that_need_the_classifier_at_once_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    loaded = language._loaded
    monkeypatch.setattr(language, "_loaded", lambda: (loads.append(1), loaded())[1])
    language._labels.cache_clear()
    language._classifier.cache_clear()
    identifier = Identifier(load_locales())
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(identifier.identify, ["Das ist ein deutscher Satz, der lang genug ist."] * 4))
    assert found == ["de"] * 4
    assert len(loads) == 2  # one for its languages, one to use
