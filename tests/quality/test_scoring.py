"""A pair, with and without its source, and what scoring says of it."""

from __future__ import annotations

import json

import pytest

from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Text
from midb_ray.quality import output
from midb_ray.quality.scoring import Scorer, source_of
from midb_ray.quality.settings import SourceSettings

COLUMNS = SourceSettings()
SCORER = Scorer(load_locales(), COLUMNS)
SOURCE = {
    "source_instruction": "How high is the old tower by the harbour?",
    "source_response": "The old tower is 48 metres high. It was not built for ships.",
}


def pair(response: str, extra: object = SOURCE, language: str = "fr") -> Pair:
    task = "Quelle est la hauteur de la vieille tour du port ?"
    return Pair("a:1", None, None, language, task, "", response, extra=None if extra is None else json.dumps(extra))


def test_a_faithful_pair_has_all_of_every_score() -> None:
    scored = SCORER.score(pair("La vieille tour mesure 48 mètres. Elle n'a pas été construite pour les navires."))
    assert (scored.scores, scored.source is None, scored.findings) == ((100, 100, 100), False, [])
    assert 0 < scored.richness < 1


def test_what_the_source_said_is_missed_and_lowers_the_translation() -> None:
    scored = SCORER.score(pair("La vieille tour mesure 84 mètres. Elle a été construite pour les navires."))
    assert {one.kind for one in scored.findings} == {"lost_number", "lost_negation"}
    assert scored.scores.translation < 30 < scored.scores.content == 100


def test_without_a_source_nothing_can_be_missed() -> None:
    for extra in (None, {}, {"source_instruction": "How high?"}, {**SOURCE, "source_response": 48}):
        scored = SCORER.score(pair("La vieille tour mesure 84 mètres.", extra))
        assert (scored.source, scored.findings) == (None, [])


def test_a_pair_in_the_wrong_language_is_told_once() -> None:
    scored = SCORER.score(pair("Der alte Turm ist 84 Meter hoch und wurde für die Schiffe gebaut."))
    assert [one.kind for one in scored.findings] == ["wrong_language"]
    assert scored.scores.translation == 0


def test_a_pair_in_the_language_of_the_source_has_no_source() -> None:
    english = pair("The old tower is 84 metres high.", language="en")._replace(
        instruction="How high is the old tower by the harbour?"
    )
    assert SCORER.score(english).source is None


def test_columns_of_another_name_and_odd_rows() -> None:
    named = SourceSettings(instruction="en_q", input="en_i", response="en_a")
    assert source_of('{"en_q": "Why?", "en_a": "So."}', named) == Text("Why?", "", "So.")
    assert source_of('{"en_q": "Why?", "en_i": "It.", "en_a": "So."}', named) == Text("Why?", "It.", "So.")
    for odd in ('{"en_q": ', '{"en_q": null, "en_a": ""}', '["en_q"]', '"en_q"', '{"x": "en_q"}'):
        assert source_of(odd, named) is None


def test_an_unknown_source_language_is_refused() -> None:
    with pytest.raises(UserError, match="Unknown language 'Klingon'"):
        Scorer(load_locales(), SourceSettings(language="Klingon"))


def test_half_a_character_in_a_source_can_be_written() -> None:
    source = '{"source_instruction": "How high?", "source_response": "See http://a.example/\\ud83d and more of it."}'
    scored = SCORER.score(pair("Voir ici et plus encore.", None)._replace(extra=source))
    assert "lost_url" in [one.kind for one in scored.findings]
    output.columns(*zip(scored, strict=True))["findings"].validate(full=True)


@pytest.mark.parametrize(
    "piece", ["7", "```\n", "```\n```\n`a_b` ", "5 miles ", "http://a.example/x ", "{name} ", "$1 "]
)
def test_long_and_odd_texts_come_to_an_end_with_few_findings(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    numbered = "".join(f"{{n{number}}} http://a.example/{number} n{number}@a.example\n" for number in range(2_000))
    for source, target in ((text, text), ("It is 5 and 6.", text), (text, "Non."), (numbered, "Non.")):
        extra = {"source_instruction": "How high?", "source_response": source}
        assert len(SCORER.score(pair(target, extra)).findings) < 200


def test_halves_of_characters_in_a_source_are_repaired() -> None:
    source = source_of('{"source_instruction": "a \\ud800", "source_response": "b \\udfff"}', SourceSettings())
    assert source == Text("a \ufffd", "", "b \ufffd")
