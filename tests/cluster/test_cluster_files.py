"""What the cluster files start is bounded, closed to the world, and as docs/machines.md says."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private import util
from ray.autoscaler._private.kuberay import autoscaling_config as kuberay
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest, ResourceRequest
from ray.core.generated.common_pb2 import LabelSelectorOperator

from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.runs import cluster as running
from midb_ray.runs import growth, labels
from midb_ray.training import capacity
from tests.cluster import filling, manifests
from tests.training.grid import settings

MACHINES = filling.FOLDER.parent / "docs" / "machines.md"
MACHINE_KEY = {"aws": "InstanceType", "gcp": "machineType", "azure": "vmSize"}


def table(first: str) -> list[dict[str, str]]:
    """The rows of the table in docs/machines.md whose first column is called `first`."""
    lines = MACHINES.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in [lines[begin], *lines[begin + 2 :]]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def machine(cloud: str, node: dict[str, Any]) -> dict[str, Any]:
    """What the provider is asked for."""
    return node["node_config"]["azure_arm_parameters"] if cloud == "azure" else node["node_config"]


def each_node() -> list[tuple[str, str]]:
    return [(cloud, kind) for cloud in filling.CLOUDS for kind in filling.cluster(cloud)["available_node_types"]]


def gigabytes(options: list[str]) -> int:
    """The size of /dev/shm that the options of docker give."""
    sizes = [re.fullmatch(r"--shm-size=(\d+)g", option) for option in options]
    return next(int(size.group(1)) for size in sizes if size)


def test_no_file_lets_the_world_in() -> None:
    files = [filling.FOLDER / f"{name}.yaml" for name in filling.FILES]
    files += [path for cloud in filling.CLOUDS for path in (filling.FOLDER / cloud).iterdir()]
    assert len(files) >= 7
    for path in files:
        assert not re.search(r"0\.0\.0\.0|::/0", path.read_text(encoding="utf-8")), path
    rules = json.loads((filling.FOLDER / "azure" / "group.json").read_text(encoding="utf-8"))["resources"][0][
        "properties"
    ]["securityRules"]
    assert [rule["properties"]["destinationPortRange"] for rule in rules] == ["22"]
    assert "parameters('sshCidr')" in rules[0]["properties"]["sourceAddressPrefix"]


def test_the_world_as_range_for_ssh_is_refused_on_aws_before_anything_is_made() -> None:
    parameters = yaml.load((filling.FOLDER / "aws" / "account.yaml").read_text(encoding="utf-8"), _Formation)[
        "Parameters"
    ]
    allowed = re.compile(parameters["SshCidr"]["AllowedPattern"])
    assert allowed.match("203.0.113.7/32")
    assert not any(allowed.match(wide) for wide in ("0.0.0.0/0", "10.0.0.0/8", "203.0.113.7", "::/0", ""))


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_the_cluster_is_bounded_and_comes_down_to_its_head(cloud: str) -> None:
    cluster = filling.cluster(cloud)
    nodes = cluster["available_node_types"]
    workers = {kind: node for kind, node in nodes.items() if kind != cluster["head_node_type"]}
    assert set(workers) == {"boost", "train", "cpu"}
    assert all(node["min_workers"] == 0 < node["max_workers"] for node in workers.values())
    assert nodes["head"]["max_workers"] == 0
    assert cluster["max_workers"] == sum(node["max_workers"] for node in workers.values()) <= 16
    assert cluster["idle_timeout_minutes"] * 60 > PoolSettings().start_timeout
    assert cluster["provider"]["cache_stopped_nodes"] is False
    assert nodes["head"]["resources"]["CPU"] == 0


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_boosting_runs_on_spot_machines_and_all_else_does_not(cloud: str) -> None:
    nodes = filling.cluster(cloud)["available_node_types"]
    spot = {
        kind for kind, node in nodes.items() if re.search(r"(?i)spot|preemptible", json.dumps(machine(cloud, node)))
    }
    assert spot == {"boost"}
    boost = machine(cloud, nodes["boost"])
    if cloud == "aws":
        assert boost["InstanceMarketOptions"]["SpotOptions"]["InstanceInterruptionBehavior"] == "terminate"
    elif cloud == "gcp":
        assert (
            boost["scheduling"] | {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
            == boost["scheduling"]
        )
    else:
        assert (boost["priority"], boost["evictionPolicy"]) == ("Spot", "Delete")
    assert all(
        nodes[kind]["labels"]["midb-ray/market"] == ("spot" if kind in spot else "on-demand")
        for kind in ("boost", "train", "cpu")
    )


def demand(resources: dict[str, float], selector: dict[str, str]) -> ResourceRequest:
    """What a task or an actor with this label selector asks the autoscaler for."""
    outside = [
        (key, LabelSelectorOperator.LABEL_OPERATOR_NOT_IN, wanted.removeprefix("!in(").removesuffix(")").split(","))
        for key, wanted in selector.items()
    ]
    return ResourceRequestUtil.make(resources, label_selectors=[outside] if outside else None)


def launched(config: AutoscalingConfig, single: ResourceRequest, count: int, gang: bool = False) -> dict[str, int]:
    """How many nodes of which type Ray's autoscaler would start for so many of a demand."""
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=[] if gang else ResourceRequestUtil.group_by_count([single] * count),
            gang_resource_requests=[GangResourceRequest(requests=[single] * count)] if gang else [],
        )
    )
    return {request.instance_type: request.count for request in reply.to_launch}


def autoscaling(name: str) -> AutoscalingConfig:
    """What the autoscaler makes of a cluster file."""
    if name in filling.CLOUDS:
        return AutoscalingConfig(util.prepare_config(filling.cluster(name)))
    named = {"name": "midb-ray", "namespace": "midb-ray"}
    found = kuberay._derive_autoscaling_config_from_ray_cr(
        {"metadata": named, "spec": dict(manifests.clusters())[name]}
    )
    return AutoscalingConfig(found, skip_content_hash=True)


@pytest.mark.parametrize("name", [*filling.CLOUDS, *dict(manifests.clusters())])
def test_tasks_beside_the_engines_start_no_machine_for_training(name: str) -> None:
    config = autoscaling(name)
    nodes = config.get_node_type_configs()

    def works(selector: dict[str, str]) -> set[str]:
        demands = (
            launched(config, demand({"CPU": running._SHARE}, selector), count) for count in (1, running._WAITING, 1000)
        )
        return {nodes[kind].labels[labels.WORK] for found in demands for kind in found}

    every = {node.labels.get(labels.WORK) for node in nodes.values()} - {None}
    assert works(PoolSettings(gpus_per_replica=1).nodes) == every & {"boost", "cpu"}
    assert works(PoolSettings().nodes) == works(labels.ELSE) == every & {"cpu"}
    assert works(settings().preparing_nodes) == works(settings().nodes) == every & {"train", "cpu"}
    assert works({}) == every  # what the labels are for


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_each_work_gets_its_kind_of_machine(cloud: str) -> None:
    config = autoscaling(cloud)
    on_gpus, on_cpus = (PoolSettings(gpus_per_replica=gpus).nodes for gpus in (1, 0))
    training = settings(gpus_per_worker=1).nodes
    engine, worker = demand({"GPU": 1, "CPU": 1}, on_gpus), demand({"GPU": 1, "CPU": 4}, training)
    preparing, scoring = demand({"CPU": 1}, on_gpus), demand({"CPU": 1}, on_cpus)

    assert launched(config, worker, 8, gang=True) == {"train": 1}
    assert launched(config, worker, 12, gang=True) == {}  # not on spot machines either
    assert [launched(config, engine, count) for count in (3, 8, 12)] == [{"boost": 3}, {"boost": 8}, {"boost": 8}]
    assert launched(config, preparing, 64) == {"cpu": 4}
    assert "train" not in launched(config, preparing, 1000)
    assert launched(config, scoring, 1000) == {"cpu": 4}
    shape, limits = {"GPU": 1.0, "CPU": 4.0}, growth.of_file(filling.cluster(cloud))
    assert capacity.most(limits, shape, training) == 8  # of training workers, as the job counts them beforehand
    assert capacity.most(limits, shape) == 16
    without = demand({"GPU": 1, "CPU": 1}, {})
    assert launched(config, without, 8) == {"train": 1}  # what the labels are for


@pytest.mark.parametrize(("cloud", "kind"), each_node())
def test_what_a_node_is_said_to_have_is_what_its_machine_has(cloud: str, kind: str) -> None:
    cluster = filling.cluster(cloud)
    node = cluster["available_node_types"][kind]
    [row] = [
        row
        for row in table("cloud")
        if (row["cloud"], row.get("machine")) == (cloud, machine(cloud, node)[MACHINE_KEY[cloud]])
    ]
    assert kind in row["used for"]
    assert row["source"].startswith("<https://")
    assert node["resources"]["CPU"] == (0 if kind == "head" else int(row["vCPUs"]))
    assert node["resources"].get("GPU", 0) == int(row["GPUs"])
    options = cluster["docker"]["head_run_options"] if kind == "head" else node["docker"]["worker_run_options"]
    assert node["resources"]["object_store_memory"] < gigabytes(options) << 30 < int(row["memory"]) << 29
    assert ("--env=NVIDIA_VISIBLE_DEVICES=all" in options) == (int(row["GPUs"]) > 0)
    assert "usage_stats" not in json.dumps(options)


def test_the_table_of_machines_agrees_with_what_aws_itself_says() -> None:
    import moto.ec2

    with gzip.open(Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz") as file:
        known = json.load(file)
    rows = [row for row in table("cloud") if row["cloud"] == "aws" and "machine" in row]
    assert len(rows) == 5
    for row in rows:
        facts = known[row["machine"]]
        gpus = facts.get("GpuInfo", {}).get("Gpus", [{"Count": 0, "Name": ""}])[0]
        assert (facts["VCpuInfo"]["DefaultVCpus"], facts["MemoryInfo"]["SizeInMiB"] / 1024) == (
            int(row["vCPUs"]),
            int(row["memory"]),
        )
        assert (gpus["Count"], gpus["Name"]) == (int(row["GPUs"]), row["GPU"])


@pytest.mark.parametrize("name", filling.FILES)
def test_every_image_is_in_the_table_with_its_version(name: str) -> None:
    known = {row["image"] for row in table("image")}
    named = set(re.findall(r"FILL_IN_REGISTRY/(\S+)", filling.text(name)))
    assert named
    assert named <= known
    assert all(re.search(r":\d+\.\d+\.\d+$", image) for image in named)
    docker = filling.cluster(name)["docker"]
    assert docker["image"].removeprefix("registry.example/") in known


@pytest.mark.parametrize("name", filling.FILES)
def test_every_node_has_the_token_and_nothing_is_installed_or_told(name: str) -> None:
    cluster = filling.cluster(name)
    assert cluster["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert {"--env=RAY_AUTH_MODE=token", "--ulimit=nofile=65536:65536"} <= set(cluster["docker"]["run_options"])
    assert not re.search(r"RAY_AUTH_TOKEN\b|PASSWORD|SECRET|AKIA", filling.filled(name))
    assert cluster["initialization_commands"] == (["mount"] if name == "azure" else [])  # a share, and nothing else
    for stage in ("setup", "head_setup", "worker_setup"):
        assert cluster[f"{stage}_commands"] == []
    head, worker = (" ".join(cluster[f"{which}_start_ray_commands"]) for which in ("head", "worker"))
    for command in (head, worker):
        assert "ulimit -n 65536;" in command
        assert "--disable-usage-stats" in command
        assert "--object-spilling-directory=" in command
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head


def test_machines_have_encrypted_disks_that_go_with_them_and_the_least_role() -> None:
    aws, gcp = filling.cluster("aws")["available_node_types"], filling.cluster("gcp")["available_node_types"]
    for kind, node in aws.items():
        asked = node["node_config"]
        assert all(
            disk["Ebs"]["Encrypted"] and disk["Ebs"]["DeleteOnTermination"] for disk in asked["BlockDeviceMappings"]
        )
        assert asked["IamInstanceProfile"] == {"Name": "midb-ray-head" if kind == "head" else "midb-ray-worker"}
        assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert asked["MetadataOptions"]["HttpTokens"] == "required"
        assert asked["SecurityGroupIds"] == ["security-group"]
    for kind, node in gcp.items():
        asked = node["node_config"]
        assert all(disk["autoDelete"] for disk in asked["disks"])
        assert [account["email"] for account in asked["serviceAccounts"]] == [
            "head-account" if kind == "head" else "worker-account"
        ]
        assert [interface["subnetwork"] for interface in asked["networkInterfaces"]] == ["subnet"]


class _Formation(yaml.SafeLoader):
    """CloudFormation's own tags are read as their text."""


_Formation.add_multi_constructor("!", lambda loader, suffix, node: f"{suffix} {node.value}")
