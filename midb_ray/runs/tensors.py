"""Safetensors files as bytes: their header, which says where each tensor lies, without reading any tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

_LARGEST_HEADER = 100_000_000  # bytes, the limit of the format


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def header(file: _Readable) -> tuple[dict[str, Any], int]:
    """A file's header and where its data begins, in bytes. Raises `ValueError` for what is no safetensors file."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= _LARGEST_HEADER:
        raise ValueError("no safetensors header")
    found = json.loads(file.read(length))
    if not isinstance(found, dict):
        raise ValueError("no safetensors header")
    return found, 8 + length


def tensors(header: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a header says of each tensor."""
    return ((name, tensor) for name, tensor in header.items() if name != "__metadata__")


def length(file: _Readable) -> int:
    """Bytes that a file should have by its header. Raises `ValueError` for what is no safetensors file."""
    found, start = header(file)
    try:
        return start + max((int(tensor["data_offsets"][1]) for _, tensor in tensors(found)), default=0)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a damaged safetensors header: {error}") from None
