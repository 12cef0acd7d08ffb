"""Ray as the jobs use it: errors that come back as they were raised, and waits that nobody would understand refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import cluster

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_results_come_in_order_however_many_there_are() -> None:
    assert list(cluster.map_remotely(lambda number: number * 2, range(150))) == list(range(0, 300, 2))


def test_what_the_user_can_mend_comes_back_from_a_task_as_it_was_raised() -> None:
    def refuse(_: int) -> int:
        raise UserError("The file is a picture.")

    with pytest.raises(UserError, match=r"^The file is a picture.$"):
        list(cluster.map_remotely(refuse, [1]))


def test_a_cluster_that_does_not_answer_is_one_sentence() -> None:
    import subprocess
    import sys

    code = "from midb_ray.runs import cluster\nwith cluster.connected('ray://127.0.0.1:1'): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UserError: Cannot reach a Ray cluster at 'ray://127.0.0.1:1'" in done.stderr


@pytest.mark.parametrize("output", ["run", "deep/run"])
def test_a_relative_output_of_a_submitted_job_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match=f"The output {output} is a relative path"):
        cluster.refuse_lost(output)
    cluster.refuse_lost("/data/run")
    cluster.refuse_lost("s3://bucket/run")
    monkeypatch.chdir(tmp_path)
    cluster.refuse_lost(output)
