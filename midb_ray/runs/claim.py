"""One driver at a time for a run folder: two would plan, clear and commit against each other.

On one machine the kernel decides: a driver holds an abstract Unix socket named after the folder, which dies with it. Between
machines a record in the folder decides, rewritten while the driver lives; one that has been silent for a minute is dead. Object
stores have no locks, so a driver writes its record, waits a moment and looks whether it is still its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

import xxhash

from midb_ray.errors import UserError
from midb_ray.runs import storage

logger = logging.getLogger("midb_ray")

FILE = "driver.json"
BEAT = 10.0  # seconds between signs of life
STALE = 60.0  # seconds until no sign means death
SETTLE = 2.0  # seconds until a record on an object store is nobody else's


class Claim:
    """A run folder that this process alone drives. Use as a context manager."""

    def __init__(self, run: str) -> None:
        self._uri = storage.join(run, FILE)
        self._run = run
        self.token = secrets.token_hex(16)
        self._socket = socket.socket(socket.AF_UNIX) if hasattr(socket, "AF_UNIX") else None
        self._lost: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="claim", daemon=True)

    def __enter__(self) -> Claim:
        """Raises `UserError` if another living driver has the folder, or if nothing can be written there."""
        try:
            self._take()
        except OSError as error:
            self._release()
            raise storage.explain(error, self._run, "use the output folder") from None
        except BaseException:
            self._release()
            raise
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._heart.join()
        with contextlib.suppress(OSError):
            if self._is_mine(_read(self._uri)):
                storage.delete(self._uri)
        self._release()

    def check(self) -> None:
        """Raise `UserError` if another driver has taken the folder over, because this one was silent for too long."""
        if self._lost is not None:
            raise _refusal(self._run, self._lost)

    def _take(self) -> None:
        held = _bind(self._socket, self._run)
        found = _read(self._uri)
        if not held or (found is not None and found.get("machine") != _machine() and self._lives(found)):
            raise _refusal(self._run, found or {})
        self._write()
        if not storage.is_local(self._run):
            time.sleep(SETTLE)
        found = _read(self._uri)
        if not self._is_mine(found):
            raise _refusal(self._run, found or {})

    def _lives(self, found: dict[str, Any]) -> bool:
        """Whether a driver on another machine is alive. Its clock may be wrong, so an old record is watched for a while."""
        if 0 <= _age(found) < STALE:
            return True
        time.sleep(1.5 * BEAT)
        return _read(self._uri) not in (found, None)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                found = _read(self._uri)
                if found is None or self._is_mine(found):
                    self._write()
                else:
                    self._lost = found
                    return
            except OSError as error:
                logger.warning("Cannot write %s: %s", self._uri, error)

    def _write(self) -> None:
        record = {
            "token": self.token,
            "machine": _machine(),
            "host": platform.node(),
            "process": os.getpid(),
            "updated": time.time(),
        }
        storage.write_bytes(self._uri, json.dumps(record).encode())

    def _is_mine(self, found: dict[str, Any] | None) -> bool:
        return found is not None and found.get("token") == self.token

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()


def refuse_other(run: str, token: str) -> None:
    """For a driver's workers, before they write: raise `UserError` if another driver has taken the folder over from the one whose
    claim has this `token`. Where the record cannot be read, nothing is known."""
    with contextlib.suppress(OSError):
        found = _read(storage.join(run, FILE))
        if found is not None and found.get("token") != token:
            raise _refusal(run, found)


def _refusal(run: str, found: dict[str, Any]) -> UserError:
    who = f" (process {found['process']} on {found['host']})" if {"process", "host"} <= set(found) else ""
    return UserError(
        f"Another job{who} is writing to {run}; wait for it, stop it, or give another --output. One that died on another "
        f"machine is forgotten after {STALE:.0f} seconds."
    )


def _bind(lock: socket.socket | None, run: str) -> bool:
    """Whether no other process on this machine has the folder; True where the system has no such sockets."""
    place = os.path.realpath(storage.resolve(run)[1]) if storage.is_local(run) else run
    try:
        if lock is not None:
            lock.bind(f"\0midb-ray-{xxhash.xxh3_128_hexdigest(place.encode())}")
    except FileNotFoundError:  # not Linux: names are paths there
        return True
    except OSError:
        return False
    return True


def _machine() -> str:
    """The kernel and the network within which a bound socket is seen; unique where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/net').readlink()}"
    except OSError:
        return secrets.token_hex(16)


def _age(found: dict[str, Any]) -> float:
    try:
        return time.time() - float(found["updated"])
    except (KeyError, TypeError, ValueError):
        return STALE


def _read(uri: str) -> dict[str, Any] | None:
    """The record, None without one. Raises OSError."""
    try:
        found = json.loads(storage.read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
