"""One Ray cluster for the whole test session: its own, local, with logical GPUs, in a private folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"  # whether or not this home has a token file
os.environ.pop("RAY_ADDRESS", None)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A cluster that the whole session shares; jobs that connect while it is up use it."""
    import ray

    temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"midb-{os.getpid()}"  # socket paths must stay short
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(temporary),
    )
    yield
    ray.shutdown()
