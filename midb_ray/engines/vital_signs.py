"""What the engines of a run know of each other and of their own earlier processes: who came up, who works, who only dies.

Kept in the cluster's own store, a word for each actor, since an actor's process cannot remember what it was before. The words are
those of one start of a run: what an earlier one knew need not be true any more.
"""

from __future__ import annotations

import logging
import time

from midb_ray.errors import UserError
from midb_ray.runs import cluster

logger = logging.getLogger("midb_ray")

GIVE_UP = 10  # deaths in a row of an engine that comes up but answers nothing
_MORE = 4  # times as many once an engine of the run has answered: poisonous rows may stand together, and cost two deaths each
_BEAT = 60.0  # seconds between words that an engine works


class VitalSigns:
    """Those of one actor's engine in a run. Without an actor (in a test, or without Ray) nothing is said and nothing known."""

    def __init__(self, run: str) -> None:
        """`run` is the run's nonce."""
        self._actor, start = _actor_and_start()
        self._run = f"{run} {start}"
        self._told = float("-inf")

    def begin(self) -> None:
        """Before the engine loads. Raises `UserError` if it has died again and again without an answer to anything."""
        deaths = self._deaths()
        most = GIVE_UP if not self._actor or cluster.noted(f"answered {self._run}") is None else _MORE * GIVE_UP
        if deaths >= most:
            cluster.note(self._unanswered, None)
            raise UserError(
                f"The engine died {deaths} times in a row without answering a single request after it had come up. What it said "
                "stands above or in Ray's log of its node; try another model, other engine settings or, if it was the memory, "
                "a larger node. What is done is kept, and the same command goes on."
            )

    def came_up(self) -> None:
        """The engine is loaded. Until it answers something, its end counts as a death."""
        if self._actor:
            cluster.note(f"up {self._run}", "")
            self._tell()
            cluster.note(self._unanswered, str(self._deaths() + 1))

    def leaves(self) -> None:
        """The engine is well, and its process ends with its node: no death."""
        if self._actor:
            cluster.note(self._unanswered, None)

    def somebody_came_up(self) -> bool:
        """Whether an engine of the run ever came up, this one or another."""
        return bool(self._actor) and cluster.noted(f"up {self._run}") is not None

    def answers(self) -> None:
        """The engine has answered something. Costs a word to the cluster now and then; one that is lost does no harm."""
        now = time.monotonic()
        if not self._actor or now - self._told < _BEAT:
            return
        before, self._told = self._told, now
        try:
            cluster.note(self._unanswered, None)
            cluster.note(f"answered {self._run}", "")
            self._tell()
        except Exception as error:  # whatever Ray raises while its head is away
            logger.warning("The cluster does not take the word that an engine works: %s", error)
            self._told = before

    def others_work(self, seconds: float) -> bool:
        """Whether another engine of the run has come up or answered something within so many seconds."""
        if not self._actor:
            return False
        found = cluster.all_noted(f"works {self._run} ")
        found.pop(f"works {self._run} {self._actor}", None)
        return any(time.time() - float(when) < max(seconds, 2 * _BEAT) for when in found.values())

    def _tell(self) -> None:
        cluster.note(f"works {self._run} {self._actor}", str(time.time()))

    def _deaths(self) -> int:
        return int((cluster.noted(self._unanswered) if self._actor else None) or 0)

    @property
    def _unanswered(self) -> str:
        return f"unanswered {self._run} {self._actor}"


def actor_id() -> str:
    """The id of the actor that this process is, the same over its restarts; empty elsewhere."""
    return _actor_and_start()[0]


def _actor_and_start() -> tuple[str, str]:
    import ray

    if not ray.is_initialized():
        return "", ""
    context = ray.get_runtime_context()
    return context.get_actor_id() or "", context.get_job_id()
