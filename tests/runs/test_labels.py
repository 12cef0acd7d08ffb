"""Label selectors as settings, and which nodes they allow: as Ray has it."""

from __future__ import annotations

import pydantic
import pytest
import ray

from midb_ray.config import Settings
from midb_ray.runs import labels


class Job(Settings):
    label_selector: labels.Selector = None


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("boost", {"boost"}),
        ("!train", {"boost", "cpu", None}),
        ("in(boost, cpu)", {"boost", "cpu"}),
        ("in(boost)", {"boost"}),
        ("!in(boost,train)", {"cpu", None}),
    ],
)
@pytest.mark.usefixtures("ray_cluster")
def test_nodes_are_allowed_as_ray_allows_them(wanted: str, allowed: set[str | None]) -> None:
    works = ["boost", "train", "cpu", None]
    nodes = [{} if work is None else {labels.WORK: work} for work in works]
    selector = {labels.WORK: wanted}
    assert {work for work, node in zip(works, nodes, strict=True) if labels.allow(selector, node)} == allowed
    task = ray.remote(num_cpus=0)(lambda: True).options(label_selector=selector)
    here = labels.allow(selector, ray.get_runtime_context().get_node_labels())
    reference = task.remote()
    assert bool(ray.wait([reference], timeout=30 if here else 2)[0]) == here
    ray.cancel(reference, force=True)


def test_every_label_of_a_selector_has_to_hold() -> None:
    selector = {labels.WORK: "!train", "ray.io/accelerator-type": "H100"}
    assert labels.allow(selector, {"ray.io/accelerator-type": "H100"})
    assert not labels.allow(selector, {"ray.io/accelerator-type": "A100"})
    assert not labels.allow(selector, {"ray.io/accelerator-type": "H100", labels.WORK: "train"})
    assert labels.allow({}, {})


def test_a_selector_is_json_on_the_command_line_and_none_is_the_default() -> None:
    assert Job().label_selector is None
    assert Job.model_validate({"label_selector": '{"a/b": "!in(c,d)"}'}).label_selector == {"a/b": "!in(c,d)"}


@pytest.mark.parametrize(
    "selector", ["boost", '{"a": 1}', {"a b": "c"}, {"a": "!!c"}, {"a": "in()"}, {"a": "not c"}, []]
)
def test_what_ray_would_not_take_is_refused(selector: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        Job.model_validate({"label_selector": selector})
