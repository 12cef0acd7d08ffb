"""Checkpoints as they lie in a run folder: what is damaged or forgotten stops no run and fills no disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from midb_ray.training import checkpoints
from midb_ray.training.state import POSITION

OLD, NEW, FORGOTTEN = (f"checkpoint_2026-01-0{day}_10-00-00.000000" for day in (1, 2, 3))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two checkpoints on Ray Train's list, the newer one the latest, and one that it never heard of."""
    made = tmp_path / checkpoints.FOLDER
    for name in (OLD, NEW, FORGOTTEN):
        (made / name).mkdir(parents=True)
        for rank in (0, 1):
            save_file({f"w|master|{rank * 8}": torch.ones(8)}, made / name / f"state-0000{rank}-of-00002.safetensors")
        (made / name / POSITION).write_text("{}")
    listed = [{"checkpoint_dir_name": name} for name in (OLD, NEW)]
    (made / checkpoints._LIST).write_text(
        json.dumps({"checkpoint_results": listed, "latest_checkpoint_result": {"checkpoint_dir_name": NEW}})
    )
    return made


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_what_ray_train_never_heard_of_is_deleted(tmp_path: Path, place: Path) -> None:
    assert checkpoints.mend(str(tmp_path)) is None
    assert left(place) == [OLD, NEW, checkpoints._LIST]


def test_a_new_run_has_nothing_to_mend(tmp_path: Path) -> None:
    assert checkpoints.mend(str(tmp_path)) is None


@pytest.mark.parametrize("damage", ["cut", "missing", "no position", "no header"])
def test_a_damaged_latest_checkpoint_means_the_newest_whole_one(tmp_path: Path, place: Path, damage: str) -> None:
    (place / FORGOTTEN / POSITION).unlink()  # it was never finished
    file = place / NEW / "state-00001-of-00002.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "missing":
        file.unlink()
    elif damage == "no header":
        file.write_bytes(b"\xff" * 100)
    else:
        (place / NEW / POSITION).unlink()
    assert checkpoints.mend(str(tmp_path)) == f"{place}/{OLD}"
    assert left(place) == [OLD]


@pytest.mark.parametrize("content", ["", '{"checkpoint_results": [', "[]", "null"])
def test_a_list_that_was_not_written_to_its_end_is_set_aside(tmp_path: Path, place: Path, content: str) -> None:
    (place / checkpoints._LIST).write_text(content)
    assert checkpoints.mend(str(tmp_path)) == f"{place}/{FORGOTTEN}"
    assert left(place) == [FORGOTTEN]


def test_without_a_whole_checkpoint_training_begins_anew(tmp_path: Path, place: Path) -> None:
    for name in (OLD, NEW, FORGOTTEN):
        (place / name / POSITION).unlink()
    assert checkpoints.mend(str(tmp_path)) is None
    assert left(place) == []
