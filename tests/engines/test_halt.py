"""A halt: what an engine has taken in is finished, and nothing else begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from midb_ray.engines import bundles, halt, pool
from midb_ray.engines.actor import EngineActor
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import pack, unpack
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.pairs import Pair, table_to_pairs
from midb_ray.runs import commit, folder, shards
from midb_ray.runs.figures import Figures


@pytest.fixture(autouse=True)
def ask_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halt, "_FRESH", 0)


PAIR = Pair("f:1", None, None, "de", "Frage", "", "Antwort")


class Waiting:
    """An engine that answers when it is told to."""

    isolated = False

    def __init__(self) -> None:
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked.set()
        await self.told.wait()
        return [Completion("answer", "stop", 1) for _ in requests]

    def close(self) -> None: ...


class Keep:
    def finish(self, flight, completions):
        figures = Figures(rows_in=flight.pairs.num_rows)
        for pair in table_to_pairs(flight.pairs):
            figures.count(pair.language, "unchanged", ())
        return flight.pairs, flight.dead_letters, figures


def test_a_shard_inside_an_actor_is_committed_and_the_next_one_left(tmp_path: Path) -> None:
    run = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    row = [bundles.fold(pack(shard, [PAIR], [], [Request("prompt", None, 9)])) for shard in range(2)]

    async def halted() -> list[dict[str, object]]:
        engine = Waiting()
        actor = EngineActor(run, lambda: engine, Keep(), PoolSettings())
        first = asyncio.create_task(actor(row[0]))
        await engine.asked.wait()
        halt.call(run.uri)
        second = await actor(row[1])
        engine.told.set()
        return [bundles.unfold(table).to_pylist()[0] for table in (await first, second)]

    done, left = asyncio.run(halted())
    assert Figures.from_json(done["figures"]).rows_out == 1
    assert (left["shard"], left["figures"], left["error"]) == (1, None, None)
    assert commit.read_part(run.uri, 0) is not None
    assert commit.read_part(run.uri, 1) is None


def test_nothing_is_handed_out_or_prepared_after_a_halt_and_everything_once_it_is_over(tmp_path: Path) -> None:
    import numpy as np

    run = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    plan = [shards.Shard(n, "f", "f", "lines", "alpaca", 0, 0, 1, 1, 1) for n in range(6)]
    shards.write_plan(f"{run.uri}/plan.parquet", [shards.to_table(plan)])
    prepared = []

    def prepare(shard):
        prepared.append(shard.shard)
        return pack(shard.shard, [PAIR], [], [None])

    handed = pool._plan_rows(run.uri, 0, np.array([False, True, False, False, False, False]), 2)
    first = next(handed)
    halt.call(run.uri)
    assert list(handed) == []
    left = bundles.unfold(pool._prepared(run.uri, prepare, 0, first)).to_pylist()
    assert left == [{"shard": shard, "figures": None, "error": None} for shard in (0, 2)]
    assert prepared == []
    halt.clear(run.uri)
    halt.clear(run.uri)  # also where there is none
    handed = pool._plan_rows(run.uri, 0, np.zeros(6, dtype=bool), 4)
    assert [bundles.unfold(one).column("shard").to_pylist() for one in handed] == [[0, 1, 2, 3], [4, 5]]
    parcels = bundles.unfold(pool._prepared(run.uri, prepare, 0, first))
    assert [unpack(parcels.slice(place, 1)).shard for place in range(2)] == [0, 2]
    assert prepared == [0, 2]


def test_a_halt_can_be_called_in_an_object_store(s3: str) -> None:
    run = f"{s3}/run"
    assert not halt.is_called(run)
    halt.call(run)
    assert halt.is_called(run)
    halt.clear(run)
    assert not halt.is_called(run)


def test_storage_that_does_not_answer_has_called_no_halt(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not halt.is_called(f"{tmp_path}/file/run")
    assert not halt.is_called(f"{tmp_path}/absent")


def test_storage_is_asked_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(halt, "_FRESH", 60)
    monkeypatch.setattr(halt.storage, "info", asked.append)
    assert [halt.is_called(str(tmp_path)) for _ in range(5)] == [False] * 5
    assert len(asked) == 1
