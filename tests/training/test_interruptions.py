"""Workers and whole jobs are killed for real in the middle of training: the result is that of a run that nothing disturbed, and
no example was seen twice or skipped within an epoch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from midb_ray.training.batches import Schedule
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings
from midb_ray.training.steppers import PlainStepper
from midb_ray.training.task import Task
from midb_ray.training.worker import run
from midb_ray.training.world import OneProcess

from .making import SMALL, write_revisions

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("traced_train.py")
RUN = [
    *(*SMALL, "--epochs", "5", "--batch-size", "4", "--checkpoint.steps", "5", "--log-steps", "5", "--card-rows", "0"),
    *("--selection.validation", "0.2", "--zero.stage", "2"),
]


class Job:
    """A train job in a process of its own, and what its workers wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder / "traces", folder / "run"
        self.folder.mkdir()
        self.revisions = write_revisions(folder / "revisions.jsonl", 45)
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        *workers: int,
        more: Sequence[str] = (),
        address: str | None = None,
        pause: float = 0.1,
        within: Sequence[str] = (),
    ) -> None:
        """`within` is a command that runs the job's, in another namespace for one."""
        import ray

        address = address or ray.get_runtime_context().gcs_address
        arguments = ["--revisions", str(self.revisions), "--output", str(self.output), *RUN]
        arguments += [*more, "--workers", *map(str, workers)]
        self._process = subprocess.Popen(
            [*within, sys.executable, str(SCRIPT), str(self.folder), str(pause), *arguments, "--address", address],
            start_new_session=True,
        )

    def wait(self, seconds: float = 150) -> int:
        assert self._process is not None
        return self._process.wait(timeout=seconds)

    def reaches(self, step: int, workers: int, seconds: float = 120) -> dict[str, object]:
        """Wait until `workers` of them together have taken a step from `step` on (from 0); what the last one wrote."""
        deadline = time.monotonic() + seconds
        while True:
            for line in reversed(self.lines()):
                if line["step"] >= step and line["workers"] == workers:
                    return line
            assert self._process is not None
            assert self._process.poll() is None, "the job ended before it could be disturbed"
            assert time.monotonic() < deadline, "the job did not get far enough to be disturbed"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def lines(self) -> list[dict[str, object]]:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(json.loads(path.read_text()))
            except ValueError:  # a worker that was killed while it wrote
                continue
        return found

    def steps(self, workers: int) -> list[int]:
        """The steps that so many workers took together."""
        return [int(str(line["step"])) for line in self.lines() if line["workers"] == workers]

    def nodes(self, workers: int) -> set[str]:
        """The nodes on which so many workers took steps together."""
        return {str(line["node"]) for line in self.lines() if line["workers"] == workers}

    def final(self) -> dict[int, list[str]]:
        """The rows of each step as they went into the final weights: those of the last workers that took it together."""
        latest: dict[int, dict[int, dict[str, object]]] = {}
        for line in self.lines():
            there = latest.setdefault(line["step"], {})
            if any(one["workers"] != line["workers"] for one in there.values()):
                there.clear()
            there[line["rank"]] = line
        return {step: [row for one in there.values() for row in one["rows"]] for step, there in latest.items()}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.close()


def undisturbed(job: Job, folder: Path) -> dict[str, float]:
    """The validation loss of the same training in one plain process without Ray, from the same examples and start model."""
    record = json.loads((job.output / "run.json").read_text())
    for name in ("examples", "start", "nonce"):
        source = job.output / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    task = Task(
        record["settings"], str(folder), record["nonce"], "", "s", "d", ("d",), str(folder / "start"), None, FACTS
    )
    return run(task, OneProcess(), PlainStepper).validation


FACTS = {
    "version": "0",
    "start": "s",
    "sources": "r",
    "languages": 1,
    "dropped": 0,
    "cut": 0,
    "selection_seed": 0,
    "train_examples": 1,
    "validation_examples": 1,
}


def assert_as_if_nothing_had_happened(job: Job, folder: Path) -> None:
    folder.mkdir()
    summary = json.loads((job.output / "summary.json").read_text())
    wanted = undisturbed(job, folder)
    assert summary["validation"].keys() == wanted.keys() != set()
    for language, loss in wanted.items():
        assert summary["validation"][language] == pytest.approx(loss, rel=0.01)

    examples = Examples(str(job.output / "examples" / "train.arrow"))
    settings = TrainSettings.model_validate(json.loads((job.output / "run.json").read_text())["settings"])
    schedule = Schedule(examples.lengths, settings.epochs, settings.batch_size, None, settings.seed)
    rows, taken = examples.column("row"), job.final()
    assert sorted(taken) == list(range(schedule.steps))
    for step, found in taken.items():
        assert sorted(found) == sorted(rows[index] for index in schedule.indices(step)), f"step {step}"
    whole_epochs = round(settings.epochs)
    assert Counter(row for found in taken.values() for row in found) == dict.fromkeys(rows, whole_epochs)
    steps = [json.loads(line) for line in (job.output / "metrics.jsonl").read_text().splitlines()]
    told = [line["step"] for line in steps if "loss" in line]
    assert told == sorted(set(told)), "metrics.jsonl tells of a step twice"


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_worker_is_replaced_and_a_killed_job_goes_on_with_fewer_and_again_with_more(
    job: Job, tmp_path: Path
) -> None:
    job.start(2)
    line = job.reaches(12, workers=2)
    os.kill(int(str(line["pid"])), signal.SIGKILL)
    job.reaches(20, workers=2)
    assert len({one["pid"] for one in job.lines()}) == 4
    job.kill()
    job.start(1)
    job.reaches(31, workers=1)
    job.kill()
    job.start(2)
    assert job.wait() == 0
    assert min(job.steps(workers=1)) > 10, "it began anew"
    assert_as_if_nothing_had_happened(job, tmp_path / "undisturbed")


def test_a_draining_node_means_a_checkpoint_at_once_and_training_goes_on_elsewhere(
    job: Job, tmp_path: Path, other_cluster
) -> None:
    cluster = other_cluster(num_cpus=2)
    nodes = [cluster.add_node(num_cpus=3) for _ in range(2)]
    more = ["--cpus-per-worker", "3", "--checkpoint.steps", "1000", "--max-failures", "0"]
    job.start(1, 2, more=more, address=cluster.address, pause=0.4)
    job.reaches(3, workers=2)
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address]
    drain += ["--node-id", nodes[1].node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    drain += ["--reason-message", "it is taken away", "--deadline-remaining-seconds", "600"]
    subprocess.run(drain, check=True)
    job.reaches(3, workers=1)
    assert job.wait() == 0
    assert min(job.steps(workers=1)) == max(job.steps(workers=2)) + 1, "a step was repeated"
    assert job.nodes(workers=2) == {node.node_id for node in nodes}
    assert job.nodes(workers=1) == {nodes[0].node_id}
    assert_as_if_nothing_had_happened(job, tmp_path / "undisturbed")
