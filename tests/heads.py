"""A head of Ray's with a dashboard and ports of its own, as a process beside the test session's cluster."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import requests

_PORTS = (
    "port",
    "ray-client-server-port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
)


class Head(NamedTuple):
    """Where the cluster is, and where its dashboard."""

    address: str
    url: str


@contextlib.contextmanager
def head(temporary: str | Path, environment: Mapping[str, str]) -> Iterator[Head]:
    """A cluster of one node; `temporary` is short, as sockets lie in it."""
    chosen = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=4"]
    command += [f"--temp-dir={temporary}", *(f"--{name}={port}" for name, port in chosen.items())]
    made = Head(f"127.0.0.1:{chosen['port']}", f"http://127.0.0.1:{chosen['dashboard-port']}")
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(f"{made.url}/api/authentication_mode"), process)
        yield made
    finally:
        family = [
            one for one in psutil.process_iter(["cmdline"]) if str(temporary) in " ".join(one.info["cmdline"] or [])
        ]
        process.terminate()
        for one in psutil.wait_procs(family, timeout=20)[1]:
            one.kill()
        process.wait()


def wait_for(ready: Callable[[], Any], process: subprocess.Popen[Any], seconds: float = 150) -> Any:
    """What `ready` says once it says something; the process has to live until then."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert process.poll() is None, process.args
        assert time.monotonic() < end
        time.sleep(0.3)
    return found


def answers(url: str) -> bool:
    """Whether somebody does, and has no complaint."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.exceptions.RequestException:
        return False


def free_ports(number: int) -> list[int]:
    """Ports of loopback that were free just now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in sockets]
