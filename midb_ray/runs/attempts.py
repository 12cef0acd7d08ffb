"""The record of shards that took an engine down with them. It outlives the actor and the driver.

Before rows go to the engine their range is written down; when they are through it is taken back. A record that is found
with a range still in it is a death: from then on the shard runs alone, in ever smaller parts, until the poisonous row
is alone. A row that dies twice by itself is given up.
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

    def begin(self, rows: Range) -> None:
        """Write down that these rows go to the engine now."""
        storage.write_bytes(self._uri, json.dumps({"deaths": self.deaths, "running": rows}).encode())

    def survived(self) -> None:
        """The rows are through; what fails from now on is not the engine's doing."""
        if self.deaths:
            storage.write_bytes(self._uri, json.dumps({"deaths": self.deaths, "running": None}).encode())
        else:
            storage.delete(self._uri)

    def close(self) -> None:
        """The shard is committed: the record has done its work."""
        if self.deaths:
            storage.delete(self._uri)

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
        step = -(-(last - first) // PARTS)
        for start in range(first, last, step):
            yield from self._split((start, min(start + step, last)))


def _read(uri: str) -> list[Range]:
    """The ranges that died, the one that was running among them. A record that cannot be understood says nothing."""
    try:
        record = json.loads(storage.read_bytes(uri))
        ranges = [*record["deaths"], *([record["running"]] if record["running"] else [])]
        return [(int(first), int(last)) for first, last in ranges]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []
