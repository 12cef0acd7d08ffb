"""Texts to measure go through the actor under the rules of requests: halving, attempts, the death of an engine, one commit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from midb_ray.engines import actor, bundles
from midb_ray.engines.base import (
    Comparison,
    Completion,
    Continuation,
    EngineError,
    Likelihood,
    Request,
    Similarity,
)
from midb_ray.engines.flight import Flight, pack
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.runs import attempts, folder
from midb_ray.runs.figures import Figures
from tests.engines.test_actor import PAIRS, REQUESTS

TEXTS = [Continuation([0], [place, 1]) for place in range(40)]


class Measuring:
    """Answers and measures; raises on poisonous texts, is lost on a deadly one, and notes the sizes of what it was given."""

    isolated = False

    def __init__(self, *poison: int, deadly: int = -1) -> None:
        self.poison, self.deadly = poison, deadly
        self.asked: list[int] = []
        self.measured: list[int] = []
        self.compared: list[int] = []

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked.append(len(requests))
        return [Completion(f"answer to {request.text}", "stop", 1) for request in requests]

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        self.measured.append(len(rows))
        if any(row.ids[0] == self.deadly for row in rows):
            raise EngineError("the device is dead")
        if any(row.ids[0] in self.poison for row in rows):
            raise ValueError("this text")
        return [Likelihood(-float(row.ids[0]), len(row.ids)) for row in rows]

    async def similarity(self, rows: Sequence[Comparison]) -> list[Similarity]:
        self.compared.append(len(rows))
        if any(row.one == str(self.deadly) for row in rows):
            raise EngineError("the device is dead")
        if any(row.one in map(str, self.poison) for row in rows):
            raise ValueError("these texts")
        return [Similarity(float(row.one) / 100) for row in rows]

    def close(self) -> None: ...


class Keep:
    """Keeps the flight that it was given at the end."""

    def __init__(self) -> None:
        self.flights: list[Flight] = []
        self.completions: list[Completion | None] = []

    def finish(self, flight, completions):
        self.flights.append(flight)
        self.completions += completions
        figures = Figures(rows_in=flight.pairs.num_rows)
        for _ in range(flight.pairs.num_rows):
            figures.count("de", "sound", ())
        return flight.pairs, flight.dead_letters, figures


def run(
    opened: folder.RunFolder,
    engine: Measuring,
    requests: Sequence[Request | None],
    texts: Sequence[Continuation | None],
) -> tuple[list[Completion | None], list[Likelihood | None], Figures]:
    kept, figures = taken(opened, engine, pack(3, PAIRS, [], requests, continuations=texts))
    return kept.completions, list(kept.flights[0].likelihoods), figures


def taken(opened: folder.RunFolder, engine: Measuring, row: pa.Table) -> tuple[Keep, Figures]:
    work = Keep()

    async def through():
        return await actor.EngineActor(opened, lambda: engine, work, PoolSettings(storage_patience=0))(
            bundles.fold(row)
        )

    (report,) = bundles.unfold(asyncio.run(through())).to_pylist()
    assert report["error"] is None
    return work, Figures.from_json(report["figures"])


@pytest.fixture
def opened(tmp_path: Path) -> folder.RunFolder:
    return folder.open_run(str(tmp_path / "run"), "score", {}, {})


def test_a_shard_has_answers_and_likelihoods_in_their_places(opened: folder.RunFolder) -> None:
    engine = Measuring()
    requests, texts = [None, *REQUESTS[1:]], [*TEXTS[:19], None, *TEXTS[:20]]
    completions, likelihoods, figures = run(opened, engine, requests, texts)
    assert [one and one.text for one in completions] == [None, *(f"answer to prompt {n}" for n in range(1, 20))]
    assert likelihoods == [text and Likelihood(-float(text.ids[0]), 2) for text in texts]
    assert (engine.asked, engine.measured) == ([19], [20])  # equal ones once
    assert (figures.duplicates, figures.generated_tokens) == (19, 19)
    ((_, told),) = figures.engines.items()
    assert (told.rows, told.errors) == (19 + 39, 0)


def test_a_text_on_which_the_engine_fails_is_found_by_halving(opened: folder.RunFolder) -> None:
    engine = Measuring(4, 17)
    _, likelihoods, figures = run(opened, engine, [None] * 20, TEXTS[:20])
    assert engine.asked == []
    failed = [place for place, one in enumerate(likelihoods) if one is not None and one.error]
    assert failed == [4, 17]
    assert {likelihoods[place].error for place in failed} == {"ValueError: this text"}  # type: ignore[union-attr]
    assert len(engine.measured) <= 2 * 2 * 5 + 1
    ((_, told),) = figures.engines.items()
    assert told.errors == 2


def test_the_record_of_attempts_counts_texts_behind_requests(opened: folder.RunFolder) -> None:
    for rows in (
        (0, 60),
        (24, 28),
        (25, 26),
        (25, 26),
    ):  # 20 requests and 40 texts; the sixth text killed twice by itself
        attempts.Attempt(opened.uri, 3).begin(rows)
    engine = Measuring()
    completions, likelihoods, _ = run(opened, engine, REQUESTS, TEXTS)
    assert all(one is not None and one.finish == "stop" for one in completions)
    lost = likelihoods.pop(5)
    assert lost is not None
    assert (lost.error, math.isnan(lost.total)) == (actor.ENGINE_CRASH, True)
    assert all(one is not None and one.error is None for one in likelihoods)
    assert sum(engine.measured) == 39
    assert max([*engine.asked, *engine.measured]) <= 4  # in parts


def test_texts_are_compared_under_the_same_rules(opened: folder.RunFolder) -> None:
    for rows in (
        (0, 60),
        (44, 48),
        (45, 46),
        (45, 46),
    ):  # behind 20 requests and 20 texts: the sixth two, killed by themselves
        attempts.Attempt(opened.uri, 3).begin(rows)
    engine = Measuring(99, 11)
    both = [Comparison(str(place), "") for place in range(20)]
    kept, figures = taken(opened, engine, pack(3, PAIRS, [], REQUESTS, continuations=TEXTS[:20], comparisons=both))
    found = kept.flights[0].similarities
    assert {place: one.error for place, one in enumerate(found) if one is not None and one.error} == {
        5: actor.ENGINE_CRASH,
        11: "ValueError: these texts",
    }
    assert [one.cosine for one in found if one is not None and not one.error] == [
        place / 100 for place in range(20) if place not in (5, 11)
    ]
    assert [one.error for one in kept.flights[0].likelihoods if one is not None] == [
        "ValueError: this text" if place == 11 else None for place in range(20)
    ]
    ((_, told),) = figures.engines.items()
    assert (told.rows, told.errors) == (60, 3)


@pytest.mark.parametrize("isolated", [False, True])
def test_an_engine_that_is_lost_on_a_text_ends_the_process_and_is_written_down(
    opened: folder.RunFolder, monkeypatch: pytest.MonkeyPatch, isolated: bool
) -> None:
    class Gone(BaseException):
        """Stands for the end of the process."""

    def leave(status: int) -> None:
        raise Gone

    monkeypatch.setattr(actor.os, "_exit", leave)
    monkeypatch.setattr(actor, "_GRACE", 0.1)
    engine = Measuring(deadly=7)
    engine.isolated = isolated
    with pytest.raises(Gone):
        run(opened, engine, REQUESTS, TEXTS[:20])
    assert attempts.Attempt(opened.uri, 3).deaths == [(0, 40)]
