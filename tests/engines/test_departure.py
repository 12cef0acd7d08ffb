"""When the process of an engine leaves a node that is about to be taken away. No process ends here: what would end it is told."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from midb_ray.engines import departure, vital_signs
from midb_ray.runs import attempts

WAIT = 30.0  # seconds, for what should come at once


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Actor:
    """The parts of an actor that a departure sees, and how it ended."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.ends_at: float | None = None
        self.asked, self.left = threading.Event(), threading.Event()
        self.at_engine: dict[int, tuple[attempts.Attempt, attempts.Range]] = {}
        self.signs = SimpleNamespace(leaves=lambda: None)
        self.departure = departure.Departure(self.at_engine, self.signs, self._ask)

    def _ask(self) -> float | None:
        self.asked.set()
        return self.ends_at

    def begins(self, shard: int) -> None:
        attempt = attempts.Attempt(self.run, shard)
        attempt.begin((0, 12))
        self.at_engine[shard] = attempt, (0, 12)

    def suspects(self) -> list[int]:
        return [shard for shard in self.at_engine if attempts.Attempt(self.run, shard).suspect]

    def hears(self, ends_at: float) -> None:
        self.ends_at = ends_at
        wait_until(lambda: self.departure.begun)


@pytest.fixture
def actor(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    monkeypatch.setattr(departure, "_ASK", 0.05)
    monkeypatch.setattr(departure, "_LOOK", 0.005)
    monkeypatch.setattr(vital_signs, "actor_id", lambda: "an actor")
    made: list[Actor] = []

    def leave(status: int) -> None:
        assert status == 75
        made[0].left.set()

    monkeypatch.setattr(os, "_exit", leave)
    made.append(Actor(str(tmp_path)))
    yield made[0]
    made[0].departure.cancel()


def test_it_leaves_once_nothing_is_inside(actor: Actor) -> None:
    with actor.departure.held_up():
        actor.hears(math.inf)
        assert not actor.left.wait(0.3)
    assert actor.left.wait(WAIT)


def test_an_engine_whose_node_stays_stays(actor: Actor) -> None:
    assert actor.asked.wait(WAIT)
    assert not actor.left.wait(0.3)


def test_shortly_before_the_deadline_it_leaves_with_what_is_inside(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with actor.departure.held_up():
        actor.hears(time.time() + 600)
        assert not actor.left.wait(0.3)
        monkeypatch.setattr(departure, "_MARGIN", 600.0)
        assert actor.left.wait(WAIT)


def test_a_time_that_is_set_later_counts(actor: Actor) -> None:
    with actor.departure.held_up():
        actor.hears(math.inf)
        actor.ends_at = time.time()
        assert actor.left.wait(WAIT)


def test_from_the_notice_on_no_row_that_is_inside_is_held_responsible(actor: Actor) -> None:
    actor.begins(1)
    assert actor.suspects() == [1]
    with actor.departure.held_up():
        actor.hears(math.inf)
        wait_until(lambda: actor.suspects() == [])
        actor.begins(2)  # it was just being written down when the notice came
        actor.ends_at = time.time()
        assert actor.left.wait(WAIT)
    assert actor.suspects() == []


def test_earlier_deaths_of_a_shard_stay_known(actor: Actor) -> None:
    attempts.Attempt(actor.run, 1).begin((0, 12))
    actor.begins(1)
    actor.hears(math.inf)
    assert actor.left.wait(WAIT)
    assert attempts.Attempt(actor.run, 1).deaths == [(0, 12)]


def test_an_actor_that_is_given_up_does_not_end_its_process(actor: Actor) -> None:
    assert actor.asked.wait(WAIT)
    actor.departure.cancel()
    actor.ends_at = 0.0
    assert not actor.left.wait(0.3)
