"""What cluster/local.yaml asks of machines that nobody chose for it, and that nothing is asked for in vain in any file."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ray._private import utils
from ray.autoscaler._private.command_runner import DockerCommandRunner

from tests.cluster import filling


class Machine:
    """Answers the launcher as a machine with so much free memory."""

    def __init__(self, gigabytes: int) -> None:
        self.gigabytes = gigabytes

    def run(self, command: str, **_: Any) -> bytes:
        return f"MemAvailable: {self.gigabytes << 20} kB\n".encode() if "meminfo" in command else b""


def shared_memory(gigabytes: int) -> float:
    """Bytes of /dev/shm that the launcher gives the container on such a machine."""
    runner = object.__new__(DockerCommandRunner)
    runner.docker_config = filling.cluster("local")["docker"]
    runner.ssh_command_runner = Machine(gigabytes)
    options = runner._auto_configure_shm(runner.docker_config["run_options"])
    [size] = [option for option in options if option.startswith("--shm-size=")]
    return float(re.sub(r"[^\d.]", "", size))


@pytest.mark.parametrize("gigabytes", [4, 16, 256])
def test_the_object_store_fits_a_machine_of_any_size(gigabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    size = shared_memory(gigabytes)
    assert 0.25 < size / (gigabytes << 30) < 0.5
    assert "object-store-memory" not in filling.filled("local")  # so that Ray decides, by what the container has:
    monkeypatch.setattr(utils, "get_shared_memory_bytes", lambda: size)
    assert utils.resolve_object_store_memory(gigabytes << 30) <= size


def test_no_variable_of_ours_is_set_that_nothing_reads() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (filling.FOLDER.parent / "midb_ray").rglob("*.py"))
    told = "".join(path.read_text(encoding="utf-8") for path in filling.FOLDER.rglob("*.*"))
    assert "MIDB_RAY_LOG" in sources  # so that this can be seen at all
    assert [name for name in re.findall(r"MIDB_RAY_[A-Z_]+", told) if name not in sources] == []
