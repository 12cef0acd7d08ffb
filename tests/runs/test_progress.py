"""How far a run is: figures that anything can read, whatever happens while they are written."""

from __future__ import annotations

import json
import time
import types
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import progress, storage
from midb_ray.runs.figures import EngineFigures, Figures
from midb_ray.runs.progress import Progress


@pytest.fixture(params=["tmp_path", "s3"])
def run(request: pytest.FixtureRequest) -> str:
    """A run folder on each kind of storage."""
    return f"{request.getfixturevalue(request.param)}/run"


def shard(language: str, boosted: int, kept: int) -> Figures:
    figures = Figures(rows_in=boosted + kept + 1, dead_letters=1)
    for number in range(boosted + kept):
        figures.count(language, "boosted" if number < boosted else "kept_original", ())
    return figures


def by(engine: str, tokens: int, up: float, busy: float) -> Figures:
    figures = Figures(rows_in=8, rows_out=8, answer_tokens=2 * tokens, duplicates=3)
    figures.engines[("10.0.0.1", engine)] = EngineFigures(1, 8, tokens, up, busy)
    return figures


def state(run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(storage.read_bytes(f"{run}/progress.json"))
    return found


def test_the_folder_says_how_far_the_run_is(run: str) -> None:
    storage.write_bytes(f"{run}/run.json", b"{}")
    with Progress(run, "boost", 20, Figures(), seconds=60) as watch:
        assert (state(run)["state"], state(run)["share"]) == ("running", 0.0)
        watch.add(shard("de", 3, 1))
        watch.add(shard("fr", 3, 1))
        assert "10 of 20 rows (50.0%)" in watch.line()
        assert "75.0% boosted, 2 dead letters" in watch.line()
    assert (state(run)["state"], state(run)["rows_in"], state(run)["boosted"]) == ("finished", 10, 0.75)
    times = [json.loads(line)["seconds"] for line in storage.read_bytes(f"{run}/metrics.jsonl").splitlines()]
    assert len(times) == 2
    assert times == sorted(times)


def test_a_run_that_goes_on_counts_what_was_done_but_not_for_its_speed(tmp_path: Path) -> None:
    with Progress(str(tmp_path), "boost", 10, shard("de", 4, 0), seconds=60) as watch:
        assert "5 of 10 rows (50.0%), 0.0 pairs/s" in watch.line()
        assert watch.line().endswith("ETA unknown")


def test_it_beats_while_no_shard_comes_in(tmp_path: Path) -> None:
    with Progress(str(tmp_path), "boost", 10, Figures(), seconds=0.05):
        deadline = time.monotonic() + 20
        while len((tmp_path / "metrics.jsonl").read_text().splitlines()) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_full_disk_at_the_end_does_not_hide_what_broke_the_run(tmp_path: Path) -> None:
    def broken() -> None:
        with Progress(str(tmp_path), "boost", 10, Figures(), 60):
            (tmp_path / "progress.json").unlink()
            (tmp_path / "progress.json").mkdir()
            raise ValueError("the real reason")

    with pytest.raises(ValueError, match="the real reason"):
        broken()


def test_the_line_says_how_many_engines_are_at_work_and_how_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0], time=lambda: 5.0))
    with Progress(str(tmp_path), "boost", 100, by("earlier", 10_000, 900, 900), seconds=60) as watch:
        assert "no engine at work yet" in watch.line()
        now[0] += 10
        watch.add(by("one", 300, 8, 8))
        watch.add(by("one", 300, 2, 1))
        watch.add(by("two", 400, 10, 6))
        assert "100 tokens/s, 2 engines 75% busy with 50 tokens/s each" in watch.line()
    assert state(str(tmp_path))["engines"] == 2
    assert state(str(tmp_path))["busy"] == 0.75
    assert state(str(tmp_path))["duplicates"] == 12


def test_progress_says_why_a_run_stopped_whether_or_not_it_is_there(tmp_path: Path) -> None:
    assert not progress.was_stopped(str(tmp_path))
    progress.tell_stopped(str(tmp_path), "why")
    (tmp_path / "progress.json").write_text('{"job": "boost", "state": "finished", "rows": 9}')
    assert not progress.was_stopped(str(tmp_path))
    progress.tell_stopped(str(tmp_path), "why")
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found == {"job": "boost", "state": "stopped", "rows": 9, "reason": "why"}
    assert progress.was_stopped(str(tmp_path))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "it was told to stop"),
        (UserError("The disk is full."), "The disk is full."),
        (ValueError("what\nis this"), "ValueError: what is this"),
    ],
)
def test_a_run_that_breaks_off_says_why(tmp_path: Path, error: BaseException, reason: str) -> None:
    with pytest.raises(type(error)), Progress(str(tmp_path), "boost", 10, Figures(), 60):
        raise error
    found = json.loads((tmp_path / "progress.json").read_text())
    assert (found["state"], found["reason"]) == ("stopped", reason)
