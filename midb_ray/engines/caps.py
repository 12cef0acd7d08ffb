"""What a run spends, over all its starts, and the moment at which it reaches a cap."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import NamedTuple

from midb_ray.engines import halt
from midb_ray.engines.cap_settings import CapSettings
from midb_ray.runs import folder, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")

FILE = "spent.json"
_BEAT = 1.0  # seconds between looks at the clock
_JUDGED = 256  # requests of a start from which on the share of errors means something


class Spent(NamedTuple):
    """Generated tokens, hours that the pool was up, and their cost if it is known what an hour costs."""

    tokens: int
    hours: float
    cost: float | None


class Account:
    """Counts what a run spends; a context manager around the time that its pool is up.

    Once a cap is reached it calls a halt, and `reached` says why. Time is written down at intervals, so that a killed driver costs
    the record about one of them. `figures` are the run's, and grow while the account is open.
    """

    def __init__(self, run: str, caps: CapSettings, replicas: int, figures: Figures, seconds: float) -> None:
        self._run, self._caps, self._replicas, self._figures, self._interval = run, caps, replicas, figures, seconds
        self._before, self._replica_before = _read(run)
        self._errors_before = figures.engine_errors  # an engine that has been mended is not blamed for them
        self._began: float | None = None
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="caps", daemon=True)
        self._lock = threading.Lock()
        self._halted = False
        self.reached = self._cap()

    def __enter__(self) -> Account:
        """Raises OSError if the run folder cannot be written."""
        halt.clear(self._run)
        self._began = time.monotonic()
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._heart.join()
        self._before, self._replica_before = self._seconds()
        self._began = None
        try:
            self._write()
            halt.clear(self._run)
        except OSError as error:  # what the block itself raised matters more
            logger.warning("Cannot write %s: %s", FILE, error)

    @property
    def spent(self) -> Spent:
        """What the run has spent by now."""
        seconds, replica_seconds = self._seconds()
        price = self._caps.cost_per_hour
        cost = None if price is None else replica_seconds / 3600 * price
        return Spent(self._figures.generated_tokens, seconds / 3600, cost)

    def check(self) -> None:
        """Call a halt if a cap is reached. Storage that fails is asked again with the next look."""
        with self._lock:
            self.reached = self.reached or self._cap()
            if self.reached is None or self._halted:
                return
            try:
                halt.call(self._run)
            except OSError as error:
                logger.warning("Cannot stop the run at its cap: %s", error)
                return
            self._halted = True
            logger.warning("A cap is reached: %s. Shards in flight are finished, no others begin.", self.reached)

    def _cap(self) -> str | None:
        """The cap that is reached, as a clause."""
        caps, spent = self._caps, self.spent
        if caps.tokens is not None and spent.tokens >= caps.tokens:
            return f"{spent.tokens:,} tokens of {caps.tokens:,} (caps.tokens)"
        if caps.hours is not None and spent.hours >= caps.hours:
            return f"{spent.hours:.4g} hours of {caps.hours:g} (caps.hours)"
        if caps.cost is not None and spent.cost is not None and spent.cost >= caps.cost:
            return f"a cost of {spent.cost:.4g} of {caps.cost:g} (caps.cost)"
        errors, requests = (
            now - then for now, then in zip(self._figures.engine_errors, self._errors_before, strict=True)
        )
        if requests >= _JUDGED and errors > caps.engine_errors * requests:
            return f"errors of the engine on {errors:,} of {requests:,} requests (caps.engine_errors {caps.engine_errors:g})"
        return None

    def _seconds(self) -> tuple[float, float]:
        """Seconds that the pool was up, and the same for each of its replicas together."""
        now = 0.0 if self._began is None else time.monotonic() - self._began
        return self._before + now, self._replica_before + now * self._replicas

    def _beat(self) -> None:
        due = time.monotonic() + self._interval
        while not self._ended.wait(min(_BEAT, self._interval)):
            self.check()
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                try:
                    self._write()
                except OSError as error:
                    logger.warning("Cannot write %s: %s", FILE, error)

    def _write(self) -> None:
        seconds, replica_seconds = self._seconds()
        content = {"seconds": round(seconds, 3), "replica_seconds": round(replica_seconds, 3)}
        folder.write_json(self._run, FILE, content)


def _read(run: str) -> tuple[float, float]:
    """What earlier starts of the run have written; a record that cannot be understood says nothing. Raises OSError."""
    try:
        found = json.loads(storage.read_bytes(storage.join(run, FILE)))
        return float(found["seconds"]), float(found["replica_seconds"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return 0.0, 0.0
