"""What a process and its children write on stdout and stderr while an engine loads: passed on as ever, and its end kept.

The keeper is a process of its own between the descriptors and where they led before. It needs neither this process's threads
nor its life: the last words of an engine that holds the interpreter, or takes it down, are there all the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_MOST = 400  # characters of an engine's last words in a sentence
_LINES = 4
_KEEPER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
size, file = 0, int(sys.argv[1])
while block := os.read(0, 1 << 16):
    rest = block
    while rest:
        try:
            rest = rest[os.write(1, rest):]
        except OSError:  # nobody listens any more; the engine must not be held up by that
            break
    if size > 1 << 16:  # an engine's child goes on writing for days
        tail = os.pread(file, 1 << 13, size - (1 << 13))
        os.ftruncate(file, 0)
        size = os.pwrite(file, tail, 0)
    size += os.pwrite(file, block, size)
"""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


class LastWords:
    """Keeps what is written while it is open. What children have inherited stays with the keeper after `close`."""

    def __init__(self) -> None:
        handle, name = tempfile.mkstemp(prefix="midb-ray-engine-", suffix=".log")
        self.path = Path(name)
        self._before = [os.dup(1), os.dup(2)]
        _flush()
        keeper = subprocess.Popen(
            [sys.executable, "-SE", "-c", _KEEPER, str(handle)],
            stdin=subprocess.PIPE,
            stdout=self._before[1],
            stderr=subprocess.DEVNULL,
            pass_fds=[handle],  # by its name it would be made anew where an engine was up before its keeper
            start_new_session=True,  # what is sent to the process's group is not for the keeper
        )
        os.close(handle)
        assert keeper.stdin is not None
        os.dup2(keeper.stdin.fileno(), 1)
        os.dup2(keeper.stdin.fileno(), 2)
        keeper.stdin.close()
        self._keeper = keeper

    def close(self) -> None:
        """This process writes to where it wrote before."""
        if not self._before:
            return
        _flush()
        for number, before in zip((1, 2), self._before, strict=True):
            os.dup2(before, number)
            os.close(before)
        self._before = []

    def forget(self) -> None:
        """Delete what was kept: all went well."""
        self.path.unlink(missing_ok=True)

    def spoken(self) -> str:
        """The last lines, what is still on its way among them; closes."""
        self.close()
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # as long as a child of the engine lives, so does the keeper
            self._keeper.wait(1)
        return read(self.path)


def read(path: Path) -> str:
    """The last lines that a keeper wrote down, as one; empty if it heard nothing or its file is on another node."""
    try:
        text = path.read_bytes()[-(1 << 13) :].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in _CONTROL.sub("", text.replace("\r", "\n")).split("\n")]
    told = " / ".join([line for line in lines if line][-_LINES:])
    return told if len(told) <= _MOST else f"…{told[-_MOST:]}"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
