"""A train run on an object store: checkpoints, examples, booster and metrics lie there, and a killed job goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midb_ray.boosting import card_record
from midb_ray.runs import storage

from .making import SMALL, write_revisions

pytestmark = pytest.mark.slow


def last_step(uri: str) -> int:
    """The last step that metrics.jsonl tells of."""
    try:
        lines = storage.read_bytes(f"{uri}/metrics.jsonl").decode().splitlines()
    except FileNotFoundError:
        return 0
    return max((json.loads(line)["step"] for line in lines), default=0)


def knows_a_checkpoint(uri: str) -> bool:
    """Whether Ray Train has a checkpoint on its list."""
    try:
        return b"checkpoint_dir_name" in storage.read_bytes(f"{uri}/checkpoints/checkpoint_manager_snapshot.json")
    except FileNotFoundError:
        return False


def test_a_killed_job_goes_on_from_what_lies_in_a_bucket(tmp_path: Path, s3: str) -> None:
    revisions, output = write_revisions(tmp_path / "revisions.jsonl", 40), f"{s3}/run"
    job = [sys.executable, "-m", "midb_ray.cli", "train", "--revisions", str(revisions), "--output", output, *SMALL]
    job += ["--epochs", "60", "--batch-size", "4", "--checkpoint.steps", "40", "--log-steps", "20", "--tensorboard"]
    first = subprocess.Popen(job, start_new_session=True, env=dict(os.environ))
    deadline = time.monotonic() + 180
    try:
        while not knows_a_checkpoint(output):
            assert first.poll() is None, "the job ended before it could be disturbed"
            assert time.monotonic() < deadline, "the job did not get far enough to be disturbed"
            time.sleep(0.1)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = last_step(output)
    second = subprocess.run(job, env=dict(os.environ), stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    assert second.returncode == 0, second.stderr[-3000:]
    assert "train: going on after step" in second.stderr
    summary = json.loads(storage.read_bytes(f"{output}/summary.json"))
    assert before < summary["steps"] == last_step(output)
    names = {file.uri.rpartition("/")[2] for file in storage.list_files(f"{output}/booster")}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "card.json"} <= names
    card = card_record.read(f"{output}/booster")
    assert card is not None
    assert card.all.rows == summary["validation_examples"] == 2
    assert storage.list_files(f"{output}/tensorboard")
