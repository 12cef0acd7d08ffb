"""`ray up` on cluster/aws.yaml against an EC2 and IAM server on this machine: what is really asked of a cloud.

Real are the launcher, `ray up`, `ray down`, Ray's provider and scheduler, and every request to the cloud. The machine itself
is played (tests/cluster/aws_account.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.aws_account import Account, opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    yield from opened(tmp_path_factory.mktemp("aws"))


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
