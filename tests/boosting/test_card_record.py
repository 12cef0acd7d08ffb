"""The card as a record: judged by rules that are known, told when boosting, and never trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midb_ray.boosting import card_record, pipeline
from midb_ray.boosting.card_record import Card, CardFigures, model_digest, problems
from midb_ray.boosting.settings import BoostSettings
from midb_ray.engines.settings import EngineSettings

FILES = {"config.json": "10:abc"}
GOOD = CardFigures(
    rows=16,
    parse_rate=0.95,
    pass_rate=0.9,
    truncated_share=0.0,
    reasons={"unparseable": 1},
    raw_nearness=0.8,
    final_nearness=0.85,
    answer_nearness=0.86,
    gain=0.05,
    gain_interval=(0.01, 0.09),
)


def card(found: CardFigures = GOOD, files: dict[str, str] = FILES, **languages: CardFigures) -> Card:
    return Card(
        midb_ray="0.1.0",
        made="2026-01-02T03:04:05Z",  # type: ignore[arg-type]
        model=model_digest(files),
        template="locale",
        seed=None,
        rows_per_language=16,
        all=found,
        languages=languages or {"de": found},
    )


def changed(**values: Any) -> CardFigures:
    return GOOD.model_copy(update=values)


def test_a_good_card_has_no_problem_and_neither_has_a_language_at_the_limits() -> None:
    assert problems(card(GOOD, de=changed(parse_rate=0.9, pass_rate=0.5, gain=0.0))) == []


def test_languages_that_fail_share_a_sentence() -> None:
    bad = changed(parse_rate=0.125, pass_rate=0.496, gain=-0.0125)
    assert problems(card(GOOD, fr=bad, de=changed(parse_rate=0.899), el=GOOD)) == [
        "Fewer than 90 % of the booster's answers parse: de 89.9 %, fr 12.5 %.",
        "Fewer than 50 % of the booster's answers pass the guard: fr 49.6 %.",
        "What the guard lets through is farther from the expert than the raw pair: fr by 0.0125.",
    ]


def test_a_language_with_few_rows_is_not_judged_but_all_rows_together_always_are() -> None:
    bad = changed(parse_rate=0.0)
    assert problems(card(GOOD, de=bad.model_copy(update={"rows": 7}))) == []
    assert len(problems(card(GOOD, de=bad.model_copy(update={"rows": 8})))) == 1
    assert problems(card(changed(parse_rate=0.5, rows=2), de=GOOD)) == [
        "Fewer than 90 % of the booster's answers parse: all 50.0 %."
    ]


def write(folder: Path, content: bytes | Card) -> EngineSettings:
    (folder / "card.json").write_bytes(content if isinstance(content, bytes) else content.to_json())
    return EngineSettings(model=str(folder))


IDENTITY = {"kind": "transformers", "model": {"files": FILES}}


def test_a_job_says_the_card_in_one_line(tmp_path: Path, listen) -> None:
    heard = listen(card_record)
    card_record.tell(write(tmp_path, card()), IDENTITY, "locale")
    assert heard == [
        "Booster card (16 validation rows, languages: 1): 95 % of the answers parse, 90 % pass the guard; nearness to the expert "
        "0.850, of the raw pairs 0.800."
    ]


def test_a_failing_card_and_another_template_are_warnings(tmp_path: Path, listen) -> None:
    heard = listen(card_record)
    card_record.tell(write(tmp_path, card(changed(gain=-0.01, parse_rate=0.2))), IDENTITY, "plain")
    assert heard[1:] == [
        "The booster fails its own card. Fewer than 90 % of the booster's answers parse: all 20.0 %, de 20.0 %.",
        "The booster fails its own card. What the guard lets through is farther from the expert than the raw pair: all by "
        "0.0100, de by 0.0100.",
        "The booster was trained with template locale, and this job boosts with plain; set --template locale.",
    ]


def test_a_model_without_a_card_or_without_a_directory_is_boosted_in_silence(tmp_path: Path, listen) -> None:
    heard = listen(card_record)
    card_record.tell(EngineSettings(model=str(tmp_path)), IDENTITY, "locale")
    card_record.tell(EngineSettings(kind="echo"), {"kind": "echo"}, "locale")
    hub = {"kind": "transformers", "model": {"hub": "some/model", "commit": "abc"}}
    card_record.tell(EngineSettings(model="some/model"), hub, "locale")
    assert heard == []


def test_the_card_of_another_model_is_left_aside(tmp_path: Path, listen) -> None:
    heard = listen(card_record)
    card_record.tell(write(tmp_path, card(files={"config.json": "10:other"})), IDENTITY, "plain")
    (warning,) = heard
    assert warning.startswith(f"{tmp_path}/card.json was made of another model or before its files changed")


def spoilt(**values: Any) -> bytes:
    content = json.loads(card().to_json())
    content.update(values)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe{",
        card().to_json()[:-20],
        b"[]",
        b'{"name": "ace of spades"}',
        b"[" * 100_000,
        b" " * (1 << 20) + card().to_json(),
        spoilt(all={**json.loads(GOOD.model_dump_json()), "parse_rate": float("nan")}),
        spoilt(all={**json.loads(GOOD.model_dump_json()), "pass_rate": 1.5}),
        spoilt(all={**json.loads(GOOD.model_dump_json()), "rows": 10**2000}),
        spoilt(languages={"de\nError: all is lost": json.loads(GOOD.model_dump_json())}),
        spoilt(languages={}),
        spoilt(template="home-made"),
        spoilt(made="yesterday"),
    ],
)
def test_a_damaged_or_foreign_card_is_one_warning(tmp_path: Path, listen, content: bytes) -> None:
    heard = listen(card_record)
    card_record.tell(write(tmp_path, content), IDENTITY, "plain")
    assert heard == [f"{tmp_path}/card.json is no booster card or a damaged one, so it is left aside."]


def test_a_card_that_cannot_be_read_is_one_warning(tmp_path: Path, listen) -> None:
    heard = listen(card_record)
    (tmp_path / "card.json").mkdir()
    card_record.tell(EngineSettings(model=str(tmp_path)), IDENTITY, "locale")
    (warning,) = heard
    assert warning.startswith(f"Cannot read the booster card {tmp_path}/card.json: ")


def test_a_card_of_a_later_version_with_more_in_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, spoilt(hours=3))
    assert card_record.read(str(tmp_path)) == card()


def test_boost_shows_the_card_of_its_model(tmp_path: Path, make_corpus, booster: Path, listen) -> None:
    from midb_ray.engines import models

    files = models.identity(str(booster))["files"]
    (booster / "card.json").write_bytes(card(changed(pass_rate=0.25), files=files).to_json())
    heard = listen(card_record)
    settings = BoostSettings.model_validate(
        {
            "input": [str(make_corpus(2))],
            "output": f"{tmp_path}/run",
            "engine": {"model": str(booster)},
            "template": "plain",
            "dry_run": True,
        }
    )
    assert pipeline.boost(settings) == 0
    line, failing, template = heard
    assert line.startswith("Booster card (16 validation rows, ")
    assert failing.startswith("The booster fails its own card. Fewer than 50 % ")
    assert template.startswith("The booster was trained with template locale")
