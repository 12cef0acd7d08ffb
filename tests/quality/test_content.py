"""Defects that a pair shows by itself."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality import content
from midb_ray.quality.findings import KINDS, LONGEST

LOCALES = load_locales()
GOOD = Text(
    "Nenne drei Bäume, die im Stadtpark wachsen.",
    "Der Park liegt am Fluss.",
    "Dort wachsen Linden, Ahorne und alte Kastanien, unter denen Bänke stehen.",
)


def kinds(text: Text, language: str = "de") -> list[str]:
    found = list(content.findings(text, LOCALES.resolve(language)))
    for one in found:
        assert KINDS[one.kind].dimension == "content"
        assert 0 <= one.start <= one.end <= len(getattr(text, one.section))
        assert len(one.text) <= LONGEST
    return [one.kind for one in found]


def test_a_good_pair_has_no_finding() -> None:
    assert kinds(GOOD) == []
    assert kinds(GOOD._replace(input="")) == []


@pytest.mark.parametrize(
    ("kind", "section", "text"),
    [
        ("empty", "response", " \n"),
        ("empty", "instruction", ""),
        ("repetition", "response", "Die Linde ist ein Baum im Park. " * 6),
        ("marker", "response", "Linden und Ahorne stehen dort.<|eot_id|>"),
        ("marker", "response", "User: Und im Winter?\nAssistant: Dann sind sie kahl."),
        ("no_input", "input", "Keine Eingabe."),
        ("echo", "response", "Nenne drei Bäume, die im Stadtpark wachsen. "),
        ("refusal", "response", "Es tut mir leid, aber dabei kann ich nicht helfen."),
        ("character", "response", "Linden,\u0000 Ahorne und Kastanien stehen dort."),
        ("mojibake", "response", "Dort wachsen BÃ¤ume wie die Linde."),
        ("mojibake", "response", "Es ist ein Ahorn â€“ er wächst am Fluss."),
        ("open_fence", "response", "So geht es:\n```python\nbaum = 1"),
    ],
)
def test_each_defect_is_named_where_it_stands(kind: str, section: str, text: str) -> None:
    pair = GOOD._replace(**{section: text})
    assert kinds(pair) == [kind]
    (found,) = content.findings(pair, LOCALES.resolve("de"))
    assert found.section == section


def test_a_finding_points_at_the_characters_that_it_quotes() -> None:
    pair = GOOD._replace(response="Linden stehen dort. [/INST] Ahorne auch.")
    (found,) = content.findings(pair, LOCALES.resolve("de"))
    assert pair.response[found.start : found.end] == found.text == "[/INST]"


@pytest.mark.parametrize("text", ["Château et Âge", "Das kostet 5 € – nicht mehr.", "Ñandú", "Đà Nẵng, Ânh sáng"])
def test_letters_with_accents_are_not_misread_ones(text: str) -> None:
    assert "mojibake" not in kinds(GOOD._replace(response=text))


def test_odd_input_is_no_trouble() -> None:
    for text in ("\ud800", "\x00" * 1000, "Ã" * 100_000, "```" * 999, "<|" * 50_000, "a" * 1_000_000):
        kinds(Text(text, text, text))
