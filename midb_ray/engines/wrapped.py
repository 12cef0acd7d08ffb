"""An engine around another one, to which it passes everything on; who wraps it changes what it asks or adds to it."""

from __future__ import annotations

from collections.abc import Sequence

from midb_ray.engines.base import Charged, Completion, Continuation, Engine, Likelihood, Request, Scorer
from midb_ray.runs.figures import NO_USAGE, Usage


class WrappedEngine:
    """See `base.Engine`, `base.Scorer` and `base.Charged`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.isolated = engine.isolated

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """What the engine answers."""
        return await self._engine.generate(requests)

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """What the engine says."""
        assert isinstance(self._engine, Scorer)  # the settings of a job that measures see to it
        return await self._engine.loglikelihood(rows)

    def usage(self) -> Usage:
        """What the engine's server has counted, if it has one."""
        return self._engine.usage() if isinstance(self._engine, Charged) else NO_USAGE

    def close(self) -> None:
        self._engine.close()
