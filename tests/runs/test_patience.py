"""What storage refuses is tried again, and what it goes on refusing is told."""

from __future__ import annotations

import pytest

from midb_ray.runs import patience


def failing(times: int, error: Exception):
    calls: list[int] = []

    def action() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return action


def test_what_works_is_done_once() -> None:
    assert patience.persist(failing(0, OSError()), 0, "Writing") == 1


def test_a_refusal_that_ends_is_waited_for_and_told(listen, monkeypatch) -> None:
    monkeypatch.setattr(patience, "_FIRST", 0.001)
    messages = listen(patience)
    assert patience.persist(failing(3, OSError("busy")), 60, "Writing shard 7") == 4
    refused, done = messages
    assert refused.startswith("Writing shard 7: busy; trying again for 60 s")
    assert "done after" in done


def test_a_refusal_that_lasts_is_raised(monkeypatch) -> None:
    monkeypatch.setattr(patience, "_FIRST", 0.001)
    with pytest.raises(OSError, match="full"):
        patience.persist(failing(10**9, OSError("full")), 0.05, "Writing")


@pytest.mark.parametrize("error", [ValueError("bad"), FileNotFoundError("bad"), NotADirectoryError("bad")])
def test_what_no_time_mends_is_not_tried_again(error: Exception) -> None:
    with pytest.raises(type(error), match="bad"):
        patience.persist(failing(1, error), 60, "Writing")
