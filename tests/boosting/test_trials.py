"""Trying a booster: which rows it is tried on, and how its answers are read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from midb_ray.boosting import card as cards
from midb_ray.boosting import trials
from midb_ray.engines import registry as engines
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.prompts import serialise
from tests.boosting.carding import LOCALES, mended, pair, row, task, write_set


def test_a_row_that_the_engine_fails_on_has_no_answer_and_costs_no_other_row_its_own(tmp_path: Path) -> None:
    engine = EngineSettings(kind="echo", echo_fail_on="Nummer 2 ")
    card = cards.measure(task(tmp_path, mended(4), engine=engine))
    assert card is not None
    assert (card.all.parse_rate, card.all.pass_rate, card.all.reasons) == (0.75, 0.75, {"engine_error": 1})
    assert card.all.answer_nearness == 1


class Scripted:
    """An engine whose answers are known beforehand."""

    isolated = False

    def __init__(self, answers: list[Completion]) -> None:
        self._answers = answers

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        assert len(requests) == len(self._answers)
        return self._answers

    def close(self) -> None:
        self._answers = []


def test_answers_are_read_as_the_guard_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = serialise(pair(1, ".")), "Hier ist das Paar:\n" + serialise(pair(1, "."))
    answers = [
        Completion(right.replace("\n", "\r\n"), "stop", 9),
        Completion(wrong, "stop", 9),
        Completion("Nein.", "stop", 9),
        Completion(right, "length", 9),
    ]
    monkeypatch.setattr(engines, "build", lambda settings: Scripted(answers))
    rows = [row(number, pair(1), pair(1, ".")) for number in range(4)]
    card = cards.measure(task(tmp_path, rows))
    assert card is not None
    assert (card.all.parse_rate, card.all.pass_rate, card.all.truncated_share) == (0.5, 0.25, 0.25)
    assert card.all.reasons == {"preamble": 1, "unparseable": 1, "truncated": 1}
    assert card.all.answer_nearness == 1


def test_the_same_rows_are_chosen_in_any_order_of_the_file(tmp_path: Path) -> None:
    rows = [*mended(20), *mended(20, "fr-CA", 20), *mended(2, "German", 40)]
    first = trials.choose(write_set(tmp_path / "a.parquet", rows), 5, LOCALES)
    random.Random(1).shuffle(rows)
    assert trials.choose(write_set(tmp_path / "b.parquet", rows), 5, LOCALES) == first
    assert [trial.language for trial in first] == ["de"] * 5 + ["fr-CA"] * 5
    assert {trial.raw for trial in first[:5]} != {pair(number) for number in range(5)}  # not the first of the file
    more = trials.choose(str(tmp_path / "a.parquet"), 8, LOCALES)
    assert {trial for trial in first if trial.language == "de"} < {trial for trial in more if trial.language == "de"}
    assert len(trials.choose(str(tmp_path / "a.parquet"), 100, LOCALES)) == 42


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "Cannot read the validation set PATH: "),
        (lambda path: path.write_bytes(b"{}"), "Cannot read the validation set PATH: "),
        (
            lambda path: pq.write_table(pq.read_table(path).drop_columns(["raw_input"]), path),
            "The validation set PATH has no column 'raw_input'; expected revisions.",
        ),
        (
            lambda path: write_set(path, [*mended(1), {**mended(1)[0], "response": None}]),
            "The validation set PATH has rows without text in the column 'response'.",
        ),
        (lambda path: write_set(path, mended(1, "Frensh")), "Unknown language 'Frensh'; did you mean 'french'"),
    ],
)
def test_a_file_that_is_no_validation_set_is_one_sentence(tmp_path: Path, spoil: Any, told: str) -> None:
    path = tmp_path / "validation.parquet"
    write_set(path, mended(2))
    spoil(path)
    with pytest.raises(UserError) as refused:
        trials.choose(str(path), 5, LOCALES)
    assert str(refused.value).startswith(told.replace("PATH", str(path)))
    assert "\n" not in str(refused.value)
