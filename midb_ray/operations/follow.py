"""Follow a job on a cluster to its end: its log, over connections that break, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from midb_ray.errors import ExitCode
from midb_ray.operations.access import Cluster, OutOfReachError, UnknownJobError

logger = logging.getLogger("midb_ray")

_QUIET = 20.0  # seconds without a word after which it is asked whether the cluster is still there
_PAUSE = 3.0  # seconds between attempts to reach it
_LAST_WORDS = 3  # attempts to read the log of a job that ended while the connection was broken


class Ending(NamedTuple):
    """`code`: the exit code. `lost`: whether the job was lost, not ended by itself, so that it may go on if it is submitted again.
    `with_head`: whether the cluster's memory of it was lost too."""

    code: int
    lost: bool
    text: str
    with_head: bool = False


def follow(cluster: Cluster, job: str, write: Callable[[str], object], patience: float) -> Ending:
    """Write the job's log until it ends. Raises `OutOfReachError` if the cluster does not answer for `patience` seconds."""
    log = _Log(cluster, job, write)
    heard = time.monotonic()
    is_silent, ended = False, 0
    while True:
        try:
            broken = log.tail()
            info = cluster.info(job)
            ended += info.status.is_terminal()
            if ended and (not broken or ended > _LAST_WORDS):
                return ending(info.status.value, info.driver_exit_code, info.error_type, info.message or "")
            heard, is_silent = time.monotonic(), False
        except UnknownJobError:
            return Ending(
                ExitCode.FAILED, True, "the cluster knows nothing of it any more: its head has begun anew", True
            )
        except OutOfReachError as error:
            if not is_silent:
                logger.warning("The cluster does not answer (%s); waiting for it.", error)
            is_silent, broken = True, True
            if time.monotonic() - heard > patience:
                raise
        if broken:
            time.sleep(_PAUSE)


def ending(status: str, code: int | None, error_type: str | None, message: str) -> Ending:
    """What a finished job's record says. Ray itself tells success from failure alone."""
    if status == "SUCCEEDED":
        return Ending(ExitCode.OK, False, "done")
    if status == "STOPPED":
        return Ending(ExitCode.FAILED, False, "it was stopped")
    said = " ".join((message.strip().splitlines() or ["no reason given"])[-1].split())[:300]
    if code is None:
        if error_type in ("RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR"):
            return Ending(ExitCode.USER_ERROR, False, f"it could not begin: {said}")
        return Ending(ExitCode.FAILED, True, f"it was lost ({error_type or 'no reason given'}: {said})")
    if code in (126, 127):
        return Ending(ExitCode.USER_ERROR, False, "the cluster's head has no such Python; name it with --python")
    if code == 1 and "No module named" in said and "midb_ray" in said:
        return Ending(
            ExitCode.USER_ERROR,
            False,
            "the cluster has no midb_ray: use one of its images, or a --working-dir that has it",
        )
    by = -code if code < 0 else code - 128
    if by in signal.valid_signals():
        return Ending(ExitCode.FAILED, True, f"its process was killed by signal {by}")
    meaning = {
        ExitCode.ROWS_LOST: "done, but more was lost than allowed",
        ExitCode.USER_ERROR: "something is to be mended first",
        ExitCode.FAILED: "it broke off",
        ExitCode.CAPPED: "it stopped at a cap",
    }
    return Ending(code, code == ExitCode.FAILED, f"{meaning.get(code, 'it failed')} (exit code {code})")


class _Log:
    """A job's log, of which nothing is written twice although every connection begins at its beginning."""

    def __init__(self, cluster: Cluster, job: str, write: Callable[[str], object]) -> None:
        self._cluster, self._job, self._write = cluster, job, write
        self._seen = 0

    def tail(self) -> bool:
        """Write what is new until the job ends or the connection breaks; returns whether it broke."""
        return asyncio.run(self._tail())

    async def _tail(self) -> bool:
        import aiohttp

        stream = self._cluster.tail(self._job)
        passed = 0
        try:
            while True:
                piece = await self._next(stream)
                if piece is None:
                    return False
                new = piece[max(self._seen - passed, 0) :]
                passed += len(piece)
                if new:
                    self._write(new)
                    self._seen = passed
        except (RuntimeError, OSError, aiohttp.ClientError):  # the caller asks the cluster what has become of the job
            return True
        finally:
            with contextlib.suppress(Exception):
                await stream.aclose()

    async def _next(self, stream: Any) -> str | None:
        """The next piece. A machine that has vanished closes no connection, so a silent one is asked now and then."""
        waiting = asyncio.ensure_future(anext(stream, None))
        try:
            while not (await asyncio.wait({waiting}, timeout=_QUIET))[0]:
                info = await asyncio.to_thread(self._cluster.info, self._job)
                if info.status.is_terminal() and not (await asyncio.wait({waiting}, timeout=_QUIET))[0]:
                    return None
            found: str | None = waiting.result()
            return found
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await waiting
