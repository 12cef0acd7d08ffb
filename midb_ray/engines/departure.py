"""The end of an engine whose node is about to be taken away, as `ray drain-node` or a cloud's notice says.

Ray Data sends no shard to an actor on such a node, but leaves the actor there: it would stand idle until the node ends, and hold up
a node that waits for its work to be done. So the process leaves when nothing is inside any more, and Ray starts the actor
elsewhere. It also leaves shortly before the deadline, since the end of a whole node is noticed late; and what the node's end
interrupts is not held against the rows that were inside.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from midb_ray.engines import vital_signs
from midb_ray.runs import attempts

logger = logging.getLogger("midb_ray")

_ASK = 2.0  # seconds between questions whether the node is to go, and that nothing must have been inside before the process leaves
_LOOK = 0.5  # seconds between looks whether something is inside and the time has come
_MARGIN = 3.0  # seconds before the deadline
_PATIENCE = 2.0  # seconds for the cluster to answer
_EXIT_STATUS = 75  # EX_TEMPFAIL: Ray sees the actor die and starts it on another node


def taken_away_at() -> float | None:
    """When the node of this process may be gone, in seconds since 1970: it is being drained. Infinite where no time was said, None
    where it stays or the cluster does not answer."""
    import ray
    from ray.experimental import internal_kv

    client = internal_kv.internal_kv_get_gcs_client()
    try:
        draining: dict[str, int] = client.get_draining_nodes(timeout=_PATIENCE)
        deadline = draining.get(ray.get_runtime_context().get_node_id())
    except Exception:  # whatever Ray raises while its head is away
        return None
    return None if deadline is None else deadline / 1000 or math.inf


class Departure:
    """Watches over one actor's node, in a thread. Outside an actor there is nothing to watch."""

    def __init__(
        self,
        at_engine: Mapping[int, tuple[attempts.Attempt, attempts.Range]],
        signs: vital_signs.VitalSigns,
        ask: Callable[[], float | None] = taken_away_at,
    ) -> None:
        """`at_engine` are the shards whose rows the engine has; read only."""
        self._at_engine, self._signs, self._ask = at_engine, signs, ask
        self._inside = 0
        self._free_since = time.monotonic()
        self._cancelled = threading.Event()
        self.begun = False
        if vital_signs.actor_id():
            threading.Thread(target=self._watch, name="departure", daemon=True).start()

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """Around what must be through before the process leaves."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._free_since = time.monotonic()

    def cancel(self) -> None:
        """The actor is given up: there is nobody left to leave."""
        self._cancelled.set()

    def _watch(self) -> None:
        while (deadline := self._ask()) is None:
            if self._cancelled.wait(_ASK):
                return
        if self._cancelled.is_set():
            return
        self.begun = True
        self._take_back()
        logger.warning("This node is about to be taken away: its engine takes no more shards.")
        while time.time() < deadline - _MARGIN and not self._free():
            if self._cancelled.wait(_LOOK):
                return
            deadline = self._ask() or deadline  # a recommendation to leave becomes a notice
        self._take_back()  # one that was just being written down
        with contextlib.suppress(Exception):  # whatever Ray raises while its head is away
            self._signs.leaves()
        left = f"{self._inside} bundles of shards that are done again" if self._inside else "nothing"
        logger.warning("The engine leaves this node with %s inside.", left)
        os._exit(_EXIT_STATUS)

    def _free(self) -> bool:
        """Whether nothing has been inside for a while: Ray Data hears of the drain at its own time, and of the last shard's end."""
        return not self._inside and time.monotonic() - self._free_since > _ASK

    def _take_back(self) -> None:
        """The end of the node is not the rows' doing. What storage does not take costs a shard that runs alone."""
        for attempt, _ in list(self._at_engine.values()):
            with contextlib.suppress(OSError):
                attempt.survived()
