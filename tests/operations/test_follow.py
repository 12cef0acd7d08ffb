"""What became of a job, by its record and over wires that break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from midb_ray.operations import access
from midb_ray.operations import follow as following


@pytest.mark.parametrize(
    ("record", "code", "lost"),
    [
        (("SUCCEEDED", 0, None, ""), 0, False),
        (("FAILED", 1, None, "1 row"), 1, False),
        (("FAILED", 2, None, "Error"), 2, False),
        (("FAILED", 3, None, "again"), 3, True),
        (("FAILED", 4, None, "cap"), 4, False),
        (("FAILED", -9, None, "Killed"), 3, True),
        (("FAILED", 137, None, "Killed"), 3, True),
        (("FAILED", 255, None, "exit(-1)"), 255, False),
        (("FAILED", 127, None, "sh: 1: exec: python: not found"), 2, False),
        (("FAILED", 1, None, "python: Error while finding module …: No module named 'midb_ray'"), 2, False),
        (("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", "the node died"), 3, True),
        (("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", "no such package"), 2, False),
        (("STOPPED", None, None, ""), 3, False),
    ],
)
def test_the_exit_code_is_the_jobs_own_and_a_lost_job_is_told_from_one_that_failed(record, code, lost) -> None:
    found = following.ending(*record)
    assert (found.code, found.lost) == (code, lost)


class Wires:
    """A cluster whose connections break where each of `pieces` ends, but for the last; the job ends before that one."""

    def __init__(self, pieces: list[list[str]], unknown: bool = False) -> None:
        self.pieces, self.unknown = pieces, unknown

    async def tail(self, _: str) -> AsyncIterator[str]:
        for piece in self.pieces[0]:
            yield piece
        if len(self.pieces) > 1:
            self.pieces.pop(0)
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def info(self, _: str) -> SimpleNamespace:
        if self.unknown:
            raise access.UnknownJobError
        status = SimpleNamespace(value="FAILED", is_terminal=lambda: len(self.pieces) == 1)
        return SimpleNamespace(status=status, driver_exit_code=4, error_type=None, message="cap")


def test_over_connections_that_break_a_log_is_written_once(monkeypatch) -> None:
    monkeypatch.setattr(following, "_PAUSE", 0)
    wires = Wires([["one\n", "tw"], ["one"], ["one\ntwo\nth", "ree\n"]])
    written: list[str] = []
    assert following.follow(wires, "job", written.append, 60).code == 4
    assert "".join(written) == "one\ntwo\nthree\n"


def test_a_head_that_begins_anew_has_lost_the_job() -> None:
    found = following.follow(Wires([["one\n"]], unknown=True), "job", lambda _: None, 60)
    assert (found.code, found.lost, found.with_head) == (3, True, True)
