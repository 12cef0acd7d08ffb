"""Processes whose results tests look at, started before they are asked for: most tests wait more than they compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.training import grid, test_sizes

_PATIENCE = 240.0  # seconds


class Running:
    """Some processes that end by themselves, with one log."""

    def __init__(self, log: Path, commands: list[list[str]], environments: list[dict[str, str]]) -> None:
        self._log, self.folder = log, log.parent
        with log.open("wb") as output:
            self._processes = [
                subprocess.Popen([sys.executable, *command], env={**os.environ, **more}, stdout=output, stderr=output)
                for command, more in zip(commands, environments, strict=True)
            ]

    def end(self) -> None:
        """Wait for them all; AssertionError with the end of the log if one failed."""
        assert not any(process.wait(_PATIENCE) for process in self._processes), self._log.read_text()[-5000:]

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def until_the_end(running: Running) -> Iterator[Running]:
    """The body of a fixture."""
    yield running
    running.kill()


def begin_grid(place: Path, plan: str) -> Running:
    """A plan of the grid, in the folder with its model and examples."""
    more = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return Running(place / f"{plan}.log", [[grid.__file__, str(place), plan]], [more])


def found_by_grid(place: Path, plan: str, running: Running) -> dict[str, dict[str, Any]]:
    """What every process of the plan found, by its name and number: pair-0, pair-1, alone-0."""
    running.end()
    names = [f"{role.__name__}-{rank}" for role, rank in grid.PLANS[plan]]
    return {name: json.loads((place / f"{name}.json").read_text()) for name in names}


def begin_static_parts(place: Path) -> Running:
    """The two DeepSpeed workers whose tensors `test_sizes` counts; found.json is theirs."""
    (place / "ds.json").write_text('{"zero_optimization": {"reduce_bucket_size": 1000}}')
    shared = {"DS_ACCELERATOR": "cpu", "PYTHONPATH": str(Path(__file__).parents[2]), "WORLD_SIZE": "2"}
    commands = [[test_sizes.__file__, str(rank), str(place)] for rank in (0, 1)]
    return Running(place / "log", commands, [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)])
