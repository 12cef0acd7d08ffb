"""Memory of processes that take one large shard after another, for days: what a shard needed has to go back after it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pyarrow as pa

_FLAT = {  # Arrow's own allocator and glibc's defaults keep the largest peak that they ever saw, glibc's for every thread
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),  # what is larger has pages of its own, which go back at once
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "MALLOC_ARENA_MAX": "2",
}


def environment(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that workers have to start with to stay flat, but for those that the user's environment sets already."""
    return {name: value for name, value in _FLAT.items() if name not in own}


def give_back() -> None:
    """After a shard: return what is free to the system."""
    pa.default_memory_pool().release_unused()
