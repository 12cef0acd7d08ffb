"""What the tests of the Kubernetes manifests share: the files, what is to be filled in, and the pods that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[2] / "cluster" / "kuberay"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))
Path_ = tuple[str | int, ...]


class Pod(NamedTuple):
    """A pod template, and the containers that KubeRay puts into it without their standing there."""

    name: str
    template: Any
    start: dict[str, str] | None  # rayStartParams; None where no Ray node starts
    containers: list[Any]


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice, as `kubectl` does and PyYAML alone does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        if len(keys) > len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"a key stands twice among {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(name: str) -> list[Any]:
    """The documents of a file as they stand there, blanks and all."""
    return list(yaml.load_all((FOLDER / name).read_text(), _Strict))


def header(name: str) -> str:
    """The comment at the top of a file."""
    lines = (FOLDER / name).read_text().splitlines()
    return "\n".join(lines[: next(at for at, line in enumerate(lines) if not line.startswith("#"))])


def blanks(node: Any, at: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Where something is to be filled in, and what its name is: `{FILL_IN_NAME: example}`."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if name := _blank(value):
            yield (*at, key), name
        else:
            yield from blanks(value, (*at, key))


def filled(node: Any, but: Path_ | None = None, at: Path_ = ()) -> Any:
    """The node with the examples in place of the blanks, except of the one at the path `but`."""
    if _blank(node) and at != but:
        return next(iter(node.values()))
    if isinstance(node, dict):
        return {key: filled(value, but, (*at, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(value, but, (*at, key)) for key, value in enumerate(node)]
    return node


def _blank(node: Any) -> str | None:
    if isinstance(node, dict) and len(node) == 1 and str(next(iter(node))).startswith("FILL_IN_"):
        return str(next(iter(node)))
    return None


def clusters() -> list[tuple[str, Any]]:
    """Of every file that has one: its name and the specification of its Ray cluster, filled in."""
    found = []
    for name in FILES:
        for document in filled(documents(name)):
            if document["kind"] in ("RayCluster", "RayJob"):
                found.append((name, document["spec"].get("rayClusterSpec", document["spec"])))
    return found


def jobs() -> list[tuple[str, Any]]:
    """Of every file that has one: its name and the specification of its job, filled in."""
    every = [(name, document) for name in FILES for document in filled(documents(name))]
    return [(name, document["spec"]) for name, document in every if document["kind"] == "RayJob"]


def pods() -> list[Pod]:
    """Every pod of every file: heads with the autoscaler that is put beside them, workers, submitters."""
    found = []
    for name, cluster in clusters():
        head = cluster["headGroupSpec"]
        inside = head["template"]["spec"]["containers"]
        found.append(
            Pod(f"{name} head", head["template"], head["rayStartParams"], [*inside, cluster["autoscalerOptions"]])
        )
        for group in cluster["workerGroupSpecs"]:
            inside = group["template"]["spec"]["containers"]
            found.append(Pod(f"{name} {group['groupName']}", group["template"], group["rayStartParams"], inside))
    for name, job in jobs():
        template = job["submitterPodTemplate"]
        found.append(Pod(f"{name} submitter", template, None, template["spec"]["containers"]))
    return found


def amount(text: str | int) -> int:
    """A Kubernetes amount of bytes (`16Gi`) or things (`4`) as a number."""
    digits = str(text).removesuffix("Gi")
    return int(digits) << 30 if digits != str(text) else int(digits)
