"""What every Kubernetes manifest must hold: nobody privileged, no way in, no secret, nothing that costs without end, and shards
in flight that are not wasted. Whether the fields are KubeRay's own: test_kuberay_crds.py."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.core.generated import autoscaler_pb2
from ray.scripts import scripts

from midb_ray import cli, config
from midb_ray.boosting.settings import BoostSettings
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.quality.settings import ScoreSettings
from midb_ray.runs import cluster as running
from midb_ray.runs import labels
from midb_ray.training.settings import TrainSettings
from tests.cluster import manifests
from tests.cluster.manifests import Pod, amount
from tests.training.grid import settings

PODS = manifests.pods()
RAY_PODS = [pod for pod in PODS if pod.start is not None]
WORKERS = [pod for pod in RAY_PODS if not pod.name.endswith(" head")]
CLUSTERS = manifests.clusters()
JOBS = manifests.jobs()

every_pod = pytest.mark.parametrize("pod", PODS, ids=[pod.name for pod in PODS])
every_ray_pod = pytest.mark.parametrize("pod", RAY_PODS, ids=[pod.name for pod in RAY_PODS])
every_worker = pytest.mark.parametrize("pod", WORKERS, ids=[pod.name for pod in WORKERS])
every_cluster = pytest.mark.parametrize("cluster", [spec for _, spec in CLUSTERS], ids=[name for name, _ in CLUSTERS])
every_job = pytest.mark.parametrize("job", [spec for _, spec in JOBS], ids=[name for name, _ in JOBS])


def everything(node: Any) -> Iterator[tuple[str, Any]]:
    """Each field below a node, with its name."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield str(key), value
        yield from everything(value)


def shared(kind: str) -> list[Any]:
    return [found for found in manifests.documents("namespace.yaml") if found["kind"] == kind]


def test_the_files_are_those_that_the_docs_name() -> None:
    assert manifests.FILES == ["boost.yaml", "cluster.yaml", "namespace.yaml", "score.yaml", "train.yaml"]
    assert [name for name, _ in JOBS] == ["boost.yaml", "score.yaml", "train.yaml"]


@pytest.mark.parametrize("name", manifests.FILES)
def test_the_top_of_a_file_tells_of_every_blank(name: str) -> None:
    standing = {blank for document in manifests.documents(name) for _, blank in manifests.blanks(document)}
    told = set(re.findall(r"FILL_IN_(?!NAME\b)\w+", manifests.header(name)))
    assert standing == told
    assert standing


@every_pod
def test_a_pod_is_nobody_special(pod: Pod) -> None:
    spec = pod.template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod.containers:
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == security
    names = {name for name, _ in everything(spec)}
    assert not names & {"hostNetwork", "hostPID", "hostIPC", "hostPath", "hostPort", "privileged"}


def test_the_namespace_admits_no_privileged_pod() -> None:
    [namespace] = shared("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in manifests.FILES:
        for document in manifests.documents(name):
            if document["kind"] != "Namespace":
                assert document["metadata"]["namespace"] == namespace["metadata"]["name"]


@every_pod
def test_accounts_exist_and_only_the_head_has_a_token(pod: Pod) -> None:
    accounts = {account["metadata"]["name"]: account for account in shared("ServiceAccount")}
    mounts = pod.template["spec"]["automountServiceAccountToken"]
    assert accounts[pod.template["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is mounts
    assert mounts is pod.name.endswith(" head")


def test_no_file_grants_rights_or_holds_a_secret_or_opens_a_port() -> None:
    kinds = {document["kind"] for name in manifests.FILES for document in manifests.documents(name)}
    assert kinds == {"Namespace", "ServiceAccount", "NetworkPolicy", "RayCluster", "RayJob"}
    for _, cluster in CLUSTERS:
        assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert not {"enableIngress", "headService", "ports"} & {name for name, _ in everything(cluster)}


def test_nobody_from_outside_gets_in_but_the_operator_to_the_dashboard() -> None:
    [policy] = shared("NetworkPolicy")
    spec = manifests.filled(policy)["spec"]
    assert (spec["podSelector"], spec["policyTypes"]) == ({}, ["Ingress"])
    inside, operator = spec["ingress"]
    [peer] = inside["from"]
    assert list(peer) == ["podSelector"]
    for pod in PODS:
        assert peer["podSelector"]["matchLabels"].items() <= pod.template["metadata"]["labels"].items()
    [peer] = operator["from"]
    assert all(peer[selector]["matchLabels"] for selector in ("namespaceSelector", "podSelector"))
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]


@every_ray_pod
def test_secrets_are_named_and_must_exist(pod: Pod) -> None:
    environment = pod.containers[0]["env"]
    for variable in environment:
        if re.search("KEY|TOKEN|SECRET|PASSWORD", variable["name"]):
            assert variable["valueFrom"]["secretKeyRef"] == {"name": "midb-ray-storage", "key": variable["name"]}
    assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in environment
    assert not any(name == "optional" for name, _ in everything(pod.template))


@every_pod
def test_requests_are_limits(pod: Pod) -> None:
    for container in pod.containers:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


@every_ray_pod
def test_the_object_store_fits_its_memory_and_spills_to_a_bounded_folder(pod: Pod) -> None:
    assert pod.start is not None
    limits = pod.containers[0]["resources"]["limits"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod.containers[0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod.template["spec"]["volumes"]}
    memory = volumes[mounts["/dev/shm"]]["emptyDir"]
    assert memory["medium"] == "Memory"
    assert int(pod.start["object-store-memory"]) < amount(memory["sizeLimit"]) <= amount(limits["memory"]) / 2
    spill = volumes[mounts[pod.start["object-spilling-directory"]]]["emptyDir"]
    assert amount(spill["sizeLimit"]) < amount(limits["ephemeral-storage"])


@every_ray_pod
def test_ray_knows_what_it_is_started_with(pod: Pod) -> None:
    assert pod.start is not None
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    assert {f"--{name}" for name in pod.start} <= known
    assert pod.start.get("num-cpus") == ("0" if pod.name.endswith(" head") else None)  # no task on a head


@every_cluster
def test_a_cluster_is_of_this_ray_asks_for_a_token_and_grows_from_nothing(cluster: Any) -> None:
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] > PoolSettings().start_timeout
    for group in cluster["workerGroupSpecs"]:
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
        assert 1 <= group["maxReplicas"] <= 8
        assert group.get("idleTimeoutSeconds", math.inf) > PoolSettings().start_timeout


@every_worker
def test_workers_with_gpus_and_only_they_go_to_machines_with_gpus(pod: Pod) -> None:
    spec = pod.template["spec"]
    gpus = "nvidia.com/gpu" in pod.containers[0]["resources"]["limits"]
    assert gpus == ("nvidia.com/gpu" in [toleration["key"] for toleration in spec.get("tolerations", ())])
    assert gpus == ("nvidia.com/gpu.product" in spec.get("nodeSelector", {}))


@every_cluster
def test_engines_and_training_workers_find_the_groups_that_are_meant_for_them(cluster: Any) -> None:
    for group in cluster["workerGroupSpecs"]:
        gpus = "nvidia.com/gpu" in group["template"]["spec"]["containers"][0]["resources"]["limits"]
        work = group["labels"][labels.WORK]
        assert labels.allow(PoolSettings(gpus_per_replica=int(gpus)).nodes, group["labels"]) == (work != "train")
        assert labels.allow(settings(gpus_per_worker=1).nodes, group["labels"]) == (work == "train")


@every_job
def test_a_job_leaves_nothing_behind_and_ends(job: Any) -> None:
    assert job["shutdownAfterJobFinishes"] is True
    assert 0 < job["ttlSecondsAfterFinished"] <= 600
    assert job["backoffLimit"] >= 1
    assert 0 < job["activeDeadlineSeconds"] <= 7 * 86400
    assert job["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", [name for name, _ in JOBS])
def test_a_file_says_how_long_a_job_may_cost_in_all_its_tries(name: str) -> None:
    """KubeRay counts the deadline of each try anew."""
    job = dict(JOBS)[name]
    [days] = re.findall(r"(\d+) days at most in all tries", (manifests.FOLDER / name).read_text())
    assert int(days) * 86400 == (job["backoffLimit"] + 1) * job["activeDeadlineSeconds"]


@every_cluster
def test_the_tasks_of_planning_fit_the_cpu_workers(cluster: Any) -> None:
    for group in cluster["workerGroupSpecs"]:
        if group["labels"][labels.WORK] == "cpu":
            limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
            assert group["maxReplicas"] * amount(limits["cpu"]) >= running._WAITING * running._SHARE


@every_job
def test_the_entrypoint_is_one_that_the_job_understands(job: Any) -> None:
    program, name, *arguments = shlex.split(job["entrypoint"])
    assert (program, callable(getattr(cli, name))) == ("midb-ray", True)
    kinds = {"boost": BoostSettings, "score": ScoreSettings, "train": TrainSettings}
    given, _ = config.load(kinds[name], f"midb-ray {name}", arguments)
    group = job["rayClusterSpec"]["workerGroupSpecs"][0]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    most = group["maxReplicas"] * amount(limits.get("nvidia.com/gpu", 1))
    assert (given.workers if isinstance(given, TrainSettings) else given.pool.replicas)[-1] == most


@every_worker
def test_a_worker_drains_its_node_before_it_goes(pod: Pod, tmp_path: Path) -> None:
    environment = {variable["name"]: variable.get("value") for variable in pod.containers[0]["env"]}
    seconds = int(environment["DRAIN_SECONDS"])
    assert 300 <= seconds < pod.template["spec"]["terminationGracePeriodSeconds"]

    for name, does in {
        "python": "echo 1a2b",
        "ray": 'printf "%s\\n" "$@" >"$ASKED"; exit $ANSWER',
        "sleep": "exit 0",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / name).chmod(0o755)
    asked = tmp_path / "asked"
    outside = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(asked), "ANSWER": "0"}
    inside = {"FQ_RAY_IP": "head", "RAY_PORT": "6379", "HOSTNAME": "a-worker", "DRAIN_SECONDS": "0"}
    command = pod.containers[0]["lifecycle"]["preStop"]["exec"]["command"]
    subprocess.run(command, env=outside | inside, check=True, timeout=60)

    verb, *given = asked.read_text().splitlines()
    assert verb == scripts.drain_node.name
    parsed = scripts.drain_node.make_context(verb, given).params  # as Ray itself reads it
    assert (parsed["address"], parsed["node_id"], parsed["deadline_remaining_seconds"]) == ("head:6379", "1a2b", 0)
    assert parsed["reason"] == autoscaler_pb2.DrainNodeReason.Name(autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION)

    refused = outside | inside | {"ANSWER": "1", "DRAIN_SECONDS": "3600"}  # no head, nothing to wait for
    assert subprocess.run(command, env=refused, timeout=60).returncode == 0
