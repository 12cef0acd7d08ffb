"""An engine around the judge's engine, which asks again where an answer cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midb_ray.engines.base import Completion, Continuation, Engine, Likelihood, Request, Scorer
from midb_ray.quality import judge
from midb_ray.quality.judge import Verdict
from midb_ray.runs.figures import NO_USAGE, Usage


class AskingEngine:
    """Asks each request up to `tries` times, as another sample each time; the last answer stays where none can be read. Tokens are
    those of all answers to a request."""

    def __init__(self, engine: Engine, tries: int) -> None:
        self._engine, self._tries = engine, tries
        self.isolated = engine.isolated

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`; raises what the engine raises."""
        found = await self._engine.generate(requests)
        for number in range(1, self._tries):
            again = [
                place for place, one in enumerate(found) if one.finish != "error" and isinstance(verdict(one), str)
            ]
            if not again:
                break
            asked = [requests[place]._replace(sample=requests[place].sample + number) for place in again]
            for place, new in zip(again, await self._engine.generate(asked), strict=True):
                found[place] = new._replace(tokens=found[place].tokens + new.tokens)
        return found

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """What the engine says, which is asked once: probabilities can always be read."""
        assert isinstance(self._engine, Scorer)  # the settings see to it
        return await self._engine.loglikelihood(rows)

    def usage(self) -> Usage:
        """What the engine's server has counted, if it has one."""
        usage: Callable[[], Usage] | None = getattr(self._engine, "usage", None)
        return NO_USAGE if usage is None else usage()

    def close(self) -> None:
        self._engine.close()


def verdict(completion: Completion) -> Verdict | str:
    """The verdict in a completion, or why it is none."""
    if completion.finish == "length":
        return "the answer was cut off"
    try:
        return judge.parse(completion.text)
    except ValueError as error:
        return str(error)
