"""metrics.jsonl of a run folder: a line of figures for each moment, appended while the run goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from midb_ray.runs import storage

FILE = "metrics.jsonl"
_PAUSE = 30.0  # seconds between writes of an object: it cannot be appended to, so all of it is written again


class Timeline:
    """The lines of this process, behind what stands there already.

    `add` raises OSError; on object stores it writes from time to time, and `flush` writes the rest.
    """

    def __init__(self, run: str) -> None:
        self._uri = storage.join(run, FILE)
        self._local = storage.is_local(run)
        self._before: list[str] | None = None  # lines of earlier processes, once they are known
        self._lines: list[str] = []  # of this process; kept for object stores alone
        self._written = 0
        self._due = 0.0

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Drop what is there of steps after `step`: they are done again. Returns the lines that stay. Raises
        OSError."""
        kept, entries = [], []
        lines = _read(self._uri)
        for line in lines:
            try:
                before = json.loads(line)
                if before["step"] <= step:
                    kept.append(f"{line}\n")
                    entries.append(before)
            except (ValueError, KeyError, TypeError):  # a line that a killed process did not finish
                continue
        if not lines or len(kept) < len(lines):
            storage.write_bytes(self._uri, "".join(kept).encode())
        self._before = kept
        return entries

    def add(self, entry: dict[str, Any]) -> None:
        """Write a line."""
        line = json.dumps({"time": time.time(), **entry}, ensure_ascii=False) + "\n"
        if self._local:  # one write of one line, so that readers and a kill find whole lines
            with Path(storage.resolve(self._uri)[1]).open("a", encoding="utf-8") as file:
                file.write(line)
            return
        self._lines.append(line)
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if len(self._lines) > self._written:
            if self._before is None:
                self._before = [f"{line}\n" for line in _read(self._uri)]
            storage.write_bytes(self._uri, "".join([*self._before, *self._lines]).encode())
            self._written = len(self._lines)
            self._due = time.monotonic() + _PAUSE


def _read(uri: str) -> list[str]:
    try:
        return storage.read_bytes(uri).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
