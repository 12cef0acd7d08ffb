"""Arrow values as Python values, whatever is in them: bad strings, times out of range, fields of equal names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from midb_ray.formats import json_rows


def plain(table: pa.Table) -> list[dict[str, Any] | bytes]:
    """The rows of a table as Python values, whatever is in them; as JSON where a key stands twice with different values, for
    readers of JSON know what to do with it."""
    if len(set(table.column_names)) == table.num_columns:
        try:
            return list(table.to_pylist())
        except (ValueError, OverflowError):
            pass
    columns = []
    for column, field in zip(table.columns, table.schema, strict=True):
        apart = _apart(field.type)
        if apart != field.type:
            column = pa.chunked_array([chunk.view(apart) for chunk in column.chunks], apart)
        try:
            values = column.to_pylist()
        except (ValueError, OverflowError):
            values = column.cast(_safe(apart)).to_pylist()
        columns.append([_restored(value, field.type) for value in values])
    found = (_object(table.column_names, values) for values in zip(*columns, strict=True))
    return [json_rows.to_bytes(row) if _has_twins(row) else row for row in found]


class _Twin(str):
    """A key that stands beside another of the same name: no key but itself equals it, so a dict holds both."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _object(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """An object from its keys and values. A key may stand twice: once in the object if its values are equal, else as twins."""
    found = dict(zip(names, values, strict=True))
    if len(found) < len(names) and any(repr(found[key]) != repr(one) for key, one in zip(names, values, strict=True)):
        return {_Twin(key): one for key, one in zip(names, values, strict=True)}
    return found


def _has_twins(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(key, _Twin) for key in value) or any(map(_has_twins, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_twins, value))


def _keys(type: pa.StructType) -> list[str]:
    """Names for the fields of a struct that are all different."""
    names = [field.name for field in type]
    return names if len(set(names)) == len(names) else list(map(str, range(len(names))))


def _apart(type: pa.DataType) -> pa.DataType:
    """The same type with structs in which all names differ: others have no Python value."""
    if pa.types.is_struct(type):
        return pa.struct(
            [field.with_name(key).with_type(_apart(field.type)) for key, field in zip(_keys(type), type, strict=True)]
        )
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(_apart(type.value_type)))
    if pa.types.is_large_list(type):
        return pa.large_list(type.value_field.with_type(_apart(type.value_type)))
    if pa.types.is_map(type):
        return pa.map_(_apart(type.key_type), _apart(type.item_type))
    return type


def _safe(type: pa.DataType) -> pa.DataType:
    """A type that holds the same values and that Python can always express."""
    if isinstance(type, pa.BaseExtensionType):
        return _safe(type.storage_type)
    if pa.types.is_dictionary(type):
        return _safe(type.value_type)
    if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return pa.large_binary()
    if pa.types.is_temporal(type):
        return pa.int32() if type.bit_width == 32 else pa.int64()
    if pa.types.is_struct(type):
        return pa.struct([pa.field(field.name, _safe(field.type)) for field in type])
    if pa.types.is_map(type):
        return pa.map_(_safe(type.key_type), _safe(type.item_type))
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return pa.large_list(_safe(type.value_type))
    return type


def _restored(value: Any, type: pa.DataType) -> Any:
    """A value of `_apart(type)` or of its `_safe` type with its strings as strings and the names that its fields had."""
    if value is None:
        return None
    if isinstance(type, pa.BaseExtensionType):
        return _restored(value, type.storage_type)
    if pa.types.is_dictionary(type):
        return _restored(value, type.value_type)
    if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    if pa.types.is_struct(type):
        values = [_restored(value[key], field.type) for key, field in zip(_keys(type), type, strict=True)]
        return _object([field.name for field in type], values)
    if pa.types.is_map(type):
        return [(_restored(key, type.key_type), _restored(item, type.item_type)) for key, item in value]
    if pa.types.is_nested(type):
        return [_restored(item, type.value_type) for item in value]
    return value
