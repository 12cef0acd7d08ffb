"""Plans of small files, cut as small as a test wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from midb_ray.runs import planning, shards
from midb_ray.runs.inputs import InputFile, Layout
from midb_ray.runs.shards import Shard

BOM = b"\xef\xbb\xbf"


class Sizes(NamedTuple):
    """What cuts a file: bytes of a stretch, rows and bytes of a shard."""

    stretch: int
    rows: int
    bytes: int


SIZES = st.builds(Sizes, st.integers(1, 200), st.integers(1, 5), st.integers(1, 200))


def planned(
    path: Path, layout: Layout, sizes: Sizes, sample: float = 1.0, name: str = "corpus", first: int = 0
) -> list[Shard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "STRETCH", sizes.stretch)
        patch.setattr(planning, "SHARD_BYTES", sizes.bytes)
        source = InputFile(name, str(path), path.stat().st_size, "")
        tasks = planning.scans(source, str(path), layout, "alpaca", sizes.rows, sample, None)
        return list(planning.assemble(tasks, map(planning.scan, tasks), first))


def rows_of(plan: list[Shard]) -> list[tuple[Any, ...]]:
    """All rows, read shard by shard; each shard has as many as the plan says."""
    found = []
    for shard in plan:
        rows = list(shards.read(shard))
        assert len(rows) == shard.rows
        found += rows
    return found
