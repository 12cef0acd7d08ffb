"""Load an engine: in turn with the others on its node, and within a time, or else with its own last words.

An engine that raises, hangs or takes its process down again and again becomes a sentence that ends the job. Where others of its
run work it is tried again, with ever longer pauses: one bad node must not end what a hundred good ones do.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import functools
import json
import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from midb_ray.engines import last_words, vital_signs
from midb_ray.engines.base import Engine
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError
from midb_ray.runs import cluster

logger = logging.getLogger("midb_ray")

GIVE_UP = 3  # deaths of one actor while it loads; one may be a lost node or a neighbour's memory
_PAUSE = 0.2  # seconds between looks whether it is an engine's turn
_AGAIN, _LONGEST = 5.0, 600.0  # seconds until an engine that could not be loaded is tried again, and at most
_GRACE = 10.0  # seconds after start_timeout until a process in which nothing else moves is ended
_EXIT_STATUS = 71  # EX_OSERR: Ray sees the actor die and starts another


def load(build: Callable[[], Engine], pool: PoolSettings, run: str) -> Engine:
    """The engine, loaded. `run` is the run's nonce. Raises `UserError` if it does not come up.

    Once an engine of the run has come up, another's failure may be its node's or the moment's: the process is left then, so that
    Ray tries again, up to `GIVE_UP` times and then for as long as others come up or answer within `start_timeout` seconds.
    """
    signs = vital_signs.VitalSigns(run)
    signs.begin()
    others_work = functools.partial(signs.others_work, pool.start_timeout)
    before = _before(run, vital_signs.actor_id())
    _rest(before["deaths"], others_work)
    with _turn(pool.loads_at_once):
        words = last_words.LastWords()
        try:
            with _record(run, words, before, others_work):
                try:
                    engine = _within(build, pool.start_timeout, words)
                except UserError as error:
                    if not signs.somebody_came_up():
                        raise
                    logger.error("%s Others of this run came up, so it is tried again.", error)
                    words.close()
                    time.sleep(_AGAIN)
                    os._exit(_EXIT_STATUS)
        finally:
            words.close()
    signs.came_up()
    return engine


def _rest(failures: int, others_work: Callable[[], bool]) -> None:
    """Wait before the engine is tried again, the longer the oftener it has failed."""
    if failures >= GIVE_UP and others_work():
        wait = min(_AGAIN * 2.0 ** min(failures - GIVE_UP + 1, 10), _LONGEST)
        logger.warning(
            "The engine has failed to come up %d times on node %s while others of this run work; the next try is in %.0f s.",
            failures,
            platform.node(),
            wait,
        )
        time.sleep(wait)


def _within(build: Callable[[], Engine], seconds: float, words: last_words.LastWords) -> Engine:
    """`build()` in a thread that can be left to itself."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(build())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="engine", daemon=True)
    if vital_signs.actor_id():  # where an engine holds the interpreter, this thread does not come back to say so
        faulthandler.dump_traceback_later(seconds + _GRACE, exit=True, file=2)
    thread.start()
    thread.join(seconds)
    faulthandler.cancel_dump_traceback_later()
    if not outcome:
        raise UserError(
            f"The engine did not come up within {seconds:g} seconds on node {platform.node()}{_said(words.spoken())}; mend "
            "what holds it up, or give it longer with pool.start_timeout."
        )
    found = outcome[0]
    if isinstance(found, UserError):
        raise found
    if isinstance(found, BaseException):
        logger.error("The engine could not be loaded.", exc_info=found)
        reason = " ".join(f"{type(found).__name__}: {found}".split())[:400]
        raise UserError(
            f"The engine could not be loaded on node {platform.node()}: {reason.rstrip('.')}{_said(words.spoken())}."
        )
    engine: Engine = found
    return engine


@contextlib.contextmanager
def _record(
    run: str, words: last_words.LastWords, before: dict[str, Any], others_work: Callable[[], bool]
) -> Iterator[None]:
    """Remember in the cluster that this actor is loading, so that its next process knows of a death.

    Raises `UserError` if it has died too often and no others work.
    """
    actor = vital_signs.actor_id()
    key = _key(run, actor)
    if before["deaths"]:
        told = last_words.read(Path(before["path"]))
        if before["deaths"] >= GIVE_UP and not others_work():
            cluster.note(key, None)
            raise UserError(
                f"The engine took its process down {before['deaths']} times while it was loading, the last time on node "
                f"{before['node']}{_said(told)}; look there for a lack of memory, or try another model or engine. What is done is "
                "kept, and the same command goes on."
            )
        logger.warning("The engine's process died while it was loading%s; trying again.", _said(told))
        Path(before["path"]).unlink(missing_ok=True)
    if actor:
        now = {"deaths": before["deaths"] + 1, "path": str(words.path), "node": platform.node()}
        cluster.note(key, json.dumps(now))
    try:
        yield
    finally:
        words.forget()
        if actor:
            cluster.note(key, None)


def _key(run: str, actor: str) -> str:
    return f"load {run} {actor}"


def _before(run: str, actor: str) -> dict[str, Any]:
    """How often this actor's engine has failed to come up since it last did, and where the last words of the last one are."""
    found: dict[str, Any] = json.loads(
        (cluster.noted(_key(run, actor)) if actor else None) or '{"deaths": 0, "path": ""}'
    )
    return found


@contextlib.contextmanager
def _turn(at_once: int) -> Iterator[None]:
    """Wait until fewer than `at_once` other processes of this node are inside. The system's record locks go with their process,
    however it ends, and children do not inherit them."""
    folder = Path(tempfile.gettempdir()) / f"midb-ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = [(folder / f"loading-{slot}.lock").open("a") for slot in range(at_once)]
    try:
        while not any(_locked(file.fileno()) for file in files):
            time.sleep(_PAUSE)
        yield
    finally:
        for file in files:
            file.close()


def _locked(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _said(words: str) -> str:
    return f'; its last words: "{words}"' if words else ""
