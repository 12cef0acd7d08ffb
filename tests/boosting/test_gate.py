"""The gate: what it leaves alone, and that it skips nothing by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from midb_ray.boosting import plan
from midb_ray.boosting.gate import Gate, number
from midb_ray.boosting.gate_settings import GateSettings
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair
from midb_ray.runs import inputs

GOOD = "Die Sonne geht im Osten auf, weil sich die Erde von Westen nach Osten um sich selbst dreht."


def pair(language: str = "de", response: str = GOOD, **extra: Any) -> Pair:
    asked = "Warum geht die Sonne im Osten auf?"
    return Pair("f:1", None, None, language, asked, "", response, (), json.dumps(extra) if extra else None)


def gate(**settings: Any) -> Gate:
    return Gate(GateSettings.model_validate(settings), GuardSettings(), load_locales())


def test_a_gate_without_conditions_is_off_and_skips_nothing() -> None:
    assert not GateSettings().on
    assert not gate().skips(pair(score=5))


@pytest.mark.parametrize(
    ("languages", "skipped"),
    [
        (["German"], {"de", "de-AT"}),
        (["fr-CA", "it"], {"fr-CA", "it"}),
        (["pt"], {"pt", "pt-PT", "pt-BR"}),
    ],
)
def test_a_language_means_all_its_regions_and_a_region_only_itself(languages: list[str], skipped: set[str]) -> None:
    asked = ("de", "de-AT", "fr", "fr-CA", "it", "pt", "pt-PT", "pt-BR")
    known = load_locales()
    found = {tag for tag in asked if gate(languages=languages).skips(pair(known.resolve(tag).tag))}
    assert found == skipped


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'french'"):
        gate(languages=["Frensh"])


@pytest.mark.parametrize(
    ("value", "skipped"),
    [(4.5, True), (5, True), ("4.6", True), (4.49, False), (None, False), (True, False), ("good", False), ([5], False)],
)
def test_a_number_in_a_column_is_compared_and_what_is_none_goes_to_the_engine(value: Any, skipped: bool) -> None:
    assert gate(column="score", at_least=4.5).skips(pair(score=value)) is skipped


def test_both_bounds_make_a_band_and_a_missing_column_skips_nothing() -> None:
    band = gate(column="perplexity", at_least=2, at_most=20)
    assert [band.skips(pair(perplexity=value)) for value in (1.9, 2, 20, 20.1)] == [False, True, True, False]
    assert not band.skips(pair())
    assert not band.skips(pair(score=3))


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', f'{{"a": {10**400}}}', '{"a": "nan"}'),
        pytest.param(f'{{"a": 1, "b": {"[" * 100_000}{"]" * 100_000}}}', id="deep"),
        pytest.param(f'{{"a": {"9" * 5_000}}}', id="long"),
    ],
)
def test_what_is_no_finite_number_is_none(text: str) -> None:
    assert number(text, "a") is None


def test_all_conditions_that_are_set_have_to_hold() -> None:
    both = gate(languages=["de"], column="score", at_least=4, no_defects=True)
    assert both.skips(pair(score=4))
    assert not both.skips(pair("fr", score=4))
    assert not both.skips(pair(score=3))
    assert not both.skips(pair(response=f"{GOOD} <|eot_id|>", score=4))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"at_least": 4}, "gate.column"),
        ({"at_most": 4}, "gate.column"),
        ({"column": "score"}, "expected at_least or at_most"),
        ({"column": "score", "at_least": 5, "at_most": 4}, "expected at least gate.at_least"),
    ],
)
def test_conditions_that_say_nothing_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=told):
        GateSettings.model_validate(settings)


def test_signals_alone_are_blunt() -> None:
    assert GateSettings(no_defects=True).blunt
    assert not GateSettings(no_defects=True, languages=("de",)).blunt
    assert not GateSettings().blunt


def test_the_conditions_can_be_said_in_words() -> None:
    settings = GateSettings(languages=("de", "fr"), column="score", at_least=4.5, at_most=5, no_defects=True)
    assert settings.words() == "language de or fr, score of at least 4.5 and at most 5, no defect that signals see"


@pytest.mark.parametrize(
    ("column", "told"), [("scroe", "keys found: 'score', 'topic'"), ("topic", "keys found: 'score', 'topic'")]
)
def test_a_column_without_numbers_is_told_with_the_keys_that_there_are(tmp_path: Path, column: str, told: str) -> None:
    corpus = tmp_path / "a.jsonl"
    row = {"instruction": "Wie?", "output": "So.", "language": "de", "score": 3, "topic": "Wege"}
    corpus.write_text("".join(json.dumps(row) + "\n" for _ in range(40)))
    given = {"input": [str(corpus)], "output": f"{tmp_path}/run", "engine": {"kind": "echo"}, "shard_rows": 4}
    settings = BoostSettings.model_validate({**given, "gate": {"column": column, "at_least": 1}})
    work = BoostWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))
    with pytest.raises(UserError, match=f"None of 40 rows .* in the column '{column}' .*{told}"):
        plan.planned(work, f"{tmp_path}/run", inputs.find(settings.input), 0, map)
    sighted = settings.model_copy(update={"gate": GateSettings(column="score", at_least=1)})
    (found,) = plan.planned(BoostWork(sighted, work.locales), f"{tmp_path}/run", inputs.find(settings.input), 0, map)
    assert sum(found.column("rows").to_pylist()) == 40
