"""An engine around the judge's engine, which asks again where an answer cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from midb_ray.engines.base import Completion, Engine, Request
from midb_ray.engines.wrapped import WrappedEngine
from midb_ray.quality import judge
from midb_ray.quality.judge import Verdict


class AskingEngine(WrappedEngine):
    """Asks each request up to `tries` times, as another sample each time; the last answer stays where none can be read. Tokens are
    those of all answers to a request."""

    def __init__(self, engine: Engine, tries: int) -> None:
        super().__init__(engine)
        self._tries = tries

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


def verdict(completion: Completion) -> Verdict | str:
    """The verdict in a completion, or why it is none."""
    if completion.finish == "length":
        return "the answer was cut off"
    try:
        return judge.parse(completion.text)
    except ValueError as error:
        return str(error)
