"""Training runs in two DeepSpeed processes and in one that is alone, all forked from this one, which imports everything once.

python grid.py FOLDER

FOLDER has a model in start/ and examples in run/examples/. Each process leaves pair-0.json, pair-1.json, alone-0.json with its
`cell`s by name, the first of the pair also what it exported.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

STEPS, KEPT, RESUMED = 30, 10, 20  # steps of the run, and after how many there are checkpoints
METHODS, STAGES, ELASTIC = ("full", "lora"), (0, 1, 2, 3), (0, 2, 3)
LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}
OTHER = {0: 2, 2: 3, 3: 0}  # the stage in which the two go on from a checkpoint of a stage


def settings(**changes: Any) -> Any:
    """Settings of a small run on CPUs: 30 steps of 6 examples, the last of one."""
    from midb_ray.training.settings import TrainSettings

    given = {
        "revisions": ["r"],
        "output": "o",
        "model": "m",
        "dtype": "float32",
        "gpus_per_worker": 0,
        "max_tokens": 64,
        "micro_tokens": 112,
        "batch_size": 6,
        "epochs": 4.375,
        "log_steps": 10,
        "seed": 3,
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "lora": LORA,
    }
    return TrainSettings.model_validate({**given, **changes})


def task(folder: Path, chosen: Any, run: str = "run") -> Any:
    """What a worker is told."""
    from midb_ray.training.task import Task

    plain = chosen.model_dump(mode="json")
    return Task(plain, str(folder / run), "", "", "", "d", ("d",), str(folder / "start"), None, {})


def schedule_of(examples: Any, chosen: Any) -> Any:
    from midb_ray.training.batches import Schedule

    return Schedule(examples.lengths, chosen.epochs, chosen.batch_size, chosen.batch_tokens, chosen.seed)


class Process:
    """One process of the grid."""

    def __init__(self, folder: Path, name: str, rank: int, workers: int) -> None:
        import torch.distributed as dist

        from midb_ray.training import setup
        from midb_ray.training.examples import Examples

        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(workers))
        dist.init_process_group("gloo", f"file://{folder}/store-{name}", rank=rank, world_size=workers)
        setup.process(settings())
        self.folder, self.name, self.rank, self.workers = folder, name, rank, workers
        self.train, self.validation = (
            Examples(str(folder / "run" / "examples" / f"{split}.arrow")) for split in ("train", "validation")
        )
        self.cells: dict[str, Any] = {}

    def cell(
        self,
        name: str,
        last: int,
        first: str | None = None,
        keep: tuple[int, str] | None = None,
        export: bool = False,
        **changes: Any,
    ) -> None:
        """A run up to step `last`, from the checkpoint `first` on; with the checkpoint `keep` after so many steps."""
        import torch.distributed as dist
        from safetensors.torch import save_file

        from midb_ray.training import export as exporting
        from midb_ray.training import loop, setup, state

        chosen = settings(**changes)
        given = task(self.folder, chosen, f"exported/{name}")
        schedule = schedule_of(self.train, chosen)
        found = self._wait(first) if first else None
        stepper, step = setup.stepper(given, chosen, schedule, found, None)
        steps = []
        while step < last:
            steps.append(loop.run_step(stepper, self.train, schedule, step, chosen, ask=self.rank == 1 and step == 1))
            step += 1
            if keep and keep[0] == step:
                place = self.folder / "checkpoints" / keep[1]
                state.write(place, stepper, state.Position(step, schedule.offset(step), "d", {}))
                dist.barrier()
                (place / "whole").touch()
        self.cells[name] = {
            "losses": [each.loss for each in steps],
            "norms": [each.gradient_norm for each in steps],
            "examples": [each.examples for each in steps],
            "tokens": [each.tokens for each in steps],
            "asked": [each.asked for each in steps],
            "validation": loop.validate(stepper, self.validation, chosen) if last == STEPS else {},
            "fragments": [[each.name, each.start, each.master.numel()] for each in stepper.fragments()],
        }
        if export:
            weights = stepper.weights(trained_only=True)
            assert bool(weights) == (self.rank == 0)
            if weights:
                save_file(weights, self.folder / f"{name}.safetensors")
            place, revision = setup.start(given)
            difference = exporting.export(given.run, stepper, self.train, chosen, place, revision, "# A card")
            self.cells[name]["difference"] = difference
        stepper.close()
        del stepper
        gc.collect()

    def done(self) -> None:
        (self.folder / f"{self.name}-{self.rank}.json").write_text(json.dumps(self.cells))

    def _wait(self, checkpoint: str) -> Path:
        place = self.folder / "checkpoints" / checkpoint
        while not (place / "whole").exists():
            time.sleep(0.02)
        return place


def pair(folder: Path, rank: int) -> None:
    """The two: the whole grid, then on from checkpoints, their own and those of the one alone."""
    process = Process(folder, "pair", rank, 2)
    for method in METHODS:
        for stage in (*ELASTIC, *(each for each in STAGES if each not in ELASTIC)):
            kept = (KEPT, f"pair-{method}-{stage}")
            process.cell(f"{method}-{stage}", STEPS, keep=kept, export=True, method=method, zero={"stage": stage})
    for method in METHODS:
        for stage in ELASTIC:
            name = f"pair-{method}-{stage}"
            process.cell(f"{name}-on", RESUMED, first=name, method=method, zero={"stage": OTHER[stage]})
    for stage in (1, 2, 3):
        process.cell(f"bfloat16-{stage}", 8, dtype="bfloat16", zero={"stage": stage}, export=stage == 3)
    process.cell("checkpointing", 8, gradient_checkpointing=True, zero={"stage": 3})
    for method in METHODS:
        for stage in ELASTIC:
            name = f"alone-{method}-{stage}"
            process.cell(f"{name}-on", STEPS, first=name, method=method, zero={"stage": stage})
    process.done()


def alone(folder: Path, rank: int) -> None:
    """The one: on from the checkpoints of the two."""
    process = Process(folder, "alone", rank, 1)
    for method in METHODS:
        for stage in ELASTIC:
            name = f"alone-{method}-{stage}"
            chosen = {"method": method, "zero": {"stage": stage}}
            process.cell(name, RESUMED, first=f"pair-{method}-{stage}", keep=(RESUMED, name), **chosen)
    process.done()


def offload(folder: Path, rank: int) -> None:
    """The two, with optimizer state and then weights too in CPU memory, to a checkpoint and on from that of another stage."""
    process = Process(folder, "offload", rank, 2)
    moved = {1: {}, 2: {}, 3: {"offload_parameters": True}}
    for stage, more in moved.items():
        chosen = {"stage": stage, "offload_optimizer": True, **more}
        process.cell(f"offload-{stage}", STEPS, keep=(KEPT, f"offload-{stage}"), export=True, zero=chosen)
    for stage in moved:
        chosen = {"stage": stage % 3 + 1, "offload_optimizer": True}
        process.cell(f"offload-{stage}-on", STEPS, first=f"offload-{stage}", zero=chosen)
    process.done()


PLANS = {"whole": ((pair, 0), (pair, 1), (alone, 0)), "offload": ((offload, 0), (offload, 1))}


def main(folder: Path, plan: str) -> int:
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import torch
    from transformers import LlamaForCausalLM  # noqa: F401

    from midb_ray.training import export, loop, setup, state, zero  # noqa: F401

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # or each collection looks at all that was imported
    children = {}
    for role, rank in PLANS[plan]:
        child = os.fork()
        if not child:
            try:
                role(folder, rank)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(1)
        children[child] = role
    while children:
        ended, status = os.wait()
        del children[ended]
        if status:  # the others would wait for it
            for child in children:
                os.kill(child, signal.SIGKILL)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
