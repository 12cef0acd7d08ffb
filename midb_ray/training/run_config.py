"""Ray Train's configuration of a run whose name on the dashboard is not that of its folder."""

from __future__ import annotations

import functools

from ray.train import RunConfig
from ray.train.v2._internal.execution.storage import StorageContext

from midb_ray.training import checkpoints


class NamedRun(RunConfig):
    """A run that keeps its checkpoints in `checkpoints.FOLDER` under `storage_path`, whatever it is called."""

    @functools.cached_property
    def storage_context(self) -> StorageContext:
        return StorageContext(
            storage_path=self.storage_path,
            experiment_dir_name=checkpoints.FOLDER,
            storage_filesystem=self.storage_filesystem,
        )
