"""A run of Ray Train has a plain name, and its checkpoints stay where they always were."""

from __future__ import annotations

from pathlib import Path

from ray import cloudpickle

from midb_ray.training import checkpoints
from midb_ray.training.run_config import NamedRun


def test_the_name_on_the_dashboard_is_not_the_folder(tmp_path: Path) -> None:
    config = NamedRun(name="train booster", storage_path=str(tmp_path))
    for one in (config, cloudpickle.loads(cloudpickle.dumps(config))):  # the controller gets a copy
        assert one.name == "train booster"
        assert one.storage_context.experiment_fs_path == str(tmp_path / checkpoints.FOLDER)
