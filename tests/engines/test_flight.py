"""What travels with a shard comes out as it went in."""

from __future__ import annotations

import pyarrow as pa

from midb_ray.engines.base import Comparison, Continuation, Request
from midb_ray.engines.flight import FINISHED_SCHEMA, pack, rows, unpack
from midb_ray.pairs import DeadLetter, Pair, table_to_pairs, turn_row

PAIRS = [Pair(f"f:{n}", None, None, "de", f"Frage {n}", "", "Antwort") for n in range(2)]
REQUESTS = [Request(None, [1, 2], 9, sample) for sample in range(3)]
FINISHED = pa.Table.from_pylist(
    [
        {
            **dict.fromkeys(("row", "language", "instruction", "input", "response"), "x"),
            **dict.fromkeys(("raw_instruction", "raw_input", "raw_response"), "x"),
            "decision": "skipped",
            "reasons": [],
            "repairs": ["a"],
            "extra": "{}",
            "place": 1,
        }
    ],
    schema=FINISHED_SCHEMA,
)


def test_samples_and_finished_rows_travel_along() -> None:
    letter = DeadLetter("f:9", "f", 9, 0, "invalid_json", "no", b"{")
    packed = pack(4, PAIRS, [letter], [*REQUESTS, None, None, None], FINISHED)
    flight = unpack(packed)
    assert flight.requests == [*REQUESTS, None, None, None]
    assert flight.finished.equals(FINISHED)
    assert table_to_pairs(flight.pairs) == PAIRS
    assert rows(packed) == 4


def test_a_shard_may_be_finished_altogether() -> None:
    packed = pack(0, [], [], [], FINISHED)
    assert rows(packed) == unpack(packed).finished.num_rows == 1
    assert unpack(pack(0, PAIRS, [], [None, None])).finished.equals(FINISHED_SCHEMA.empty_table())


def test_turns_of_a_conversation_are_one_row_of_the_input() -> None:
    turns = [PAIRS[0]._replace(row=turn_row("f:7", turn), source_row="f:7", turn=turn) for turn in (2, 3)]
    first = FINISHED.set_column(0, "row", pa.array(["f:7#1"], FINISHED_SCHEMA.field("row").type))
    assert rows(pack(0, [*turns, PAIRS[1]], [], [None] * 3, first.cast(FINISHED_SCHEMA))) == 2


def test_texts_to_measure_travel_beside_the_requests() -> None:
    texts = [Continuation([1], [2, 3]), None, Continuation([4, 5], [6]), None]
    flight = unpack(pack(2, PAIRS, [], [None, REQUESTS[0]], continuations=texts))
    assert flight.continuations == texts
    assert flight.requests == [None, REQUESTS[0]]
    assert list(flight.likelihoods) == []
    assert unpack(pack(2, PAIRS, [], [None, None])).continuations == []


def test_texts_to_compare_travel_beside_the_requests() -> None:
    both = [Comparison("one", "Ωther"), None, Comparison("", "b"), None]
    flight = unpack(pack(2, PAIRS, [], [None, REQUESTS[0]], comparisons=both))
    assert flight.comparisons == both
    assert (list(flight.similarities), flight.sent) == ([], 3)
    assert unpack(pack(2, PAIRS, [], [None, None])).comparisons == []
