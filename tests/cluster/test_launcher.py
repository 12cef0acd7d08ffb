"""The files for Ray's cluster launcher refuse to start half filled in; what they start is bounded, closed and as documented."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.label_utils import validate_node_labels
from ray.autoscaler._private import commands, util

from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import ExitCode, UserError
from midb_ray.operations import launch
from tests.cluster import filling

MACHINES = filling.FOLDER.parent / "docs" / "machines.md"
EACH_BLANK = [(name, blank) for name in filling.FILES for blank in filling.blanks(name)]
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


@pytest.mark.parametrize(("name", "blank"), EACH_BLANK)
def test_ray_up_refuses_a_file_as_long_as_anything_is_left_to_fill_in(name: str, blank: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filling.filled(name, keep=blank), encoding="utf-8")
    with pytest.raises(yaml.constructor.ConstructorError, match=f"!{blank}'"):
        commands.create_or_update_cluster(str(path), None, None, False, False, True, no_config_cache=True)
    with pytest.raises(UserError, match=rf"{blank} \(line \d+\)"):
        launch.check(str(path))


@pytest.mark.parametrize("name", filling.FILES)
def test_a_file_names_all_that_is_left_open_at_once_and_each_once(name: str) -> None:
    names = filling.blanks(name)
    assert len(names) == len(set(names)) > 4
    with pytest.raises(UserError) as refused:
        launch.check(str(filling.FOLDER / f"{name}.yaml"))
    assert all(blank in str(refused.value) for blank in names)


def test_a_tag_taken_away_with_the_example_left_behind_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        filling.filled("aws").replace("registry.example/midb-ray-boost", "FILL_IN_REGISTRY/midb-ray-boost"),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"FILL_IN_REGISTRY \(line 2\d\)"):
        launch.check(str(path))


@pytest.mark.parametrize("name", filling.FILES)
def test_a_filled_file_is_what_rays_schema_expects(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filling.filled(name), encoding="utf-8")
    cluster = launch.check(str(path))
    util.validate_config(cluster)
    util.check_legacy_fields(cluster)
    for node in cluster["available_node_types"].values():
        validate_node_labels(node.get("labels", {}))


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("upscaling_speed: 8.0", "upscaling_sped: 8.0", "upscaling_sped"),
        ("max_workers: 13 ", "max_workers: many ", "max_workers"),
        ("resources: {CPU: 8,", "resources: {CPU: 0.5,", "CPU"),
        ("head_node_type: head", "head_node_type: boss", "head_node_type"),
        ("type: aws", "type: awss", "awss"),
        ("cluster_name: midb-ray", "cluster_name: [", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_filled_file_is_said_in_one_line(was: str, now: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    assert was in filling.filled("aws")
    path.write_text(filling.filled("aws").replace(was, now, 1), encoding="utf-8")
    with pytest.raises(UserError, match=said) as refused:
        launch.check(str(path))
    assert "\n" not in str(refused.value)


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


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_workers_watch_for_the_notice_of_their_cloud_and_leave_the_shell(cloud: str, tmp_path: Path) -> None:
    cluster = filling.cluster(cloud)
    *_, command = cluster["worker_start_ray_commands"]
    watch = f"midb-ray watch --cloud {cloud}"
    assert watch in command
    assert watch not in " ".join(cluster["head_start_ray_commands"])
    stand_in = command.replace(watch, "sh -c 'echo $PPID; exec sleep 30'").replace("/tmp/", f"{tmp_path}/")
    for _ in range(2):  # the second finds the first and leaves
        subprocess.run(["bash", "-c", f"({stand_in})"], check=True, timeout=20)
    log = tmp_path / "midb-ray-watch.log"
    until = time.monotonic() + 60
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < until
        time.sleep(0.05)
    [holder] = log.read_text().split()
    assert os.getsid(int(holder)) != os.getsid(0)
    os.killpg(int(holder), signal.SIGKILL)


@pytest.mark.parametrize(("cloud", "ray"), [("gcp", "GCPNodeProvider"), ("azure", "AzureNodeProvider")])
def test_the_class_that_a_file_names_is_rays_own_but_for_what_it_opens(cloud: str, ray: str) -> None:
    module, _, name = filling.cluster(cloud)["provider"]["module"].rpartition(".")
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    # Read and not imported: the clouds' packages are on the machines that use them.
    classes = {
        node.name: node for node in ast.parse(Path(found.origin).read_text()).body if isinstance(node, ast.ClassDef)
    }
    assert [base.id for base in classes[name].bases if isinstance(base, ast.Name)] == [ray]
    own = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef)}
    assert own == {"bootstrap_config"} | ({"create_node", "cleanup_cluster_resources"} if cloud == "azure" else set())


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


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-another-cluster-0123456789abcdef")
    path = launch.ensure_token()
    token = path.read_text(encoding="utf-8")
    assert path == tmp_path / ".ray" / "auth_token"
    assert len(token) >= 32
    assert token != "of-another-cluster-0123456789abcdef"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert launch.ensure_token().read_text(encoding="utf-8") == token


def test_an_unfilled_file_costs_nothing_not_even_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch.main([str(filling.FOLDER / "aws.yaml"), "--yes"]) == ExitCode.USER_ERROR
    assert "FILL_IN_REGION (line 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert launch.main([str(tmp_path / "none.yaml")]) == ExitCode.USER_ERROR
    assert "none.yaml" in capsys.readouterr().err


class _Formation(yaml.SafeLoader):
    """CloudFormation's own tags are read as their text."""


_Formation.add_multi_constructor("!", lambda loader, suffix, node: f"{suffix} {node.value}")
