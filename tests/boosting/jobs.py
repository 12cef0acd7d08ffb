"""Jobs in processes of their own, and the processes below them."""

from __future__ import annotations

import subprocess

import psutil


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
