"""The record of shards that took an engine down with them. It outlives the actor and the driver.

Before rows go to an engine that computes in the actor's own process their range is written down; when they are through it is
taken back. A record that is found with a range still in it is a death, whatever it was that ended the process, unless the run
itself had been told to stop (`forgive`). An engine with a process of its own leaves somebody to say that it died: only then is
there a record, and a lost node or a killed job makes no shard suspect. From the first death on the shard runs alone, in ever
smaller parts, until the poisonous row is alone. A row that dies twice by itself is given up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from midb_ray.runs import storage

Range = tuple[int, int]
FOLDER = "attempts"
PARTS = 16  # a shard of 256 rows is down to single rows after two more deaths; each costs a model load
GIVE_UP = 2


class Attempt:
    """One shard's record. Rows are counted within the shard's requests."""

    def __init__(self, run: str, shard: int) -> None:
        self._uri = storage.join(run, FOLDER, f"{shard:08d}.json")
        self.deaths: list[Range] = _read(self._uri)

    @property
    def suspect(self) -> bool:
        """Whether this shard must run alone."""
        return bool(self.deaths)

    def last_rows(self) -> str:
        """The rows of the last death, for a log: "0 to 11"."""
        first, last = self.deaths[-1]
        return f"{first} to {last - 1}"

    def begin(self, rows: Range) -> None:
        """Write down that these rows go now to an engine that would take this process along."""
        self._write(rows)

    def died(self, rows: Range) -> None:
        """Write down that the engine died with these rows, for those who outlive it. May be tried again where it raises."""
        self._write(None, [*self.deaths, rows])

    def survived(self) -> None:
        """The rows of `begin` are through; what fails from now on is not the engine's doing."""
        if self.deaths:
            self._write(None)
        else:
            storage.delete(self._uri)

    def close(self) -> None:
        """The shard is committed: the record has done its work."""
        if self.deaths:
            storage.delete(self._uri)

    def _write(self, running: Range | None, deaths: list[Range] | None = None) -> None:
        """Processes die more often than power fails: for that, a wait for the disk with every shard would be too much."""
        record = {"deaths": self.deaths if deaths is None else deaths, "running": running}
        storage.write_bytes(self._uri, json.dumps(record).encode(), lasting=False)

    def parts(self, rows: int) -> list[Range]:
        """The ranges to run one after the other; rows that are given up are in none of them."""
        return list(self._split((0, rows))) if rows else []

    def _split(self, part: Range) -> Iterator[Range]:
        deaths = self.deaths.count(part)
        if not deaths:
            yield part
            return
        first, last = part
        if last - first == 1:
            if deaths < GIVE_UP:
                yield part
            return
        if self.deaths == [part] and last - first <= PARTS:
            yield part  # alone, but whole: of many small shards inside at a death all but one are innocent
            return
        step = -(-(last - first) // PARTS)
        for start in range(first, last, step):
            yield from self._split((start, min(start + step, last)))


def forgive(run: str) -> None:
    """Take back what was running when a start of the run ended in order, by Ctrl-C for one: no engine had died of it. Not for a
    run at which engines are at work."""
    for file in storage.list_files(storage.join(run, FOLDER)):
        try:
            record = json.loads(storage.read_bytes(file.uri))
            deaths, running = record["deaths"], record["running"]
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            continue  # it says nothing
        if not deaths:
            storage.delete(file.uri)
        elif running:
            storage.write_bytes(file.uri, json.dumps({"deaths": deaths, "running": None}).encode(), lasting=False)


def _read(uri: str) -> list[Range]:
    """The ranges that died, the one that was running among them. A record that cannot be understood says nothing."""
    try:
        record = json.loads(storage.read_bytes(uri))
        ranges = [*record["deaths"], *([record["running"]] if record["running"] else [])]
        return [(int(first), int(last)) for first, last in ranges]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []
