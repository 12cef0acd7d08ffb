"""The schemas of the KubeRay CRDs as validators that are as strict as `kubectl apply`: what no schema knows is an error too,
which the API server would else drop in silence."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from jsonschema import Draft202012Validator

VARIABLE = "MIDB_RAY_KUBERAY_CRDS"
_NAME = {
    "type": "string",
    "pattern": "^[a-z]([-a-z0-9]{0,45}[a-z0-9])?$",
}  # what the operator takes at most: 47 characters
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {  # the CRDs leave it to the API server
    "type": "object",
    "required": ["name", "namespace"],
    "properties": {"name": _NAME, "namespace": _NAME, "labels": _TEXTS, "annotations": _TEXTS},
    "additionalProperties": False,
}
_RANGES = {"int32": {"minimum": -(2**31), "maximum": 2**31 - 1}}


def _once(validator: Any, keys: list[str], items: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """`x-kubernetes-list-map-keys`: no two items have the same keys."""
    seen = [tuple(item.get(key) for key in keys) for item in items if isinstance(item, dict)]
    if len(seen) > len(set(seen)):
        yield jsonschema.ValidationError(f"an item with the same {' and '.join(keys)} stands twice in {seen}")


def _rules(validator: Any, rules: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """`x-kubernetes-validations`: rules in CEL, which only an API server can apply. A manifest that needs one is refused here."""
    yield jsonschema.ValidationError(f"there are rules for this that only an API server can check: {rules}")


_Validator = jsonschema.validators.extend(
    Draft202012Validator, {"x-kubernetes-list-map-keys": _once, "x-kubernetes-validations": _rules}
)


def _closed(schema: Any) -> Any:
    """The schema with unknown fields forbidden and numbers in their range."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # what the schema calls `properties` is a table of fields, whatever their names
    closed = {
        key: {name: _closed(field) for name, field in value.items()} if key == "properties" else _closed(value)
        for key, value in schema.items()
    }
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return {**closed, **_RANGES.get(str(schema.get("format")), {})}


@functools.cache
def schema(kind: str) -> Any:
    """The strict schema of `RayCluster` or `RayJob`, version v1. Fails the test where the CRDs cannot be found."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.fail(
            f"{VARIABLE} is not set: set it to the folder with the CRDs of the KubeRay operator.", pytrace=False
        )
    path = Path(folder) / f"ray.io_{kind.lower()}s.yaml"
    if not path.is_file():
        pytest.fail(f"{VARIABLE} is {folder}, where no {path.name} lies; it comes with KubeRay.", pytrace=False)
    crd = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version = next(version for version in crd["spec"]["versions"] if version["name"] == "v1")
    closed = _closed(version["schema"]["openAPIV3Schema"])
    closed["properties"]["metadata"] = _METADATA
    closed["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return closed


def errors(document: Any, of: Any) -> list[str]:
    """What is wrong with a document by a schema: `path: message`."""
    return [f"{error.json_path}: {error.message}" for error in _Validator(of).iter_errors(document)]
