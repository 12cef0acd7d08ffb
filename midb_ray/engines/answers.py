"""The answers of a run, so that equal requests of different shards, actors and nodes are generated once.

One small actor of Ray's keeps them in a database on its node's disk, by a hash of the whole request. Who asks first generates; the
others wait. Whoever generates gives signs of life, and when they end, another one generates. Only answers are kept, no failures.
When the disk that they may take is full, the oldest go: what they answered is then generated again. The same happens to all that
was kept when this actor dies; the run goes on with what is asked from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import zstandard

from midb_ray.engines.base import Completion, Request

logger = logging.getLogger("midb_ray")

LEASE = 30.0  # seconds without a sign of life until someone else generates
BEAT = 5.0  # seconds between signs of life
_WAIT = 5.0  # seconds that a question waits for news
_OVERHEAD = 64  # bytes of a row beside its answer: key, index and pages that are not full

Reply = bytes | None | bool
"""The packed answer; None: generate it and `put` it; False: someone else is generating it, so `wait`."""


def key(request: Request) -> bytes:
    """128 bits that stand for all of a request. Nobody can make two texts share them, as they could with a faster hash."""
    content = json.dumps(request, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def packed(completion: Completion) -> bytes:
    """An answer as it is kept."""
    text = json.dumps(completion, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return zstandard.compress(text, 3)


def unpacked(answer: bytes) -> Completion:
    """The inverse of `packed`."""
    return Completion(*json.loads(zstandard.decompress(answer).decode("utf-8", "surrogatepass")))


class AnswerStore:
    """Run as an actor with asynchronous methods. `most` is how many bytes of disk the answers may take."""

    def __init__(self, most: float, lease: float = LEASE) -> None:
        self._most, self._lease = most, lease
        self._asked = asyncio.Condition()
        self._leases: dict[bytes, str] = {}  # what is being generated, and by whom
        self._alive: dict[str, float] = {}  # when an owner was last heard of
        self._open()

    def _open(self) -> None:
        """An empty database."""
        self._bytes = 0
        with tempfile.TemporaryDirectory(prefix="midb-ray-answers-") as folder:
            path = Path(folder) / "answers.sqlite"
            # Without the name the disk is free again as soon as this process ends, however it does.
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for line in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536", "locking_mode=EXCLUSIVE"):
                self._file.execute(f"PRAGMA {line}")
            self._file.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL)")

    async def ask(self, keys: Sequence[bytes], owner: str) -> list[Reply]:
        """What is known of each; what nobody generates is the owner's from now on."""
        self._alive[owner] = time.monotonic()
        return [self._reply(one, owner) for one in keys]

    async def wait(self, keys: Sequence[bytes], owner: str) -> list[Reply]:
        """As `ask`, but only after one of them is answered or given up, or after a while."""
        self._alive[owner] = time.monotonic()
        async with self._asked:
            with contextlib.suppress(asyncio.TimeoutError):  # leases may have run out meanwhile
                await asyncio.wait_for(self._asked.wait_for(lambda: not all(map(self._is_leased, keys))), _WAIT)
        return await self.ask(keys, owner)

    async def put(self, answers: dict[bytes, bytes], given_up: Sequence[bytes], owner: str) -> None:
        """What the owner has generated, and what it could not. A disk that takes no more costs all that was kept."""
        self._alive[owner] = time.monotonic()
        try:
            self._keep(answers)
        except sqlite3.Error as error:  # without a journal the file is good for nothing now
            logger.warning("The answers of the run could not be kept (%s); they are begun anew.", error)
            self._file.close()
            self._open()
        finally:
            async with self._asked:
                for one in (*answers, *given_up):
                    if self._leases.get(one) == owner:
                        del self._leases[one]
                self._asked.notify_all()

    async def beat(self, owner: str) -> None:
        """The owner lives."""
        self._alive[owner] = time.monotonic()

    async def sizes(self) -> tuple[int, int, int]:
        """Answers kept, their bytes, and leases."""
        (count,) = self._file.execute("SELECT count(*) FROM answers").fetchone()
        return count, self._bytes, len(self._leases)

    def _keep(self, answers: dict[bytes, bytes]) -> None:
        self._file.execute("BEGIN")
        for one, answer in answers.items():
            added = self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (one, answer)).rowcount
            self._bytes += added * (len(answer) + _OVERHEAD)
        self._file.execute("COMMIT")
        self._forget_oldest()

    def _reply(self, one: bytes, owner: str) -> Reply:
        found = self._file.execute("SELECT answer FROM answers WHERE key = ?", (one,)).fetchone()
        if found:
            answer: bytes = found[0]
            return answer
        if self._is_leased(one):
            return False
        self._leases[one] = owner
        return None

    def _is_leased(self, one: bytes) -> bool:
        owner = self._leases.get(one)
        return owner is not None and time.monotonic() - self._alive.get(owner, 0.0) < self._lease

    def _forget_oldest(self) -> None:
        """Down to nine tenths, so that it is not done for every shard."""
        if self._bytes <= self._most:
            return
        last = 0
        for row, size in self._file.execute("SELECT rowid, length(answer) FROM answers ORDER BY rowid"):
            last, self._bytes = row, self._bytes - size - _OVERHEAD
            if self._bytes <= 0.9 * self._most:
                break
        self._file.execute("DELETE FROM answers WHERE rowid <= ?", (last,))
