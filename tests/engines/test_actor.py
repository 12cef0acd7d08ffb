"""The actor's bisection and its reports, without Ray around them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from midb_ray.engines import actor, bundles, outcomes
from midb_ray.engines.base import Completion, EngineError, Request
from midb_ray.engines.flight import pack, unpack
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError
from midb_ray.pairs import DEAD_LETTER_SCHEMA, DeadLetter, Pair, table_to_pairs
from midb_ray.runs import attempts, commit, folder
from midb_ray.runs.figures import Figures
from midb_ray.runs.storage import join

PAIRS = [
    Pair(f"f:{n}", f"i{n}", None, "de", f"Frage {n}", "", "Antwort", ("response: mended",), '{"a":1}')
    for n in range(20)
]
REQUESTS = [Request(f"prompt {n}", None, 9) for n in range(20)]


class Picky:
    """An engine that raises whenever a poisonous prompt is among its rows, and notes what it was given."""

    isolated = False

    def __init__(self, *poison: str) -> None:
        self.poison = poison
        self.calls: list[int] = []

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.calls.append(len(requests))
        if any(request.text in self.poison for request in requests):
            raise ValueError("this row")
        return [Completion(f"answer to {request.text}", "stop", 1) for request in requests]

    def close(self) -> None: ...


class Keep:
    """Work that keeps every pair and counts what the engine said."""

    def finish(self, flight, completions):
        figures = Figures(
            rows_in=flight.pairs.num_rows + flight.dead_letters.num_rows, dead_letters=flight.dead_letters.num_rows
        )
        for pair, completion in zip(table_to_pairs(flight.pairs), completions, strict=True):
            figures.count(pair.language, "none" if completion is None else completion.finish, ())
        return flight.pairs, flight.dead_letters, figures


def take(opened: folder.RunFolder, build, row: pa.Table, patience: float = 0) -> dict[str, Any]:
    """What the actor reports of one row that it is given."""

    async def taken() -> pa.Table:
        return await actor.EngineActor(opened, build, Keep(), PoolSettings(storage_patience=patience))(
            bundles.fold(row)
        )

    return bundles.unfold(asyncio.run(taken())).to_pylist()[0]


def run(tmp_path, engine, requests=REQUESTS, run_folder=None) -> tuple[Figures, folder.RunFolder]:
    opened = run_folder or folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    report = take(opened, lambda: engine, pack(3, PAIRS, [], requests))
    assert report["shard"] == 3
    if report["error"] is not None:
        raise UserError(report["error"])
    return Figures.from_json(report["figures"]), opened


def test_a_shard_in_flight_survives_packing() -> None:
    dead = [DeadLetter("f:9", "f", 9, 100, "invalid_json", "why", b"\xff{")]
    requests = [*REQUESTS[:18], None, Request(None, [1, 2, 3], 5)]
    flight = unpack(pack(7, PAIRS, dead, requests))
    assert (flight.shard, table_to_pairs(flight.pairs), flight.requests) == (7, PAIRS, requests)
    assert flight.dead_letters.schema.equals(DEAD_LETTER_SCHEMA)
    assert flight.dead_letters.to_pylist()[0]["raw"] == b"\xff{"


def test_failing_rows_are_found_by_halving_and_the_others_answered(tmp_path) -> None:
    engine = Picky("prompt 4", "prompt 17")
    figures, _ = run(tmp_path, engine)
    assert figures.decisions["de"] == {"stop": 18, "error": 2}
    assert engine.calls[0] == 20
    assert len(engine.calls) <= 2 * 2 * 5 + 1


def test_equal_requests_are_generated_once_and_their_tokens_counted_once(tmp_path) -> None:
    engine = Picky()
    figures, opened = run(tmp_path, engine, [*REQUESTS[:4] * 4, None, *REQUESTS[:3]])
    assert engine.calls == [4]
    assert figures.decisions["de"] == {"none": 1, "stop": 19}
    assert (figures.duplicates, figures.generated_tokens) == (15, 4)
    ((_, told),) = figures.engines.items()
    assert (told.shards, told.rows) == (1, 19)
    part = commit.read_part(opened.uri, 3)
    assert part is not None
    assert part.figures == figures


def test_a_poisonous_row_that_stands_twice_is_tried_as_one(tmp_path) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    for rows in ((0, 4), (3, 4), (3, 4)):
        attempts.Attempt(opened.uri, 3).begin(rows)
    engine = Picky()
    figures, _ = run(tmp_path, engine, [*REQUESTS[:4] * 5], run_folder=opened)
    assert figures.decisions["de"] == {"stop": 15, "error": 5}
    assert engine.calls == [1, 1, 1]


def test_pairs_without_a_request_never_reach_the_engine(tmp_path) -> None:
    engine = Picky()
    figures, _ = run(tmp_path, engine, [None, *REQUESTS[1:]])
    assert engine.calls == [19]
    assert figures.decisions["de"] == {"none": 1, "stop": 19}


def test_a_pair_that_was_read_and_does_not_come_out_stops_the_commit(tmp_path, monkeypatch) -> None:
    finish = Keep.finish

    def losing(self, flight, completions):
        pairs, dead, figures = finish(self, flight, completions)
        figures.rows_out, figures.rows_in = figures.rows_out - 1, figures.rows_in - 1
        return pairs.slice(1), dead, figures

    monkeypatch.setattr(Keep, "finish", losing)
    with pytest.raises(AssertionError, match="shard 3: 19 pairs came out, others than were read"):
        run(tmp_path, Picky())
    assert commit.read_part(f"{tmp_path}/run", 3) is None


def test_a_committed_shard_is_not_generated_again(tmp_path) -> None:
    _, opened = run(tmp_path, Picky())
    again = Picky()
    figures, _ = run(tmp_path, again, run_folder=opened)
    assert again.calls == []
    assert figures.rows_out == 20


def test_after_deaths_the_shard_runs_in_parts_and_the_record_goes_with_the_commit(tmp_path) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    for rows in ((0, 20), (4, 6), (5, 6), (5, 6)):
        attempts.Attempt(opened.uri, 3).begin(rows)
    engine = Picky()
    figures, _ = run(tmp_path, engine, run_folder=opened)
    assert figures.decisions["de"] == {"stop": 19, "error": 1}
    assert max(engine.calls) == 2
    assert not attempts.Attempt(opened.uri, 3).suspect


def test_an_isolated_engine_leaves_a_record_only_where_it_died_itself(tmp_path, monkeypatch) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    left: list[int] = []

    class Gone(BaseException):
        """Stands for the end of the process."""

    def leave(status: int) -> None:
        left.append(status)
        raise Gone

    class Apart(Picky):
        isolated = True

        async def generate(self, requests: Sequence[Request]) -> list[Completion]:
            assert not attempts.Attempt(opened.uri, 3).suspect  # a kill from outside would make it one
            inside.append(len(requests))
            while len(inside) < 2:
                await asyncio.sleep(0.01)
            raise EngineError("the core is dead")

    inside: list[int] = []
    monkeypatch.setattr(actor.os, "_exit", leave)
    monkeypatch.setattr(actor, "_GRACE", 0.1)

    async def together() -> None:
        dying = actor.EngineActor(opened, Apart, Keep(), PoolSettings(storage_patience=0))
        await dying(bundles.fold(*(pack(shard, PAIRS, [], REQUESTS) for shard in (3, 4))))

    with pytest.raises(Gone):
        asyncio.run(together())
    assert left == [70]
    assert [attempts.Attempt(opened.uri, shard).deaths for shard in (3, 4)] == [[(0, 20)], [(0, 20)]]
    engine = Picky()
    engine.isolated = True
    figures, _ = run(tmp_path, engine, run_folder=opened)
    assert engine.calls == [2] * 10  # alone, in parts
    assert figures.decisions["de"] == {"stop": 20}
    assert not attempts.Attempt(opened.uri, 3).suspect


@pytest.mark.parametrize("isolated", [True, False])
def test_an_engine_that_dies_on_a_node_that_is_about_to_go_makes_no_shard_suspect(
    tmp_path, monkeypatch, isolated: bool
) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})

    class Gone(BaseException):
        """Stands for the end of the process."""

    def leave(status: int) -> None:
        raise Gone

    class Dying(Picky):
        async def generate(self, requests: Sequence[Request]) -> list[Completion]:
            raise EngineError("the core is dead")

    async def told() -> None:
        dying = actor.EngineActor(opened, Dying, Keep(), PoolSettings(storage_patience=0))
        dying._departure.begun = True
        await dying(bundles.fold(pack(3, PAIRS, [], REQUESTS)))

    monkeypatch.setattr(Dying, "isolated", isolated)
    monkeypatch.setattr(actor.os, "_exit", leave)
    monkeypatch.setattr(actor, "_GRACE", 0.1)
    with pytest.raises(Gone):
        asyncio.run(told())
    assert not attempts.Attempt(opened.uri, 3).suspect


def test_an_output_that_a_node_does_not_see_is_refused_before_the_first_commit(tmp_path) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    (tmp_path / "run" / "nonce").write_text("another cluster's")
    with pytest.raises(UserError, match="not shared storage"):
        run(tmp_path, Picky(), run_folder=opened)
    assert commit.read_part(opened.uri, 3) is None


def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    (tmp_path / "run" / "pairs").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=join(opened.uri)):
        run(tmp_path, Picky(), run_folder=opened)


@pytest.mark.parametrize(
    ("module", "name"),
    [(folder, "prove_shared"), (commit, "read_part"), (attempts, "Attempt"), (commit, "commit"), (attempts, "_read")],
)
def test_storage_that_refuses_once_costs_time_alone(tmp_path, monkeypatch, module: Any, name: str) -> None:
    opened, works = folder.open_run(str(tmp_path / "run"), "boost", {}, {}), getattr(module, name)
    refusals = [OSError("503 Slow Down")]

    def refusing(*arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return works(*arguments)

    monkeypatch.setattr(module, name, refusing)
    engine = Picky()
    report = take(opened, lambda: engine, pack(3, PAIRS, [], REQUESTS), patience=10)
    assert report["error"] is None
    assert engine.calls == [20]  # nothing is generated twice
    assert not refusals
    part = commit.read_part(opened.uri, 3)
    assert part is not None
    assert part.figures == Figures.from_json(report["figures"])


def test_an_engine_that_cannot_be_built_is_one_sentence(tmp_path) -> None:
    def build() -> Picky:
        raise UserError("Cannot load the model.")

    opened = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    report = take(opened, build, pack(3, PAIRS, [], REQUESTS))
    assert report == {"shard": 3, "figures": None, "error": "Cannot load the model."}


def test_what_an_earlier_stage_refused_is_passed_on(tmp_path) -> None:
    opened, engine = folder.open_run(str(tmp_path / "run"), "boost", {}, {}), Picky()
    report = take(opened, lambda: engine, outcomes.refused(5, UserError("Cannot read a.jsonl.")))
    assert report == {"shard": 5, "figures": None, "error": "Cannot read a.jsonl."}
    assert engine.calls == []


def test_the_engine_is_closed_with_its_actor(tmp_path) -> None:
    closed = []
    engine = Picky()
    engine.close = lambda: closed.append(True)  # type: ignore[method-assign]
    run(tmp_path, engine)
    gc.collect()
    assert closed == [True]
