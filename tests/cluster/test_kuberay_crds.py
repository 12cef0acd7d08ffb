"""Every Kubernetes manifest against the schemas of KubeRay's CRDs, with the pod schema in them. They need those CRDs:
MIDB_RAY_KUBERAY_CRDS names the folder."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.cluster import crd_schemas, manifests

pytestmark = [pytest.mark.slow, pytest.mark.crds]

RAY_FILES = [name for name, _ in manifests.clusters()]


def document(name: str) -> Any:
    """The one document of a file, as it stands there."""
    [found] = manifests.documents(name)
    return found


def errors(found: Any) -> list[str]:
    return crd_schemas.errors(found, crd_schemas.schema(found["kind"]))


@pytest.mark.parametrize("name", RAY_FILES)
def test_a_manifest_that_is_filled_in_is_valid(name: str) -> None:
    assert not errors(manifests.filled(document(name)))


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name in RAY_FILES for at, _ in manifests.blanks(document(name))]
)
def test_each_blank_that_is_left_open_is_refused_where_it_stands(name: str, at: tuple[str | int, ...]) -> None:
    [error] = errors(manifests.filled(document(name), but=at))
    assert str(at[-1]) in error
    assert "is not of type 'string'" in error


def test_the_network_policy_is_valid_by_the_schema_of_such_rules() -> None:
    cluster = crd_schemas.schema("RayCluster")["properties"]["spec"]["properties"]
    rules = cluster["networkPolicy"]["properties"]["head"]["properties"]["ingressRules"]
    [policy] = [found for found in manifests.documents("namespace.yaml") if found["kind"] == "NetworkPolicy"]
    assert not crd_schemas.errors(manifests.filled(policy)["spec"]["ingress"], rules)
    assert crd_schemas.errors(policy["spec"]["ingress"], rules)


def change(found: Any, path: str, value: Any) -> Any:
    """A copy with another value at a path with dots; None takes the field away."""
    changed = copy.deepcopy(found)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    node = changed
    for step in way:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return changed


HEAD = "spec.rayClusterSpec.headGroupSpec"
WORKER = "spec.rayClusterSpec.workerGroupSpecs.0"
INSIDE = f"{WORKER}.template.spec.containers.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.shutdownAfterJobFinished", True, "'shutdownAfterJobFinished' was unexpected"),
        (f"{WORKER}.maxReplica", 3, "'maxReplica' was unexpected"),
        (f"{WORKER}.template.spec.terminationGracePeriod", 600, "'terminationGracePeriod' was unexpected"),
        (f"{INSIDE}.securityContext.runAsNonroot", True, "'runAsNonroot' was unexpected"),
        (f"{INSIDE}.lifecycle.preStop.exec.commands", ["true"], "'commands' was unexpected"),
        (f"{HEAD}.template.metadata.label", {}, "'label' was unexpected"),
        ("metadata.label", {}, "'label' was unexpected"),
        ("spec.backoffLimit", "2", "is not of type 'integer'"),
        (f"{WORKER}.maxReplicas", 2**31, "greater than the maximum"),
        (f"{WORKER}.rayStartParams.num-cpus", 0, "is not of type 'string'"),
        (f"{INSIDE}.env.0.value", 0, "is not of type 'string'"),
        (f"{INSIDE}.resources.limits.memory", "48 GB", "does not match"),
        (f"{INSIDE}.volumeMounts", {}, "is not of type 'array'"),
        ("spec.rayClusterSpec.authOptions.mode", "on", "is not one of"),
        ("spec.rayClusterSpec.autoscalerOptions.version", "v3", "is not one of"),
        ("spec.rayClusterSpec.headGroupSpec", None, "'headGroupSpec' is a required property"),
        (f"{WORKER}.groupName", None, "'groupName' is a required property"),
        (f"{INSIDE}.name", None, "'name' is a required property"),
        (f"{INSIDE}.env.3.valueFrom.secretKeyRef.key", None, "'key' is a required property"),
        (f"{INSIDE}.env.1.name", "RAY_USAGE_STATS_ENABLED", "stands twice"),
        ("spec.managedBy", "somebody", "only an API server can check"),
        ("metadata.name", "Boost", "does not match"),
    ],
)
def test_a_fault_is_found(path: str, value: Any, message: str) -> None:
    found = manifests.filled(document("boost.yaml"))
    assert any(message in error for error in errors(change(found, path, value)))


@pytest.mark.parametrize("folder", [None, "/nowhere"])
def test_without_the_crds_the_test_fails_in_one_sentence(folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if folder:
        monkeypatch.setenv(crd_schemas.VARIABLE, folder)
    else:
        monkeypatch.delenv(crd_schemas.VARIABLE, raising=False)
    with pytest.raises(pytest.fail.Exception, match=f"^{crd_schemas.VARIABLE} is .*\\.$"):
        crd_schemas.schema.__wrapped__("RayJob")
