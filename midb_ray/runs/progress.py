"""How far a run is: on a terminal, in the log, and in the run folder for anything that can read a file."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from midb_ray.runs.figures import Figures
from midb_ray.runs.folder import write_json
from midb_ray.runs.timeline import Timeline

logger = logging.getLogger("midb_ray")

_WINDOW = 30  # figures from which the present speed is taken


class Progress:
    """The state of a run between its first and its last shard. Use as a context manager."""

    def __init__(self, run: str, job: str, rows: int, done: Figures, seconds: float) -> None:
        self._run, self._job, self._rows, self._seconds = run, job, rows, seconds
        self.figures = done
        self._resumed_at = done.rows_in
        self._started = time.monotonic()
        self._history: deque[tuple[float, int, int]] = deque([(0.0, done.rows_in, done.answer_tokens)], maxlen=_WINDOW)
        self._timeline = Timeline(run)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="progress", daemon=True)
        self._live = Live(console=Console(stderr=True), refresh_per_second=2) if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        self._publish("running")
        if self._live:
            self._live.start()
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._heart.join()
        if self._live:
            self._live.update(self._table())
            self._live.stop()
        try:
            self._publish("finished" if kind is None else "stopped")
            self._timeline.flush()
        except OSError as error:  # what the block itself raised matters more
            logger.warning("Cannot write progress.json: %s", error)

    def add(self, figures: Figures) -> None:
        """Count a committed shard."""
        with self._lock:
            self.figures.add(figures)

    def _beat(self) -> None:
        """Tell where the run stands at intervals, whether shards come in or not."""
        while not self._ended.wait(self._seconds):
            with self._lock:
                now = time.monotonic() - self._started
                self._history.append((now, self.figures.rows_in, self.figures.answer_tokens))
            try:
                self._publish("running")
            except OSError as error:
                logger.warning("Cannot write progress.json: %s", error)
            if self._live:
                self._live.update(self._table())
            else:
                logger.info(self.line())

    def line(self) -> str:
        """One plain line for logs."""
        state = self._state()
        eta = "unknown" if state["eta_seconds"] is None else _duration(state["eta_seconds"])
        return (
            f"{self._job}: {state['rows_in']:,} of {state['rows']:,} pairs ({state['share']:.1%}), "
            f"{state['pairs_per_second']:,.1f} pairs/s, {state['tokens_per_second']:,.0f} tokens/s, "
            f"{state['accepted']:.1%} boosted, {state['dead_letters']:,} dead letters, ETA {eta}"
        )

    def _state(self) -> dict[str, Any]:
        with self._lock:
            now = time.monotonic() - self._started
            then, rows, tokens = self._history[0]
            elapsed = max(now - then, 1e-9)
            speed = (self.figures.rows_in - rows) / elapsed
            left = self._rows - self.figures.rows_in
            return {
                "rows": self._rows,
                "rows_in": self.figures.rows_in,
                "share": self.figures.rows_in / self._rows if self._rows else 1.0,
                "pairs_per_second": speed,
                "tokens_per_second": (self.figures.answer_tokens - tokens) / elapsed,
                "accepted": self.figures.total("boosted") / max(self.figures.rows_out, 1),
                "dead_letters": self.figures.dead_letters,
                "seconds": now,
                "eta_seconds": left / speed if speed > 0 else (0.0 if left <= 0 else None),
            }

    def _publish(self, state: str) -> None:
        known = {key: round(value, 4) if isinstance(value, float) else value for key, value in self._state().items()}
        content = {"job": self._job, "state": state, "updated": time.time(), **known}
        write_json(self._run, "progress.json", content)
        self._timeline.add(known)

    def _table(self) -> Table:
        state = self._state()
        table = Table.grid(padding=(0, 2))
        eta = "–" if state["eta_seconds"] is None else _duration(state["eta_seconds"])
        table.add_row("pairs", f"{state['rows_in']:,} of {state['rows']:,} ({state['share']:.1%})")
        table.add_row("speed", f"{state['pairs_per_second']:,.1f} pairs/s, {state['tokens_per_second']:,.0f} tokens/s")
        table.add_row("boosted", f"{state['accepted']:.1%}")
        table.add_row("dead letters", f"{state['dead_letters']:,}")
        table.add_row("time left", eta)
        return table


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
