"""Jobs in processes of their own, and the processes below them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psutil

NOTICE_DEATH_SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}
"""Of Ray's system configuration, for clusters whose nodes are killed."""


def wait_until(condition: Callable[[], bool], job: subprocess.Popen[bytes], seconds: float = 150) -> None:
    """Wait for a moment in a job's life to disturb it, or to see that it goes on. AssertionError if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert job.poll() is None, "the job ended before the moment came"
        assert time.monotonic() < deadline, "the job did not get far enough"
        time.sleep(0.02)


def below(job: subprocess.Popen[bytes], name: str) -> list[psutil.Process]:
    """The processes below a job that have this in their command line."""
    found = []
    for process in psutil.Process(job.pid).children(recursive=True):
        try:
            if name in "".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
