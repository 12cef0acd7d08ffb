"""Languages: whatever people call one resolves, and users add their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.locales import load_locales


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("French", "fr"),
        ("FRENCH", "fr"),
        (" fr ", "fr"),
        ("fr-FR", "fr"),
        ("fr-CA", "fr-CA"),
        ("fr_ca", "fr-CA"),
        ("fra", "fr"),
        ("fre", "fr"),
        ("français", "fr"),
        ("pt-PT", "pt-PT"),
        ("pt-BR", "pt"),
        ("zsm", "ms"),
        ("Bahasa Indonesia", "id"),
        ("日本語", "ja"),
        ("es-Latn-MX", "es-MX"),
        ("es-419", "es"),
    ],
)
def test_names_codes_and_tags_resolve(name: str, tag: str) -> None:
    assert load_locales().resolve(name).tag == tag


@pytest.mark.parametrize(
    "name", ["", "xx", "Klingon", "../../etc", "fr/../..", "-", "\x00", "french-CA", "fr-Q7", "de-duplicated"]
)
def test_what_is_no_language_is_none(name: str) -> None:
    assert load_locales().find(name) is None


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'french'"):
        load_locales().resolve("Frensh")


def test_conventions_are_those_of_the_region() -> None:
    locales = load_locales()
    assert (locales.resolve("de").decimal, locales.resolve("de").grouping) == (",", ".")
    assert (locales.resolve("es-MX").decimal, locales.resolve("es-MX").currency) == (".", "MXN")
    assert locales.resolve("ja").currency == "JPY"
    assert locales.resolve("id").group == locales.resolve("ms").group != locales.resolve("vi").group


def test_a_user_adds_a_language(tmp_path: Path) -> None:
    added = tmp_path / "more.yaml"
    added.write_text(
        "nl: {codes: [nld, dut], region: NL, scripts: [Latin], quotes: '“”', units: metric}\n", encoding="utf-8"
    )
    locale = load_locales(str(added)).resolve("Nederlands")
    assert (locale.tag, locale.name, locale.region_name) == ("nl", "Dutch", "Netherlands")
    assert load_locales(str(added)).find("fr") is not None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- nl", "expected a mapping"),
        ("nl: 3", "'nl'"),
        ("nl: {region: NL}", "is missing"),
        ("nl: {region: NL, scripts: [Latin], quotes: x, units: metric}", "quotes"),
        ("nl: {region: NL, scripts: [Latin], quotes: '“”', units: furlongs}", "units"),
        ("nl: {region: NL, scripts: [Latin], quotes: '“”', units: metric, colour: 1}", "unknown key 'colour'"),
        ("qq: {region: NL, scripts: [Latin], quotes: '“”', units: metric}", "CLDR"),
        ("no: {region: 'NO', scripts: [Latin], quotes: '«»', units: metric}", "quote it"),
        ("nb: {region: NO, scripts: [Latin], quotes: '«»', units: metric}", "quote it"),
        ("nl: {region: [}", "not valid YAML"),
        ("nl: 3\nnl: 3", "the key 'nl' stands twice in one mapping, on lines 1 and 2"),
    ],
)
def test_a_language_file_of_another_form_gets_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    added = tmp_path / "bad.yaml"
    added.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        load_locales(str(added))


def test_a_language_file_that_is_absent_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_locales(f"{tmp_path}/no.yaml")
    assert str(caught.value) == f"Cannot read the languages in {tmp_path}/no.yaml: No such file or directory."
