"""Training over nodes with addresses of their own, whose cables are pulled for real while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.namespaces import Nodes

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


def test_a_short_cut_costs_nothing_and_a_long_one_a_worker(nodes: Nodes, job: Job, tmp_path: Path) -> None:
    job.reaches(12, workers=2, seconds=SLOW)
    together = places(job, workers=2)
    assert set(together.values()) == set(nodes.addresses[1:])
    first, second = (nodes.addresses.index(str(together[rank])) for rank in range(2))

    nodes.cut(second)
    before = -1
    while (taken := len(job.lines())) != before:  # until training stands still
        before = taken
        time.sleep(1)
    assert taken < 2 * 20, "the cut stopped nobody"
    nodes.mend(second)
    job.reaches(20, workers=2)
    lines = job.lines()
    assert set(Counter((line["step"], line["rank"]) for line in lines).values()) == {1}, "a step was repeated"
    assert len({line["pid"] for line in lines}) == 2, "workers were started again"

    nodes.cut(first)  # it holds the meeting point, the metrics, the export
    assert job.wait(SLOW) == 0
    assert places(job, workers=1) == {0: together[1]}
    last, alone = (max(job.steps(workers=2)), job.steps(workers=1))
    checkpoint = (last + 1) // 5 * 5  # of the last steps; on its way to the disk when the cable was pulled, perhaps
    assert min(alone) in (checkpoint, checkpoint - 5), "it did not go on from a checkpoint of before the cut"
    assert_as_if_nothing_had_happened(job, tmp_path / "undisturbed")
