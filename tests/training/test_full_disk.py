"""A disk that is full: one sentence at once, checkpoints that are whole, and the same command goes on when there is room."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from midb_ray.training import checkpoints

from .making import SMALL, write_revisions

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds two checkpoints of the model below but not three. Needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1300k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.usefixtures("ray_cluster")
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    revisions, output = write_revisions(tmp_path / "revisions.jsonl", 45), small_disk / "run"
    job = ["--revisions", str(revisions), "--output", str(output), *SMALL, "--card-rows", "0", "--zero.stage", "1"]
    job += ["--checkpoint.steps", "5", "--checkpoint.keep", "9", "--epochs", "3", "--batch-size", "4"]
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "midb_ray.cli", "train", *job, "--address", address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 2, ended.stderr[-3000:]
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"Error: Cannot write to {output}: ")
    assert "No space left on device" in line
    assert "Traceback" not in ended.stdout + ended.stderr
    kept = [each for each in (output / "checkpoints").glob("checkpoint_*") if each.is_dir()]
    whole = [each for each in kept if checkpoints.is_whole(str(each))]
    assert whole
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "going on after step" in ended.stdout + ended.stderr
    assert json.loads((output / "summary.json").read_text())["complete"]
