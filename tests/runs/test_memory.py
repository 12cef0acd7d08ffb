"""What workers start with so that their memory stays flat."""

from __future__ import annotations

import subprocess
import sys

from midb_ray.runs import memory

GROW = """
import resource, threading
import pyarrow as pa, psutil
from midb_ray.runs import memory
for _ in range(30):
    threads = [threading.Thread(target=lambda: pa.array([b"x" * 1000] * 20_000)) for _ in range(4)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    memory.give_back()
print(psutil.Process().memory_info().rss >> 20, pa.default_memory_pool().backend_name)
"""


def test_what_the_users_environment_says_already_stays() -> None:
    assert "MALLOC_ARENA_MAX" not in memory.environment({"MALLOC_ARENA_MAX": "8"})
    assert memory.environment({})["ARROW_DEFAULT_MEMORY_POOL"] == "system"


def test_a_process_gives_back_what_its_shards_needed() -> None:
    code = f"import os; os.environ.update({memory.environment({})!r}); exec({GROW!r})"
    environment = memory.environment({})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    megabytes, backend = done.stdout.split()
    assert backend == "system"
    assert int(megabytes) < 150  # each round needs 80 MB and more
