"""The plan of one small file, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

from midb_ray.runs import planning, staging
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard


def plan(folder: Path, content: bytes) -> list[Shard]:
    """The shards of at most eight rows of a file `corpus` with this content."""
    (folder / "corpus").write_bytes(content)
    staged = staging.stage(f"{folder}/staging", 8, InputFile("corpus", f"{folder}/corpus", len(content), ""))
    tasks = planning.scans(staged.file, staged.uri, staged.layout, "alpaca", 8, 1.0, staged.error)
    return list(planning.assemble(tasks, map(planning.scan, tasks)))
