"""Worker processes started by hand, as torchrun would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

WORKERS = 2


def run(script: str, before: list[str], after: list[str], log: Path, workers: int = WORKERS) -> None:
    """Run `script BEFORE RANK AFTER` for each rank and wait. Raises SystemExit with the end of its output if one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(workers),
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    path = Path(__file__).with_name(script)
    with log.open("wb") as file:
        started = [
            subprocess.Popen(
                [sys.executable, str(path), *before, str(rank), *after],
                env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            for rank in range(workers)
        ]
        try:
            codes = [worker.wait() for worker in started]
        finally:
            for worker in started:
                if worker.poll() is None:
                    worker.kill()
    if any(codes):
        raise SystemExit(f"A worker failed with {codes}:\n{log.read_text(errors='replace')[-4000:]}")
