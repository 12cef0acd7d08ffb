"""Bundles: what comes out is what went in, and how shards are put together."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.engines import bundles
from midb_ray.engines.flight import pack, rows, unpack
from midb_ray.pairs import Pair, table_to_pairs

PAIR = Pair("f:1", None, None, "de", "Frage", "", "Antwort")


def test_a_bundle_is_one_row_and_gives_back_every_shard_as_it_was() -> None:
    shards = [pack(number, [PAIR] * number, [], [None] * number) for number in range(4)]
    bundle = bundles.fold(*shards)
    assert bundle.num_rows == 1
    parcels = bundles.unfold(bundle)
    assert parcels.schema.equals(shards[0].schema)
    for number in range(4):
        parcel = parcels.slice(number, 1)
        assert parcel.equals(shards[number])
        assert rows(parcel) == number
        assert (unpack(parcel).shard, table_to_pairs(unpack(parcel).pairs)) == (number, [PAIR] * number)


def test_a_bundle_survives_arrow_files_and_being_a_slice() -> None:
    both = pa.concat_tables([bundles.fold(pack(1, [PAIR], [], [None])), bundles.fold(pack(2, [], [], []))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, both.schema) as writer:
        writer.write_table(both)
    again = pa.ipc.open_stream(sink.getvalue()).read_all()
    assert [bundles.unfold(again.slice(place, 1)).column("shard").to_pylist() for place in range(2)] == [[1], [2]]


@given(st.lists(st.integers(0, 90)), st.integers(1, 64))
def test_every_shard_is_in_one_bundle_none_is_too_large_and_none_could_take_in_the_next(
    counts: list[int], most: int
) -> None:
    found = list(bundles.cut(counts, most))
    assert [place for first, last in found for place in range(first, last)] == list(range(len(counts)))
    for number, (first, last) in enumerate(found):
        assert last == first + 1 or sum(counts[first:last]) <= most
        if number + 1 < len(found):
            assert sum(counts[first : last + 1]) > most
