"""What the benchmarks of the machinery share: a corpus of short rows, and the memory of a job's processes."""

from __future__ import annotations

import json
from pathlib import Path

import psutil


def make_corpus(path: Path, pairs: int) -> None:
    """Write short Alpaca rows; the id of each is its number."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(pairs):
            row = {
                "id": str(number),
                "instruction": f"Erkläre in einem Satz, was Regel {number} bedeutet.",
                "input": "",
                "output": f"Die Regel {number} besagt, dass man  im Haus leise sein und auf die Nachbarn achten soll",
                "language": "de",
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def workers(job: int) -> list[psutil.Process]:
    """The Ray workers below a process."""
    return _below(job, "ray::")


def actors(job: int) -> list[psutil.Process]:
    """The engine actors below a process."""
    return _below(job, "ray::MapWorker")


def _below(job: int, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(job).children(recursive=True):
        try:
            if "".join(process.cmdline()).startswith(name):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def anonymous(process: int) -> float:
    """Anonymous memory (heaps and stacks) of a process in MiB; nothing of one that has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return int(dict(line.split(":", 1) for line in lines).get("RssAnon", "0 kB").split()[0]) / 1024
