"""Fields of equal names: one where their values agree, JSON with both where they do not."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pyarrow as pa
import pytest

from midb_ray.formats import json_rows
from midb_ray.formats.records import RowError
from midb_ray.runs.values import plain


def twice(*columns: Any, name: str = "a") -> pa.Table:
    return pa.Table.from_arrays(list(map(pa.array, columns)), names=[name] * len(columns))


def test_a_column_that_stands_twice_is_one_where_its_values_agree() -> None:
    day = datetime.date(2024, 2, 29)
    assert plain(twice([day, None], [day, None])) == [{"a": day}, {"a": None}]


@pytest.mark.parametrize(("one", "two"), [("x", "y"), ("x", None), (1, True), ([{"b": 1}], [{"b": 2}])])
def test_a_column_with_two_values_is_read_like_a_json_key_with_two_values(one: Any, two: Any) -> None:
    same, differing = plain(twice(["same", "x"], ["same", "y"]))
    assert same == {"a": "same"}
    (differing,) = plain(twice([one], [two]))
    assert isinstance(differing, bytes)
    assert json.loads(differing, object_pairs_hook=list) == json.loads(
        f'{{"a": {json.dumps(one)}, "a": {json.dumps(two)}}}', object_pairs_hook=list
    )
    with pytest.raises(RowError, match=r"^duplicate_key: the key 'a' stands twice with different values$"):
        json_rows.parse(differing)


def test_no_value_is_lost_beside_numbers_that_json_does_not_know() -> None:
    (row,) = plain(twice([float("nan")], [1.5]))
    assert row == b'{"a":null,"a":1.5}'


def struct(*values: Any) -> pa.Array:
    return pa.StructArray.from_arrays([pa.array(list(column)) for column in zip(*values, strict=True)], ["b", "b"])


def test_fields_inside_a_column_are_treated_alike() -> None:
    values = struct(("x", "x"), ("x", "y"), ("grüß", "grüß"))
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), values)
    mapped = pa.MapArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), pa.array(["k", "k", "k"]), values)
    for column, shown in ((values, {"b": "x"}), (listed, [{"b": "x"}]), (mapped, [("k", {"b": "x"})])):
        first, second, third = plain(pa.table({"a": column, "c": [1, 2, 3]}))
        assert first == {"a": shown, "c": 1}
        assert isinstance(third, dict)
        with pytest.raises(RowError, match=r"^duplicate_key: the key 'b'"):
            json_rows.parse(second)  # type: ignore[arg-type]


def test_a_table_of_no_rows_has_none() -> None:
    assert plain(twice([], [])) == []
