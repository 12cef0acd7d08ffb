"""No orphans: processes that an engine has started end with the process that started them, however that ends.

A library that starts its core as a process of its own leaves it behind, and the GPU's memory with it, when its parent is killed;
the engine that takes the parent's place then finds no room. The guard is a third process that sees the end of a pipe.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

_STARTED = 19  # of the fields behind the name in /proc/PID/stat: when the process was started
_GUARD = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.stdin.buffer.read():
    sys.exit()
for pid, began in (one.split(":") for one in sys.argv[1:]):
    try:
        with open(f"/proc/{{pid}}/stat") as file:
            now = file.read().rpartition(")")[2].split()[{_STARTED}]
        if now == began:  # and not another that has its number
            os.kill(int(pid), signal.SIGKILL)
    except OSError:
        continue
"""


def children() -> set[psutil.Process]:
    """The processes that this one has started."""
    return set(psutil.Process().children())


class Guard:
    """Ends processes when this one is gone without having called `close`."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self._guard: subprocess.Popen[bytes] | None = None
        named = [f"{process.pid}:{began}" for process in processes if (began := _began(process.pid))]
        if named:
            self._guard = subprocess.Popen(
                [sys.executable, "-SE", "-c", _GUARD, *named],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what is sent to the process's group is not for the guard
            )

    def close(self) -> None:
        """The processes have been ended, or may live on."""
        if self._guard is None:
            return
        with contextlib.suppress(OSError):  # it was killed
            self._guard.communicate(b"done")
        self._guard = None


def _began(pid: int) -> str:
    """When a process was started, in the kernel's own measure; empty if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[_STARTED]
