"""Processes that an engine has started, when the process that started them is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

ENGINE = """
import signal, subprocess, sys, time
from midb_ray.engines import orphans
before = orphans.children()
core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], stdout=-3, start_new_session=True)
guard = orphans.Guard(orphans.children() - before)
print(core.pid, flush=True)
if sys.argv[1] == "close":
    guard.close()
    sys.exit()
time.sleep(3600)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_they_end_with_it(sent: signal.Signals) -> None:
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, "stay"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert engine.stdout is not None
    core = psutil.Process(int(engine.stdout.readline()))
    engine.send_signal(sent)
    engine.wait(30)
    deadline = time.monotonic() + 30
    while core.is_running() and core.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_was_closed_lets_them_be() -> None:
    done = subprocess.run([sys.executable, "-c", ENGINE, "close"], stdout=subprocess.PIPE, check=True, timeout=60)
    core = psutil.Process(int(done.stdout))
    time.sleep(1)  # what a guard that was not called off would need
    assert core.is_running()
    core.kill()
