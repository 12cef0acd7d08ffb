"""The actor that puts an engine into a Ray Data pool: generate and measure, hand over to the capability, commit.

Commit belongs here and not to a later stage: a kill then costs at most the shards inside the actors, and slow storage
holds the engine back at once. A row that makes the engine raise is found by bisection; a row that takes the process
down is found by the record of attempts, which outlives the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

import pyarrow as pa

from midb_ray import logs
from midb_ray.engines import bundles, halt, loading, outcomes, vital_signs
from midb_ray.engines.base import Completion, Engine, EngineError, Likelihood, Similarity
from midb_ray.engines.careful import CarefulEngine
from midb_ray.engines.departure import Departure
from midb_ray.engines.flight import Flight, rows, unpack
from midb_ray.engines.meter import Meter
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.questions import Questions
from midb_ray.engines.turnstile import Turnstile
from midb_ray.errors import UserError
from midb_ray.runs import attempts, commit, folder, memory, patience, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")

T = TypeVar("T")
ENGINE_CRASH = "engine_crash"
_GRACE = 2.0  # seconds between the death of an engine and its being written down
_THREADS = 64  # of an actor's own: many small shards wait for storage at the same time
_EXIT_STATUS = 70  # EX_SOFTWARE: Ray sees the actor die and starts another


class Work(Protocol):
    """What a capability does around the engine. It is pickled, so it holds settings and builds the rest on first use."""

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """Output pairs, dead letters and counts of a shard; a completion is None where no request was sent. What was measured and
        compared stands in the flight."""
        ...


class EngineBuilder(Protocol):
    """Loads the engine in the actor's process. Pickled with the actor."""

    def __call__(self) -> Engine: ...


class Answered(NamedTuple):
    """What came of all that a shard asked, None where it asked nothing; how many were answered by what an equal one had brought;
    the tokens that were generated for this shard."""

    completions: list[Completion | None]
    likelihoods: list[Likelihood | None]
    similarities: list[Similarity | None]
    duplicates: int
    tokens: int


class EngineActor:
    """One engine of the pool. Several shards are inside at the same time, so that the engine's batches stay full."""

    def __init__(
        self,
        run: folder.RunFolder,
        build: EngineBuilder,
        work: Work,
        pool: PoolSettings,
        store: Any = None,
    ) -> None:
        """`store` is the handle of an `answers.AnswerStore`, where the run has one."""
        logging.basicConfig(level=logging.INFO, handlers=[logs.handler()])
        self._run, self._work, self._patience = run, work, pool.storage_patience
        self._proven = False
        self._turnstile = Turnstile()
        self._engine: Engine | None = None
        self._at_engine: dict[int, tuple[attempts.Attempt, attempts.Range]] = {}  # by shard
        self._leaving = self._has_threads = False
        self._signs = vital_signs.VitalSigns(run.nonce)
        self._broken: UserError | None = None
        self._meter = Meter(run.uri)
        try:
            self._engine = loading.load(build, pool, run.nonce)
        except UserError as error:  # told with the first shard: raised here it would come with pages of Ray's own
            self._broken = error
        gc.freeze()  # what is there now stays; the collector need not walk through it for every shard
        gc.set_threshold(50_000, 20, 20)
        self._meter.begin(self._engine)
        self._careful = None if self._engine is None else CarefulEngine(self._engine, self._meter, store)
        self._departure = Departure(self._at_engine, self._signs)

    def __del__(self) -> None:
        departure: Departure | None = getattr(self, "_departure", None)
        if departure is not None:
            departure.cancel()
        engine: Engine | None = getattr(self, "_engine", None)
        if engine is not None:  # Ray Data drops this object when the pool shrinks or ends
            engine.close()

    async def __call__(self, bundle: pa.Table) -> pa.Table:
        """Take the shards of a bundle through; returns one of their reports: figures, or the `error` that the user has to mend
        (output that is not shared storage or cannot be written, a model that cannot be loaded, an earlier stage's refusal)."""
        if not self._has_threads:
            self._has_threads = True
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "engine-actor"))
        parcels = bundles.unfold(bundle)
        if "error" in parcels.column_names:
            return bundle
        each = (self._through(parcels.slice(place, 1)) for place in range(parcels.num_rows))
        with self._departure.held_up():
            return bundles.fold(*await asyncio.gather(*each))

    async def _through(self, parcel: pa.Table) -> pa.Table:
        shard = parcel.column("shard")[0].as_py()
        if await asyncio.to_thread(halt.is_called, self._run.uri):
            return outcomes.undone(shard)
        if self._broken is not None:
            return outcomes.refused(shard, self._broken)
        try:
            return outcomes.done(shard, await self._take(shard, parcel))
        except UserError as error:
            return outcomes.refused(shard, error)
        except OSError as error:
            return outcomes.refused(shard, storage.explain(error, self._run.uri, "write to"))

    async def _take(self, shard: int, parcel: pa.Table) -> Figures:
        if not self._proven:
            await self._storage("proving the output before", shard, folder.prove_shared, self._run.uri, self._run.nonce)
            self._proven = True
        part = await self._storage("looking at", shard, commit.read_part, self._run.uri, shard)
        if part is not None and part.digest in self._run.digests and part.figures.rows_in == rows(parcel):
            return part.figures  # a retry of what is done must not cost the engine anything
        flight = await asyncio.to_thread(unpack, parcel)
        attempt = await self._storage("beginning", shard, attempts.Attempt, self._run.uri, shard)
        if attempt.suspect:
            logger.warning(
                "Shard %d runs alone: requests %s of it were inside an engine that died or was killed.",
                shard,
                attempt.last_rows(),
            )
        started = time.monotonic()
        async with self._turnstile.alone() if attempt.suspect else self._turnstile.shared():
            answered = await self._complete(flight, attempt)
            if not self._isolated:
                await self._storage("noting", shard, attempt.survived)
        seconds = time.monotonic() - started
        figures = await asyncio.to_thread(self._commit, flight, answered, seconds)
        await self._storage("closing", shard, attempt.close)
        return figures

    @property
    def _isolated(self) -> bool:
        return self._engine is not None and self._engine.isolated

    async def _storage(self, doing: str, shard: int, action: Callable[..., T], *arguments: Any) -> T:
        """Something about a shard that storage may refuse for a while."""
        again = functools.partial(action, *arguments)
        return await asyncio.to_thread(patience.persist, again, self._patience, f"Shard {shard}, {doing} it")

    async def _complete(self, flight: Flight, attempt: attempts.Attempt) -> Answered:
        """A reply to each question of the shard, whatever the engine does."""
        engine = self._careful
        assert engine is not None  # a shard is refused where there is none
        asked = await asyncio.to_thread(Questions.of, flight)
        found = asked.failed(ENGINE_CRASH)
        known, tokens = asked.duplicates, 0
        for first, last in attempt.parts(asked.number):
            if not (self._isolated or self._departure.begun):
                await self._storage("noting", flight.shard, attempt.begin, (first, last))
            self._at_engine[flight.shard] = attempt, (first, last)
            at = asked.places(first, last)
            try:
                answers, here = await engine.answer(asked.requests.distinct[at.requests], attempt.suspect)
                likelihoods = await engine.measure(asked.continuations.distinct[at.continuations])
                similarities = await engine.compare(asked.comparisons.distinct[at.comparisons])
            except EngineError as error:
                await self._leave(flight.shard, error)
            finally:
                del self._at_engine[flight.shard]
            await asyncio.to_thread(self._signs.answers)
            found.completions[at.requests] = answers
            found.likelihoods[at.continuations] = likelihoods
            found.similarities[at.comparisons] = similarities
            known += len(here) - sum(here)
            tokens += sum(answer.tokens for answer, is_new in zip(answers, here, strict=True) if is_new)
        return Answered(*asked.spread(found), known, tokens)

    async def _leave(self, shard: int, error: EngineError) -> NoReturn:
        """End this process, once it is written down what the engine died with."""
        if not self._leaving:
            self._leaving, inside = True, dict(self._at_engine)
            logger.error("Shard %d: the engine is lost (%s); this process leaves.", shard, error)
            if self._isolated and not self._departure.begun:
                await asyncio.sleep(_GRACE)  # where the whole node is being shut down, this process does not come back
                dying = (self._storage("noting", n, one.died, part) for n, (one, part) in inside.items())
                with contextlib.suppress(Exception):  # what is not written down now will be when the rows kill again
                    await asyncio.wait_for(asyncio.gather(*dying), max(self._patience, _GRACE))
            os._exit(_EXIT_STATUS)
        await asyncio.Event().wait()  # another shard is at it
        raise AssertionError

    def _commit(self, flight: Flight, answered: Answered, seconds: float) -> Figures:
        flight = flight._replace(likelihoods=answered.likelihoods, similarities=answered.similarities)
        pairs, dead_letters, figures = self._work.finish(flight, answered.completions)
        if pairs.num_rows != flight.pairs.num_rows + flight.finished.num_rows:
            raise AssertionError(f"shard {flight.shard}: {pairs.num_rows} pairs came out, others than were read")
        figures.engine_seconds, figures.duplicates = seconds, answered.duplicates
        errors = sum(one is not None and one.finish == "error" for one in answered.completions)
        measured = (*answered.likelihoods, *answered.similarities)
        errors += sum(one is not None and one.error is not None for one in measured)
        told = self._meter.take()
        figures.engines = self._meter.figures(flight.sent, errors, answered.tokens, told)
        try:
            write = functools.partial(commit.commit, self._run.uri, flight.shard, self._run.digest)
            again = functools.partial(write, pairs, dead_letters, figures)
            patience.persist(again, self._patience, f"Shard {flight.shard}, committing it")
        except BaseException:
            self._meter.give_back(told)
            raise
        self._meter.count(flight.sent, answered.tokens, told)
        memory.give_back()
        return figures
