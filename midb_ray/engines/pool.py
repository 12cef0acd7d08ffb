"""A Ray Data stream of shards through a pool of engine actors.

    plan ─▶ prepare (CPU tasks) ─▶ engine actors: generate, judge, commit ─▶ a row of figures per shard

The source hands the plan over lazily, one row per block: a hundred million pairs are 400,000 shards, and neither their
blocks nor their ids are ever held at once. Each row is a bundle: one shard, or several small ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from midb_ray.engines import backpressure, bundles, halt, outcomes
from midb_ray.engines.actor import EngineActor, EngineBuilder, Work
from midb_ray.engines.answers import AnswerStore
from midb_ray.engines.pool_settings import ROWS_AT_ONCE, PoolSettings
from midb_ray.errors import UserError
from midb_ray.runs import memory, patience, storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.folder import PLAN, RunFolder
from midb_ray.runs.shards import Shard, explained, from_table, read_plan
from midb_ray.runs.stream import end, name, silence

READ, PREPARE, GENERATE = "Read the plan", "Read and prepare", "Generate and commit"  # the stages on Ray's dashboard
_SOURCE_TASKS, _SHARDS_PER_TASK = 4, 1000  # each task is a process that has to start
_ROWS_PER_TASK = 2048  # for fewer it is not worth starting one more process that prepares: its start takes seconds
_LOOKED_AT = 4096  # shards from which the usual number of rows is taken
_QUESTIONS = 100_000  # that wait at the answers of a run at the same time: one for each shard in flight


class PlanSource(Datasource):
    """The shards of a run's plan that are not done yet, as a Ray Data source of one bundle of at most `together` rows per block."""

    def __init__(self, run: str, shards: int, done: npt.NDArray[np.bool_], together: int) -> None:
        self._run, self._shards, self._done, self._together = run, shards, done, together

    def get_name(self) -> str:
        return "Plan"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        step = max(math.ceil(self._shards / min(_SOURCE_TASKS, max(parallelism, 1))), 1)
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(
                functools.partial(_plan_rows, self._run, start, self._done[start : start + step], self._together),
                metadata,
            )
            for start in range(0, self._shards, step)
        ]


def _plan_rows(run: str, start: int, done: npt.NDArray[np.bool_], together: int) -> Iterator[pa.Table]:
    for table in read_plan(storage.join(run, PLAN), start, len(done)):
        left = table.filter(pa.array(~done[: table.num_rows]))
        for first, last in bundles.cut(left.column("rows").to_pylist(), together):
            if halt.is_called(run):
                return
            yield bundles.fold(left.slice(first, last - first))
        done = done[table.num_rows :]


def stream(
    run: RunFolder,
    shards: int,
    done: npt.NDArray[np.bool_],
    prepare: Callable[[Shard], pa.Table],
    build: EngineBuilder,
    work: Work,
    pool: PoolSettings,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Generator[tuple[int, Figures], None, None]:
    """Run the shards that are not `done` through the pool; yields each with its figures once it is committed. Ends early, with
    some of them undone, when a halt is called. `rows_at_once` is what an engine works on at the same time.

    Raises `UserError` for what a task or an actor could not do because of something the user can mend; it comes as a row, since
    an exception would arrive wrapped in pages of Ray Data's own advice.
    """
    silence()
    context = ray.data.DataContext.get_current().copy()  # the driver's own may be a notebook's
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.memory_usage_poll_interval_s = None  # a thread for every shard, for figures that nobody reads
    context.target_max_block_size = 1  # a block is one row, so a task is one bundle
    context.execution_options.preserve_order = False
    context.execution_options.label_selector = pool.nodes or None
    shard_rows = _rows_per_shard(storage.join(run.uri, PLAN), shards)
    in_flight, together = pool.in_flight(shard_rows, rows_at_once)
    left = shards - int(done.sum())
    # An actor is given one bundle more than are inside it. With Ray Data's own threshold, 1.75 times what is inside, no pool with
    # more than one bundle in flight would ever grow.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    backpressure.bound(context, pool.replicas[-1], in_flight + 1)
    with ray.data.DataContext.current(context):
        dataset = ray.data.read_datasource(
            PlanSource(run.uri, shards, done, together),
            override_num_blocks=min(math.ceil(shards / _SHARDS_PER_TASK), _SOURCE_TASKS),
            num_cpus=0,  # these wait most of the time; what they held would be missing where a lost node's shards are made again
        )
        name(dataset, READ)
        dataset = dataset.map_batches(
            functools.partial(_prepared, run.uri, prepare, pool.storage_patience),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=pool.cpus_per_task,
            compute=ray.data.TaskPoolStrategy(max(math.ceil(left * shard_rows / _ROWS_PER_TASK), 1)),
        )
        name(dataset, PREPARE)
        dataset = dataset.map_batches(
            EngineActor,
            fn_constructor_args=(run, build, work, pool, _store(pool)),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                min_size=pool.replicas[0],
                max_size=pool.replicas[-1],
                max_tasks_in_flight_per_actor=in_flight + 1,
                max_concurrent_calls_per_actor=in_flight,
            ),
            num_cpus=pool.cpus_per_replica,
            num_gpus=pool.gpus_per_replica or None,
        )
        name(dataset, GENERATE)
    try:
        for row in dataset.iter_rows():
            for report in bundles.reports(row):
                if report["error"] is not None:
                    raise UserError(report["error"])
                if report["figures"] is None:
                    continue  # a halt was called before it began
                yield report["shard"], Figures.from_json(report["figures"])
    finally:
        end(dataset)


def _rows_per_shard(plan: str, shards: int) -> float:
    """The mean over the first shards of the plan; the last one of a file may be short."""
    table = next(iter(read_plan(plan, 0, min(shards, _LOOKED_AT))))
    return float(pc.mean(table.column("rows")).as_py() or 1)


def _store(pool: PoolSettings) -> Any:
    """The handle of the run's answers, kept on the driver's node, which stays as long as the run; None where nothing is kept."""
    if pool.deduplicate != "run":
        return None
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor = ray.remote(AnswerStore).options(
        num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=_QUESTIONS, scheduling_strategy=here
    )
    return actor.remote(pool.answers_gigabytes * 1e9)


def _prepared(run: str, prepare: Callable[[Shard], pa.Table], seconds: float, bundle: pa.Table) -> pa.Table:
    found = from_table(bundles.unfold(bundle))
    if halt.is_called(run):
        return bundles.fold(*(outcomes.undone(shard.shard) for shard in found))
    prepared = []
    try:
        for shard in found:
            with explained(shard):
                reading = functools.partial(prepare, shard)
                prepared.append(patience.persist(reading, seconds, f"Shard {shard.shard}, reading it"))
    except UserError as error:  # it ends the run: what stands beside it is not begun
        return bundles.fold(outcomes.refused(shard.shard, error))
    finally:
        memory.give_back()
    return bundles.fold(*prepared)
