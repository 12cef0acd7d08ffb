"""How far a run is: on a terminal, in the log, and in the run folder for anything that can read a file."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from midb_ray import logs
from midb_ray.errors import UserError
from midb_ray.runs import storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.folder import write_json
from midb_ray.runs.timeline import Timeline

logger = logging.getLogger("midb_ray")

FILE: Final = "progress.json"
_WINDOW = 30  # figures from which the present speed is taken


class _Moment(NamedTuple):
    """What had been done by then: seconds of this process; rows, what they were read into, generated tokens and engines' seconds of
    the run."""

    seconds: float
    rows: int
    read: int
    tokens: int
    up: float
    busy: float


class Progress:
    """The state of a run between its first and its last shard. Use as a context manager."""

    def __init__(self, run: str, job: str, rows: int, done: Figures, seconds: float, watched: str = "boosted") -> None:
        """`watched` is the decision of which the share is told."""
        self._run, self._job, self._rows, self._seconds, self._watched = run, job, rows, seconds, watched
        self.figures = done
        self._resumed_at = done.rows_in
        self._started = time.monotonic()
        self._history: deque[_Moment] = deque([self._moment(0.0)], maxlen=_WINDOW)
        self._seen: dict[tuple[str, str], float] = {}  # when an engine's last shard came in
        self._timeline = Timeline(run)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="progress", daemon=True)
        self._live = Live(console=Console(stderr=True), refresh_per_second=2) if _has_reader() else None

    def __enter__(self) -> Progress:
        self._publish("running")
        if self._live:
            self._live.start()
        self._heart.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self._ended.set()
        self._heart.join()
        if self._live:
            self._live.update(self._table())
            self._live.stop()
        try:
            if error is None:
                self._publish("finished")
            else:
                self._publish("stopped", _why(error))
            self._timeline.flush()
        except OSError as refused:  # what the block itself raised matters more
            logger.warning("Cannot write %s: %s", FILE, refused)

    def add(self, figures: Figures) -> None:
        """Count a committed shard."""
        with self._lock:
            self.figures.add(figures)
            self._seen.update(dict.fromkeys(figures.engines, time.monotonic() - self._started))

    def _beat(self) -> None:
        """Tell where the run stands at intervals, whether shards come in or not."""
        while not self._ended.wait(self._seconds):
            with self._lock:
                self._history.append(self._moment(time.monotonic() - self._started))
            try:
                self._publish("running")
            except OSError as error:
                logger.warning("Cannot write %s: %s", FILE, error)
            if self._live:
                self._live.update(self._table())
            else:
                self.tell()

    def tell(self) -> None:
        """Log where the run stands."""
        logger.info(self.line(), extra=logs.figures({"job": self._job, **self._state()}))

    def line(self) -> str:
        """One plain line for logs."""
        state = self._state()
        eta = "unknown" if state["eta_seconds"] is None else _duration(state["eta_seconds"])
        return (
            f"{self._job}: {state['rows_in']:,} of {state['rows']:,} rows ({state['share']:.1%}), "
            f"{_speed(state)}, {_engines(state)}, "
            f"{state[self._watched]:.1%} {self._watched}, {state['dead_letters']:,} dead letters, ETA {eta}"
        )

    def _state(self) -> dict[str, Any]:
        with self._lock:
            then, now = self._history[0], self._moment(time.monotonic() - self._started)
            elapsed = max(now.seconds - then.seconds, 1e-9)
            speed = (now.rows - then.rows) / elapsed
            left = self._rows - now.rows
            up = now.up - then.up
            active = [name for name, seen in self._seen.items() if seen >= then.seconds]
            return {
                "rows": self._rows,
                "rows_in": self.figures.rows_in,
                "share": self.figures.rows_in / self._rows if self._rows else 1.0,
                "pairs_per_second": (now.read - then.read) / elapsed,
                "tokens_per_second": (now.tokens - then.tokens) / elapsed,
                "engines": len(active),
                "tokens_per_second_per_engine": (now.tokens - then.tokens) / elapsed / max(len(active), 1),
                "busy": (now.busy - then.busy) / up if up > 0 else 0.0,
                "duplicates": self.figures.duplicates,
                self._watched: self.figures.total(self._watched) / max(self.figures.rows_out, 1),
                "dead_letters": self.figures.dead_letters,
                "seconds": now.seconds,
                "eta_seconds": left / speed if speed > 0 else (0.0 if left <= 0 else None),
            }

    def _moment(self, now: float) -> _Moment:
        engines = self.figures.engines.values()
        up, busy = sum(engine.up_seconds for engine in engines), sum(engine.busy_seconds for engine in engines)
        rows = self.figures.rows_in
        return _Moment(now, rows, rows + self.figures.later_turns, self.figures.generated_tokens, up, busy)

    def _publish(self, state: str, reason: str | None = None) -> None:
        known = {key: round(value, 4) if isinstance(value, float) else value for key, value in self._state().items()}
        why = {} if reason is None else {"reason": reason}
        write_json(self._run, FILE, {"job": self._job, "state": state, **why, "updated": time.time(), **known})
        self._timeline.add(known)

    def _table(self) -> Table:
        state = self._state()
        table = Table.grid(padding=(0, 2))
        eta = "–" if state["eta_seconds"] is None else _duration(state["eta_seconds"])
        table.add_row("rows", f"{state['rows_in']:,} of {state['rows']:,} ({state['share']:.1%})")
        table.add_row("speed", _speed(state))
        table.add_row("engines", _engines(state))
        table.add_row(self._watched, f"{state[self._watched]:.1%}")
        table.add_row("dead letters", f"{state['dead_letters']:,}")
        table.add_row("time left", eta)
        return table


def tell_stopped(run: str, reason: str) -> None:
    """Write into the run's progress.json that it stopped and why. Raises OSError."""
    # Somebody may have deleted it: why the run stopped matters more than how far it was.
    write_json(run, FILE, {**_read(run), "state": "stopped", "reason": reason})


def was_stopped(run: str) -> bool:
    """Whether the last start of the run ended in order before its time: told to, at a cap or with an error. A driver that was
    killed says nothing. Raises OSError."""
    return _read(run).get("state") == "stopped"


def _read(run: str) -> dict[str, Any]:
    try:
        found = json.loads(storage.read_bytes(storage.join(run, FILE)))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_reader() -> bool:
    """Whether somebody looks at a terminal; a file or a collector of logs gets lines."""
    return sys.stderr.isatty() and not logs.is_json()


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was told to stop"
    return (
        str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    )


def _speed(state: dict[str, Any]) -> str:
    return f"{state['pairs_per_second']:,.1f} pairs/s, {state['tokens_per_second']:,.0f} tokens/s"


def _engines(state: dict[str, Any]) -> str:
    if not state["engines"]:
        return "no engine at work yet"
    name = "engine" if state["engines"] == 1 else "engines"
    return f"{state['engines']} {name} {state['busy']:.0%} busy with {state['tokens_per_second_per_engine']:,.0f} tokens/s each"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
