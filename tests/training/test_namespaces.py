"""Training over nodes with addresses of their own, whose cables are pulled for real while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .namespaces import Nodes
from .test_interruptions import Job, assert_as_if_nothing_had_happened

pytestmark = pytest.mark.slow

SLOW = 400.0  # seconds; three nodes and a job start here on whatever machine this is


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A head node without room for a training worker, and two nodes with room for one each."""
    with Nodes(2, 3, 3) as made:
        yield made


@pytest.fixture
def job(tmp_path: Path, nodes: Nodes) -> Iterator[Job]:
    """A train job that was started at the head node."""
    made = Job(tmp_path)
    try:
        made.start(1, 2, more=["--cpus-per-worker", "3"], address=nodes.address, pause=0.2, within=nodes.within(0))
        yield made
    finally:
        made.close()


def places(job: Job, workers: int) -> dict[object, object]:
    """Where each rank ran while there were so many workers."""
    found = {(line["rank"], line["address"]) for line in job.lines() if line["workers"] == workers}
    assert len(found) == workers, "a rank ran in two places"
    return dict(found)


def test_training_over_two_nodes_goes_on_with_one_when_the_other_is_cut_off(
    nodes: Nodes, job: Job, tmp_path: Path
) -> None:
    job.reaches(12, workers=2, seconds=SLOW)
    together = places(job, workers=2)
    assert set(together.values()) == set(nodes.addresses[1:])
    nodes.cut(
        nodes.addresses.index(str(together[0]))
    )  # the first rank: it holds the meeting point, the metrics, the export
    assert job.wait(SLOW) == 0
    assert places(job, workers=1) == {0: together[1]}
    alone = [int(str(line["step"])) for line in job.lines() if line["workers"] == 1]
    assert min(alone) in (5, 10), "it did not go on from a checkpoint of before the cut"
    assert_as_if_nothing_had_happened(job, tmp_path / "undisturbed")


def test_a_cable_that_is_soon_plugged_in_again_costs_nothing(nodes: Nodes, job: Job, tmp_path: Path) -> None:
    job.reaches(12, workers=2, seconds=SLOW)
    cut_off = nodes.addresses.index(str(places(job, workers=2)[1]))
    nodes.cut(cut_off)
    before = -1
    while (taken := len(job.lines())) != before:  # until training stands still
        before = taken
        time.sleep(1)
    assert taken < 2 * 45, "the cut stopped nobody"
    nodes.mend(cut_off)
    assert job.wait(SLOW) == 0
    lines = job.lines()
    assert Counter((line["step"], line["rank"]) for line in lines) == {
        (step, rank): 1 for step in range(45) for rank in range(2)
    }
    assert len({line["pid"] for line in lines}) == 2, "workers were started again"
    assert_as_if_nothing_had_happened(job, tmp_path / "undisturbed")
