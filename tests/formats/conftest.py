"""A reader of JSON rows for one format, as the tests use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import load_locales
from midb_ray.pairs import DeadLetter, Pair, Revision

Read = Callable[..., Any]


def record(raw: Any, file: str = "corpora/French.json") -> Record:
    """A record with `raw` as it is if it is bytes or marked as parsed, else as JSON bytes."""
    return Record(f"{file}:7", file, 7, 4096, raw if isinstance(raw, bytes) else json.dumps(raw).encode())


@pytest.fixture
def read() -> Read:
    """Reads one row as a pair that is expected to be one."""

    def call(row: Any, format: str = "alpaca", file: str = "corpora/French.json", **options: Any) -> Pair:
        outcome = Reader(FORMATS[format], load_locales(), **options).pairs(record(row, file))
        assert isinstance(outcome, list), outcome
        (pair,) = outcome
        return pair

    return call


@pytest.fixture
def read_turns() -> Read:
    """Reads one row as the pairs of a conversation."""

    def call(row: Any, format: str = "conversations", file: str = "corpora/French.json", **options: Any) -> list[Pair]:
        outcome = Reader(FORMATS[format], load_locales(), **options).pairs(record(row, file))
        assert isinstance(outcome, list), outcome
        return outcome

    return call


@pytest.fixture
def refused() -> Read:
    """Reads one row that is expected to be a dead letter."""

    def call(row: Any, format: str = "alpaca", file: str = "corpora/French.json", **options: Any) -> DeadLetter:
        outcome = Reader(FORMATS[format], load_locales(), **options).pairs(record(row, file))
        assert isinstance(outcome, DeadLetter), outcome
        return outcome

    return call


@pytest.fixture
def revise() -> Read:
    """Reads one row as a revision or the dead letter that it becomes."""

    def call(row: Any, file: str = "corpora/French.json") -> Revision | DeadLetter:
        return Reader(FORMATS["revisions"], load_locales()).revision(record(row, file))

    return call
