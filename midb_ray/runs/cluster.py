"""Connect to Ray: the cluster that is named, or a local one of this process's own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from midb_ray.errors import UserError

_LOCAL_CPUS = 4  # with fewer logical CPUs some Ray Data plans wait for ever for a slot


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A Ray session for the job. Without `address` and RAY_ADDRESS a local cluster is started, never another's joined.

    Raises `UserError` if the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():  # a test session's cluster
        yield
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    options = {"num_cpus": max(os.cpu_count() or 1, _LOCAL_CPUS), "include_dashboard": False} if target == "local" else {}
    try:
        ray.init(target, logging_level=logging.ERROR, log_to_driver=True, configure_logging=True, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"Cannot reach a Ray cluster at {target!r}: {' '.join(str(error).split())[:300]}") from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()
