"""Ray as the jobs use it: a session on the cluster that is named or on a local one, and plain functions run there."""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar

from midb_ray import logs
from midb_ray.errors import UserError, one_line
from midb_ray.runs import labels, memory, storage

logger = logging.getLogger("midb_ray")

A = TypeVar("A")
B = TypeVar("B")

_SHARE = 0.5  # of a CPU, which a task of ours reserves
_WAITING = 64  # tasks under way at most, so that neither tasks nor results pile up
_PATIENCE = 10.0  # seconds for a head node to answer
_COPY = "/runtime_resources/working_dir_files/"  # where Ray unpacks the working folder of a submitted job
_NOTES = b"midb_ray"
_ADVICE = "check --address (or RAY_ADDRESS) and that the cluster is up."
_told: set[str] = set()  # the selectors whose waiting this session has been told of
_LOCAL_CPUS = 4  # with fewer logical CPUs some Ray Data plans wait for ever for a slot


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """A Ray session for the job; yields whether its cluster is one of our own on this machine. Without `address` and RAY_ADDRESS
    a local cluster is started, without a dashboard, never another's joined.

    Raises `UserError` if the cluster does not answer.
    """
    _told.clear()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():  # somebody's own session, in a notebook or a test: used and left open
        yield False
        return
    if not sys.stderr.isatty():
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    target = target_of(address)
    variables = {**memory.environment(), **logs.environment()}
    if target == "local":
        os.environ.update(variables)  # all that is started here inherits them
        options: dict[str, Any] = {"num_cpus": local_cpus(), "include_dashboard": False}
    else:
        options = {"runtime_env": {"env_vars": variables}}
    _probe(target)
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(target, logging_level=logging.ERROR, log_to_driver=True, configure_logging=True, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = one_line(error).rstrip(".")
        raise UserError(f"Cannot reach a Ray cluster at {target!r}: {said}; {_ADVICE}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)  # Ray's own handler leaves without a word
    if logs.is_json():
        _relay_as_json()
    try:
        yield target == "local"
    finally:
        ray.shutdown()


def _relay_as_json() -> None:
    """Have the lines that Ray brings from other processes be JSON objects too, in place of lines with its own prefix."""
    from ray._private import ray_logging

    def relay(data: dict[str, Any]) -> None:
        source = data.get("actor_name") or data.get("task_name") or str(data.get("pid"))
        for line in data.get("lines", []):
            if line.strip():
                sys.stderr.write(f"{logs.relayed(line, source, data.get('pid'), data.get('ip'))}\n")

    told = ray_logging.global_worker_stdstream_dispatcher
    told.remove_handler("ray_print_logs")
    told.add_handler("ray_print_logs", relay)


def target_of(address: str | None) -> str:
    """The address of the cluster that a job uses; "local" for one of its own on this machine."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


def local_cpus() -> int:
    """Logical CPUs of the cluster that a job starts on this machine."""
    return max(os.cpu_count() or 1, _LOCAL_CPUS)


def _probe(target: str) -> None:
    """Raise `UserError` if nobody listens at an address: Ray would try for many minutes."""
    host, _, port = target.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"Cannot reach a Ray cluster at {target!r}: {error}; {_ADVICE}") from None


def note(key: str, text: str | None) -> None:
    """Keep a word for other processes of the cluster until it is taken back with None: in Ray's own store, so that it can also be
    said that storage is full."""
    from ray.experimental import internal_kv

    if text is None:
        internal_kv._internal_kv_del(key, namespace=_NOTES)
    else:
        internal_kv._internal_kv_put(key, text.encode(), overwrite=True, namespace=_NOTES)


def noted(key: str) -> str | None:
    """What `note` keeps."""
    from ray.experimental import internal_kv

    found: bytes | None = internal_kv._internal_kv_get(key, namespace=_NOTES)
    return None if found is None else found.decode()


def all_noted(prefix: str) -> dict[str, str]:
    """What `note` keeps under the keys that begin so."""
    from ray.experimental import internal_kv

    keys = [key.decode() for key in internal_kv._internal_kv_list(prefix, namespace=_NOTES)]
    found = {key: noted(key) for key in keys}
    return {key: text for key, text in found.items() if text is not None}


def refuse_lost(output: str) -> None:
    """Raise `UserError` for an output inside the copy of the working folder that a submitted job runs in: Ray deletes it."""
    if storage.is_local(output) and _COPY in f"{storage.absolute(output)}/":
        raise UserError(
            f"The output {output} is a relative path, and this job runs in a temporary copy of its working folder that is deleted "
            "with it; give an absolute place that every node sees."
        )


def map_remotely(function: Callable[[A], B], items: Iterable[A], nodes: Mapping[str, str] = labels.ELSE) -> Iterator[B]:
    """`function` over `items` as Ray tasks on the `nodes` of a label selector, results in order. Raises what a task raised where
    that is a `UserError`."""
    import ray

    remote = ray.remote(num_cpus=_SHARE)(_apply).options(name=plain(function), label_selector=dict(nodes) or None)
    shared = ray.put(function)
    waiting: deque[Any] = deque()
    try:
        for number, item in enumerate(items):
            if not number:
                tell_waiting(nodes)
            waiting.append(remote.remote(shared, item))
            if len(waiting) == _WAITING:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())
    except ray.exceptions.RayError as error:
        raise original(error) from error


def alive(nodes: Mapping[str, str] = MappingProxyType({})) -> list[dict[str, Any]]:
    """The living nodes that a label selector allows, as Ray tells of them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"] and labels.allow(nodes, node["Labels"])]


def tell_waiting(nodes: Mapping[str, str]) -> None:
    """Say so, once in a session, where no living node may do what needs CPUs and these `nodes`: it would wait without a word."""
    selector = json.dumps(dict(nodes))
    if selector in _told or any(node["Resources"].get("CPU", 0) >= _SHARE for node in alive(nodes)):
        return
    _told.add(selector)
    logger.warning(
        "No node that is there has CPUs and the labels for this work, %s: it waits until one comes.", selector
    )


def plain(function: Callable[..., Any]) -> str:
    """What a task that calls a function is called on Ray's dashboard."""
    inner = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__name__", type(inner).__name__).strip("_").replace("_", " ")


def original(error: BaseException) -> BaseException:
    """The `UserError` inside an error of Ray's, if there is one; else the error itself."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        candidate = waiting.pop()
        if isinstance(candidate, UserError):
            return UserError(*candidate.args[:1])  # one that Ray made of it says much more as a string
        if candidate is None or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        waiting += [candidate.__cause__, candidate.__context__, getattr(candidate, "cause", None)]
        waiting += getattr(candidate, "worker_failures", {}).values()  # where Ray Train keeps its workers' errors
    return error


def _apply(function: Callable[[A], B], item: A) -> B:
    return function(item)
