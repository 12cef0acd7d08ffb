"""A run of small shards for tests of the pool: engine, preparation and output are the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from midb_ray.engines import pool
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import pack
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.pairs import Pair
from midb_ray.runs import commit, folder, shards, storage
from midb_ray.runs.figures import Figures

ROWS = 8


def _own_settings() -> tuple[Any, ...]:
    """What a stream sets for itself in Ray Data's context."""
    import ray.data

    context = ray.data.DataContext.get_current()
    return (
        *(context.target_max_block_size, context.enable_progress_bars, context.memory_usage_poll_interval_s),
        *(context.execution_options.preserve_order, context.autoscaling_config.actor_pool_util_upscaling_threshold),
    )


class Parts:
    """A run of `count` shards: what is around the engine writes down what it does in files that all processes see."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.pause = 0.0  # seconds that preparing a shard takes
        self.run = folder.open_run(str(path / "run"), "boost", {}, {})
        plan = [shards.Shard(n, "f", "f", "lines", "alpaca", 0, 0, 1, 1, ROWS) for n in range(count)]
        shards.write_plan(storage.join(self.run.uri, folder.PLAN), [shards.to_table(plan)])
        for name in ("prepared", "generated"):
            (path / name).mkdir()

    def names(self, folder: str) -> list[str]:
        return [path.name for path in (self.path / folder).iterdir()]

    def stream(
        self, settings: PoolSettings, build: Callable | None = None, prompts: int | None = None
    ) -> list[Figures]:
        """All shards' figures. `prompts` is how many different ones there are; every one is different without it."""
        path, pause, pairs_folder = self.path, self.pause, Path(self.run.uri) / commit.PAIRS

        def committed() -> int:
            return len(list(pairs_folder.glob("part-*.parquet")))

        def prepare(shard):
            begun = time.time()
            time.sleep(pause)
            numbers = [shard.shard * ROWS + row for row in range(ROWS)]
            pairs = [Pair(f"f:{n}", None, None, "de", "Frage", "", "Antwort", (), None) for n in numbers]
            asked = [Request(f"prompt {n if prompts is None else n % prompts}", None, 9) for n in numbers]
            packed = pack(shard.shard, pairs, [], asked)
            (path / "prepared" / str(shard.shard)).write_text(f"{begun} {time.time()}")
            return packed

        class Noting:
            isolated = False

            def __init__(self):
                import ray

                (path / "actor").write_text(ray.get_runtime_context().get_actor_id()[:12])

            async def generate(self, requests):
                await asyncio.sleep(0.5 if (path / "slowly").exists() else 0)
                for request in requests:
                    with (path / "generated" / request.text).open("a") as file:
                        file.write("x")
                return [Completion(f"answer to {request.text}", "stop", 3) for request in requests]

            def close(self): ...

        class Keep:
            def finish(self, flight, completions):
                while (path / "hold").exists() and committed() >= int((path / "hold").read_text()):  # a slow output
                    time.sleep(0.05)
                figures = Figures(rows_in=flight.pairs.num_rows)
                for completion, request in zip(completions, flight.requests, strict=True):
                    assert completion.text == f"answer to {request.text}"
                    figures.count("de", "boosted", ())
                return flight.pairs, flight.dead_letters, figures

        done = np.zeros(self.count, dtype=bool)
        before = _own_settings()
        found = list(pool.stream(self.run, self.count, done, prepare, build or Noting, Keep(), settings))
        assert _own_settings() == before  # a notebook's pipelines go on as they were
        assert sorted(shard for shard, _ in found) == list(range(self.count))
        return [figures for _, figures in found]

    @contextlib.contextmanager
    def streaming(self, settings: PoolSettings) -> Iterator[list[Figures]]:
        """Stream meanwhile; the figures are there at the end, when the output is no longer held."""
        figures: list[Figures] = []
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(self.stream, settings)
            try:
                yield figures
            finally:
                (self.path / "hold").unlink(missing_ok=True)
                figures += running.result(120)
