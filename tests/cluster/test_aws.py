"""`ray up` on cluster/aws.yaml against an EC2 and IAM server on this machine: what is really asked of a cloud.

Real are the launcher, `ray up`, `ray down`, Ray's provider and scheduler, and every request to the cloud. What answers as the
machine is a pair of scripts in the place of ssh and rsync, which write down what they are told.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import filling

pytestmark = pytest.mark.slow

REGION = "eu-central-1"
SSH = r"""#!/bin/sh
echo "ssh $*" >> "$TOLD/calls"
case "$*" in
  *"printenv HOME"*|*Config.Env*) echo '["HOME=/home/ray"]';;
  *State.Running*) [ -e "$TOLD/up" ] && echo true || echo false;;
  *"docker run"*) touch "$TOLD/up";;
  *Mounts*) echo '[]';;
  *"command -v docker"*) echo /usr/bin/docker;;
esac
"""
RSYNC = r"""#!/bin/sh
echo "rsync $*" >> "$TOLD/calls"
for word; do
  case $word in
    */ray-bootstrap-*) [ -e "$word" ] && cp "$word" "$TOLD/bootstrap.json";;
    *.ssh/midb-ray.pem) cp "$word" "$HOME/ray_bootstrap_key.pem";;
  esac
done
exit 0
"""


@dataclasses.dataclass
class Account:
    """An account in which the stack of cluster/aws/account.yaml was made and `ray up` has run."""

    folder: Path
    file: Path
    group: str
    environment: dict[str, str]
    said: str

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service, region_name=REGION)

    def instances(self, state: str = "running") -> list[dict[str, Any]]:
        found = self.client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": [state]}])
        return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]

    def told(self) -> str:
        """Everything that the machine was told by ssh and rsync."""
        return (self.folder / "told" / "calls").read_text(encoding="utf-8")

    def bootstrap(self) -> dict[str, Any]:
        """The cluster as the head's autoscaler gets it."""
        content: dict[str, Any] = json.loads((self.folder / "told" / "bootstrap.json").read_text(encoding="utf-8"))
        return content

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("aws")
    for name, script in (("ssh", SSH), ("rsync", RSYNC)):
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "told").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    own = {
        "HOME": str(folder / "home"),
        "TOLD": str(folder / "told"),
        "TMPDIR": str(folder),  # where Ray keeps what it resolved of a cluster file
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        try:
            _await(port, server)
            account = Account(folder, folder / "aws.yaml", "", {**os.environ, **own}, "")
            account.group = _stack(account)
            image = account.client("ec2").describe_images()["Images"][0]["ImageId"]
            text = filling.filled(
                "aws", FILL_IN_REGION=REGION, FILL_IN_SECURITY_GROUP=account.group, FILL_IN_MACHINE_IMAGE=image
            )
            account.file.write_text(text, encoding="utf-8")
            up = account.run("midb_ray.operations.launch", str(account.file), "--yes", "--no-config-cache")
            account.said = up.stdout + up.stderr
            assert up.returncode == 0, account.said[-3000:]
            yield account
        finally:
            server.terminate()
            server.wait(30)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)


def _stack(account: Account) -> str:
    """Make what the account needs once, as the file's first step says; returns the security group."""
    network = account.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    formation = account.client("cloudformation")
    formation.create_stack(
        StackName="midb-ray",
        TemplateBody=(filling.FOLDER / "aws" / "account.yaml").read_text(encoding="utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {"VpcId": network, "SshCidr": "203.0.113.7/32", "Bucket": "corpora"}.items()
        ],
    )
    [stack] = formation.describe_stacks(StackName="midb-ray")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["SecurityGroup"]


def test_only_the_head_runs_in_the_group_and_with_the_profile_of_the_file(account: Account) -> None:
    [head] = account.instances()
    assert head["InstanceType"] == "m7i.xlarge"
    assert head["IamInstanceProfile"]["Arn"].endswith(":instance-profile/midb-ray-head")
    assert [group["GroupId"] for group in head["SecurityGroups"]] == [account.group]
    assert head.get("InstanceLifecycle") != "spot"


def test_nobody_in_the_world_can_reach_a_port(account: Account) -> None:
    groups = account.client("ec2").describe_security_groups()["SecurityGroups"]
    assert "ray-autoscaler-midb-ray" not in {group["GroupName"] for group in groups}
    for group in groups:
        for rule in group["IpPermissions"]:
            assert not {"0.0.0.0/0", "::/0"} & {
                named for kind in ("IpRanges", "Ipv6Ranges") for named in map(str, _ranges(rule[kind]))
            }
    [own] = [group for group in groups if group["GroupId"] == account.group]
    ranges = {(rule["IpProtocol"], *_ranges(rule["IpRanges"])) for rule in own["IpPermissions"]}
    assert ranges == {("tcp", "203.0.113.7/32"), ("-1",)}


def _ranges(named: list[dict[str, str]]) -> list[str]:
    return [one.get("CidrIp") or one["CidrIpv6"] for one in named]


def test_roles_have_the_least_rights(account: Account) -> None:
    iam = account.client("iam")
    roles = {role["RoleName"]: role["Arn"] for role in iam.list_roles()["Roles"]}
    assert set(roles) == {"midb-ray-head", "midb-ray-worker"}  # Ray's own, with full access to EC2 and S3, was not made
    allowed: dict[str, dict[str, Any]] = {}
    for role in roles:
        allowed[role] = {}
        for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"][
                "Document"
            ]
            for statement in document["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                allowed[role].update(dict.fromkeys(actions, statement["Resource"]))
    assert not [action for actions in allowed.values() for action in actions if "*" in action]
    assert {action.split(":")[0] for action in allowed["midb-ray-worker"]} == {"s3", "ecr"}
    assert allowed["midb-ray-head"]["iam:PassRole"] == roles["midb-ray-worker"]
    everywhere = {action for action, resource in allowed["midb-ray-head"].items() if resource == "*"}
    assert everywhere == {"ecr:GetAuthorizationToken", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes"}


def test_the_token_reaches_the_node_as_a_file_and_never_as_words(account: Account) -> None:
    token = (account.folder / "home" / ".ray" / "auth_token").read_text(encoding="utf-8")
    assert len(token) >= 32  # made by the launcher: the home was empty
    assert token not in account.told() + account.said + account.file.read_text(encoding="utf-8") + json.dumps(
        account.bootstrap()
    )
    assert re.search(r"rsync .*home/\.ray/auth_token ubuntu@", account.told())
    [started] = [line for line in account.told().splitlines() if "docker run" in line]
    assert "--env=RAY_AUTH_MODE=token" in started
    assert "/.ray/auth_token:/home/ray/.ray/auth_token" in started
    [ray] = [line for line in account.told().splitlines() if "ray start --head" in line]
    assert "RAY_USAGE_STATS_ENABLED=1" not in account.told()
    assert "--dashboard-host=127.0.0.1" in ray


def test_workers_are_asked_for_as_the_file_says(account: Account) -> None:
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.tags import NODE_KIND_WORKER, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

    cluster = account.bootstrap()
    provider = _get_node_provider(cluster["provider"], cluster["cluster_name"])
    kinds = [kind for kind in cluster["available_node_types"] if kind != "head"]
    for kind in kinds:
        tags = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: kind}
        provider.create_node(cluster["available_node_types"][kind]["node_config"], tags, 1)
    made = {
        tag["Value"]: instance
        for instance in account.instances()
        for tag in instance["Tags"]
        if tag["Key"] == TAG_RAY_USER_NODE_TYPE and tag["Value"] != "head"
    }
    assert {kind: instance["InstanceType"] for kind, instance in made.items()} == {
        "boost": "g6e.2xlarge",
        "train": "p4de.24xlarge",
        "cpu": "m7i.4xlarge",
    }
    assert {kind for kind, instance in made.items() if instance.get("InstanceLifecycle") == "spot"} == {"boost"}
    assert all(instance["IamInstanceProfile"]["Arn"].endswith("/midb-ray-worker") for instance in made.values())
    assert all(
        [group["GroupId"] for group in instance["SecurityGroups"]] == [account.group] for instance in made.values()
    )
    volumes = account.client("ec2").describe_volumes()["Volumes"]
    assert len(volumes) == 4
    assert all(volume["Encrypted"] for volume in volumes)
    disks = [disk["Ebs"] for instance in account.instances() for disk in instance["BlockDeviceMappings"]]
    assert [disk["DeleteOnTermination"] for disk in disks] == [True] * 4


@pytest.mark.parametrize("demand", [{"GPU": 1, "CPU": 1}, {"GPU": 8, "CPU": 32}, {"CPU": 1}])
def test_no_demand_makes_more_machines_than_the_file_allows(account: Account, demand: dict[str, float]) -> None:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    config = AutoscalingConfig(account.bootstrap())
    limits = {kind: node["max_workers"] for kind, node in account.bootstrap()["available_node_types"].items()}
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(demand)] * 2000),
        )
    )
    launched = {request.instance_type: request.count for request in reply.to_launch}
    assert sum(launched.values()) >= 1
    assert all(count <= max(limits[kind], kind == "head") for kind, count in launched.items())
    assert sum(launched.values()) <= account.bootstrap()["max_workers"] + 1


def test_down_leaves_nothing_that_costs(account: Account) -> None:
    before = len(account.instances())
    down = account.run("ray.scripts.scripts", "down", str(account.file), "--yes")
    assert down.returncode == 0, (down.stdout + down.stderr)[-3000:]
    assert len(account.instances("terminated")) == before >= 1
    assert not [state for state in ("pending", "running", "stopping", "stopped") if account.instances(state)]
    assert not account.client("ec2").describe_volumes()["Volumes"]
