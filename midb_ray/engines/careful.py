"""An engine asked so that a row on which it fails spoils no other, and so that nothing is generated twice in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.engines import duplicates, halving
from midb_ray.engines.base import (
    Comparer,
    Comparison,
    Completion,
    Continuation,
    Engine,
    Likelihood,
    Request,
    Scorer,
    Similarity,
)
from midb_ray.engines.meter import Meter


class CarefulEngine:
    """The engine of one actor. `store` is the handle of an `answers.AnswerStore`, where the run has one.

    Every method raises `EngineError` and `UserError` as the engine does.
    """

    def __init__(self, engine: Engine, meter: Meter, store: Any = None) -> None:
        self._engine, self._meter = engine, meter
        self._shared = None if store is None else duplicates.SharedAnswers(store)

    async def answer(self, requests: Sequence[Request], suspect: bool) -> duplicates.Generated:
        """Generate what nobody in the run has generated. A shard that may kill its engine has nobody wait for it."""
        if self._shared is None or suspect:
            return duplicates.Generated(await self._generate(requests), [True] * len(requests))
        return await self._shared.complete(requests, self._generate)

    async def _generate(self, requests: Sequence[Request]) -> list[Completion]:
        with self._meter.at_engine():
            return await halving.each(self._engine.generate, requests, halving.no_completion)

    async def measure(self, texts: Sequence[Continuation]) -> list[Likelihood]:
        """How likely the engine finds each text."""
        if not texts:
            return []
        assert isinstance(self._engine, Scorer)  # the settings of a job that measures see to it
        with self._meter.at_engine():
            return await halving.each(self._engine.loglikelihood, texts, halving.no_likelihood)

    async def compare(self, both: Sequence[Comparison]) -> list[Similarity]:
        """How near the engine's encoder finds two texts each."""
        if not both:
            return []
        assert isinstance(self._engine, Comparer)  # the job that compares has built it so
        with self._meter.at_engine():
            return await halving.each(self._engine.similarity, both, halving.no_similarity)
