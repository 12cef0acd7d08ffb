"""A Ray cluster whose nodes have addresses of their own: network namespaces on one switch, so that a cable can be pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

_PORT = 6379  # of a namespace: nobody else can have it
_NETWORK = "10.77.0"
_PATIENCE = 120.0  # seconds for nodes to come up
_MEMORY = 200 << 20  # bytes of a node's object store
_HEALTH = (  # a node that is silent for about twelve seconds is dead; with Ray's own settings it takes a minute
    '{"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_timeout_ms": 2000, '
    '"health_check_failure_threshold": 4}'
)
# Kills whatever runs in the namespaces, all of it ours, and removes them, once the test's end of the pipe is closed: by the test
# or, where it was killed itself, by the system.
_TIDY = """
folder=$1; shift
read nothing
for name; do
    while pids=$(ip netns pids "$name" 2>/dev/null) && [ -n "$pids" ]; do kill -9 $pids 2>/dev/null; sleep 0.1; done
    ip netns delete "$name" 2>/dev/null
done
rm -rf "$folder"
"""


class Nodes:
    """`with Nodes(2, 3, 3) as nodes`: a Ray cluster of a head node with two CPUs and two other nodes with three each.

    Every node is a namespace with one address, cabled to a switch in a namespace of its own: the machine's network is not
    touched, and reaches none of them. `within(number)` begins a command that runs at a node; behind the nodes come `guests`,
    on the same switch and without Ray. `environment` gives the variables of each node by its number, `head` what else the head
    is started with. Fails the test where `ip` or the right to make namespaces is missing.
    """

    def __init__(
        self,
        *cpus: int,
        guests: int = 0,
        head: Sequence[str] = ("--include-dashboard", "false"),
        environment: Callable[[int], Mapping[str, str] | None] = lambda number: None,
    ) -> None:
        self._cpus, self._head, self._environment = cpus, head, environment
        self._folder = Path(tempfile.mkdtemp(prefix="mn-", dir="/tmp"))  # paths of sockets must stay short
        self._switch = f"{self._folder.name}-switch"
        self._names = [f"{self._folder.name}-{number}" for number in range(len(cpus) + guests)]
        self._guard: subprocess.Popen[bytes] | None = None
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.addresses = [f"{_NETWORK}.{number + 1}" for number in range(len(cpus) + guests)]
        self.address = f"{self.addresses[0]}:{_PORT}"

    def __enter__(self) -> Nodes:
        try:
            self._lay_cables()
            self.start(0)
            for number in range(1, len(self._cpus)):
                self._begin(number)
            for number in range(1, len(self._cpus)):
                self._await(number)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def within(self, number: int) -> list[str]:
        return ["ip", "netns", "exec", self._names[number]]

    def start(self, number: int) -> None:
        """Start Ray on a node, anew where it was killed."""
        self._begin(number)
        self._await(number)

    def kill(self, number: int) -> None:
        """Kill whatever runs at a node."""
        _kill_all(self._names[number])
        self._processes.pop(number).wait()

    def cut(self, number: int) -> None:
        """Pull the cable of a node: what is on its way is lost, and no process is told."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "down")

    def mend(self, number: int) -> None:
        _ip("-n", self._switch, "link", "set", f"port{number}", "up")

    def _lay_cables(self) -> None:
        if shutil.which("ip") is None:
            pytest.fail("This test needs `ip`: apt-get install iproute2.", pytrace=False)
        made = subprocess.run(["ip", "netns", "add", self._switch], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.fail(
                f"This test must make network namespaces: run it as root ({made.stderr.strip()}).", pytrace=False
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _TIDY, "sh", str(self._folder), *self._names, self._switch],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for number, name in enumerate(self._names):
            port = f"port{number}"
            _ip("netns", "add", name)
            _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._switch, "link", "set", port, "master", "switch", "up")
            _ip("-n", name, "address", "add", f"{self.addresses[number]}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")

    def _begin(self, number: int) -> None:
        folder = self._folder / str(number)
        folder.mkdir(exist_ok=True)
        options = ["--node-ip-address", self.addresses[number], "--num-cpus", str(self._cpus[number])]
        if number == 0:
            options += ["--head", "--port", str(_PORT), "--system-config", _HEALTH, *self._head]
        else:
            options += ["--address", self.address]
        options += ["--temp-dir", str(folder), "--object-store-memory", str(_MEMORY), "--disable-usage-stats"]
        with self._said(number).open("wb") as output:
            process = subprocess.Popen(
                [*self.within(number), sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options],
                stdout=output,
                stderr=output,
                env=self._environment(number),
                start_new_session=True,
            )
        self._processes[number] = process

    def _await(self, number: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while "Ray runtime started" not in (said := self._said(number).read_text(errors="replace")):
            assert self._processes[number].poll() is None, f"node {number} did not start: {said}"
            assert time.monotonic() < deadline, f"node {number} did not start in time: {said}"
            time.sleep(0.1)

    def _said(self, number: int) -> Path:
        return self._folder / f"start-{number}.txt"

    def _close(self) -> None:
        if self._guard is not None:
            self._guard.communicate()
        for process in self._processes.values():
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _kill_all(name: str) -> None:
    for _ in range(100):
        listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
        if not (pids := listed.stdout.split()):
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"
