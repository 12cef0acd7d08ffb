"""metrics.jsonl: whole lines while a run goes on, on disks and object stores; what is done again is told again."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

from midb_ray.runs import storage, timeline
from midb_ray.runs.timeline import Timeline


def steps(run: str | Path) -> list[int]:
    content = storage.read_bytes(storage.join(str(run), timeline.FILE)).decode()
    assert not content or content.endswith("\n")
    return [json.loads(line)["step"] for line in content.splitlines()]


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`pass_time(seconds)`: by the timeline's clock."""
    now = [1000.0]
    monkeypatch.setattr(timeline, "time", types.SimpleNamespace(monotonic=lambda: now[0], time=lambda: 5.0))

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_every_line_is_on_disk_at_once(tmp_path: Path, pass_time: Any) -> None:
    lines = Timeline(str(tmp_path))
    for step in range(3):
        lines.add({"step": step, "name": "größer"})
        assert steps(tmp_path) == list(range(step + 1))
    written = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert written[0] == '{"time": 5.0, "step": 0, "name": "größer"}'


def test_lines_of_an_earlier_process_stay(tmp_path: Path) -> None:
    Timeline(str(tmp_path)).add({"step": 1})
    Timeline(str(tmp_path)).add({"step": 2})
    assert steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("kind", ["disk", "store"])
def test_what_is_done_again_is_dropped(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    run = str(tmp_path) if kind == "disk" else f"{request.getfixturevalue('s3')}/run"
    before = Timeline(run)
    for step in (1, 2, 2, 3, 4):
        before.add({"step": step})
    before.flush()
    after = Timeline(run)
    after.rewind(2)
    assert steps(run) == [1, 2, 2]
    after.add({"step": 3})
    after.flush()
    assert steps(run) == [1, 2, 2, 3]


def test_the_line_that_a_killed_process_did_not_finish_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n[2]\n{"loss": 3}\n{"step": "x"}\n\xff\xfe\n{"step": 2, "lo')
    lines = Timeline(str(tmp_path))
    lines.rewind(9)
    assert steps(tmp_path) == [1]
    lines.add({"step": 2})
    assert steps(tmp_path) == [1, 2]


def test_a_run_without_lines_begins_with_an_empty_file(tmp_path: Path) -> None:
    Timeline(str(tmp_path / "run")).rewind(0)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == b""


def test_an_object_is_written_from_time_to_time_and_at_the_end(s3: str, pass_time: Any) -> None:
    run = f"{s3}/run"
    lines = Timeline(run)
    lines.rewind(0)
    for step in (1, 2, 3):
        lines.add({"step": step})
    assert steps(run) == [1]
    pass_time(29)
    lines.add({"step": 4})
    assert steps(run) == [1]
    pass_time(2)
    lines.add({"step": 5})
    assert steps(run) == [1, 2, 3, 4, 5]
    lines.add({"step": 6})
    assert steps(run) == [1, 2, 3, 4, 5]
    lines.flush()
    assert steps(run) == [1, 2, 3, 4, 5, 6]


def test_flush_without_news_writes_nothing(s3: str, wire: Any) -> None:
    lines = Timeline(f"{s3}/run")
    lines.add({"step": 1})
    before = wire.connections
    wire.cut()
    lines.flush()
    assert wire.connections == before


def test_lines_wait_until_a_store_that_was_gone_is_back(s3: str, wire: Any) -> None:
    run = f"{s3}/run"
    lines = Timeline(run)
    wire.cut()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the store's affair
        lines.add({"step": 1})
    wire.mend()
    lines.add({"step": 2})
    assert steps(run) == [1, 2]
