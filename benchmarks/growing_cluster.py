"""A Ray cluster that begins without workers: its autoscaler starts pretended nodes of one GPU on this machine and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from midb_ray.runs.labels import WORK

HOST = "127.0.0.1"
_TRAINING = "for_training"  # a resource, by which a raylet's command line tells what it is
IDLE_SECONDS = 12  # longer than an engine takes to be placed on a node that has come up
_PATIENCE = 120.0  # seconds for the head to come up


class Size(NamedTuple):
    """Engine actors, loading ones among them, worker nodes, and machines for training, which no engine should bring up."""

    actors: int
    workers: int
    trainers: int


class GrowingCluster:
    """A head node without a GPU; from Ray's provider of pretended nodes up to `most` workers with a logical GPU each, and a machine
    for training with four. Its files stand in `folder`. Raises `RuntimeError` if the head does not come up."""

    def __init__(self, folder: Path, most: int) -> None:
        with socket.create_server((HOST, 0)) as probe:
            port = probe.getsockname()[1]
        self.address = f"{HOST}:{port}"
        # Loopback alone: whether or not this home has a token.
        self.environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        self.environment |= {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
        # The autoscaler that `ray up` and KubeRay start, which knows labels; `ray start` by itself starts the older one.
        self.environment |= {"RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID}
        self.environment.pop("RAY_ADDRESS", None)
        (folder / "cluster.json").write_text(json.dumps(_config(self.address, most)))
        self._temporary = tempfile.mkdtemp(prefix="midb-grow-")  # not `folder`: paths of sockets must stay short
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--node-ip-address={HOST}"]
        command += [f"--port={port}", "--num-cpus=2", "--num-gpus=0", "--object-store-memory=200000000"]
        command += ["--include-dashboard=false", f"--temp-dir={self._temporary}"]
        command += [f"--autoscaling-config={folder / 'cluster.json'}"]
        with (folder / "head.log").open("wb") as log:
            self._head = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _PATIENCE
        while not (_listens(port) and self._raylets()):
            if self._head.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"The head did not come up:\n{(folder / 'head.log').read_text()[-3000:]}")
            time.sleep(0.2)

    def size(self) -> Size:
        """By processes, so what runs and not what the autoscaler thinks."""
        raylets = self._raylets()
        actors = 0
        for raylet in raylets:
            with contextlib.suppress(psutil.NoSuchProcess):
                # What an actor starts bears its name for a moment, so only the children of raylets count.
                for process in raylet.children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        actors += "MapWorker" in "".join(process.cmdline())
        trainers = sum(_TRAINING in one for one in map(_command, raylets))
        return Size(actors, max(len(raylets) - trainers - 1, 0), trainers)

    def close(self) -> None:
        """End every process of the cluster, and delete what Ray wrote."""
        mine: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            head = psutil.Process(self._head.pid)
            mine = [*head.children(recursive=True), head]
        for process in mine:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._head.wait()
        psutil.wait_procs(mine, timeout=10)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _raylets(self) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._head.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.name() == "raylet" and process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "".join(process.cmdline())
    return ""


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex((HOST, port)) == 0


def _config(address: str, most: int) -> dict[str, Any]:
    """Ray's launcher fills in what stands below `auth` for real clusters; its schema wants all of it. Four engines would fill the
    machine for training better than workers, in Ray's eyes, if its label did not keep them off."""
    worker = {"CPU": 2, "GPU": 1, "object_store_memory": 100 << 20}
    training = {"CPU": 8, "GPU": 4, _TRAINING: 1, "object_store_memory": 100 << 20}
    return {
        "cluster_name": "pretended",
        "max_workers": most + 1,
        "upscaling_speed": 10,
        "idle_timeout_minutes": IDLE_SECONDS / 60,
        "provider": {
            "type": "external",  # by its own name the newer autoscaler looks for a file that Ray does not ship
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": address,
            "launch_multiple": True,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "labels": {WORK: "boost"}, "max_workers": most},
            "training": {"resources": training, "node_config": {}, "labels": {WORK: "train"}, "max_workers": 1},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        **{f"{when}_commands": [] for when in ("initialization", "setup", "head_setup", "worker_setup")},
        **{f"{which}_start_ray_commands": [] for which in ("head", "worker")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }
