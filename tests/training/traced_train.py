"""`midb-ray train` whose workers write down which examples they really took in which step, and take their time.

python traced_train.py TRACES PAUSE [arguments of midb-ray train]
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def traced_worker(task: dict[str, Any], traces: str, pause: float) -> dict[str, Any]:
    """`worker.ray_worker`; each step of each worker leaves a line with the rows that it trained on."""
    import ray.train

    from midb_ray.training import loop, worker

    here = {"address": ray.util.get_node_ip_address(), "node": ray.get_runtime_context().get_node_id()}
    rank = ray.train.get_context().get_world_rank()
    taken: list[str] = []
    make, step_of = loop.micro_batch, loop.run_step

    def micro_batch(examples: Any, chosen: Any) -> Any:
        names = examples.column("row")
        taken.extend(names[index] for index in chosen)
        return make(examples, chosen)

    def run_step(stepper: Any, examples: Any, schedule: Any, step: int, *more: Any) -> Any:
        taken.clear()
        done = step_of(stepper, examples, schedule, step, *more)
        line = {"step": step, "rank": rank, "workers": stepper.workers, "pid": os.getpid()}
        line |= {**here, "rows": list(taken)}
        with (Path(traces) / f"{time.time_ns():020d}-{rank}.json").open("w") as file:
            file.write(json.dumps(line))
        time.sleep(pause)
        return done

    loop.micro_batch, loop.run_step = micro_batch, run_step
    try:
        return worker.ray_worker(task)
    finally:
        loop.micro_batch, loop.run_step = make, step_of


if __name__ == "__main__":
    from midb_ray import cli
    from midb_ray.training import fit

    fit.ray_worker = functools.partial(traced_worker, traces=sys.argv[1], pause=float(sys.argv[2]))
    sys.exit(cli.train(sys.argv[3:]))
