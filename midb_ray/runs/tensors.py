"""Safetensors files: their header, which says where each tensor lies, without reading any tensor; and writing them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

_LARGEST_HEADER = 100_000_000  # bytes, the limit of the format


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def header(file: _Readable) -> tuple[dict[str, Any], int]:
    """A file's header and where its data begins, in bytes. Raises `ValueError` for what is no safetensors file."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= _LARGEST_HEADER:
        raise ValueError("no safetensors header")
    try:
        found = json.loads(file.read(length))
    except RecursionError:
        raise ValueError("no safetensors header") from None
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
        offsets = [place for _, tensor in tensors(found) for place in map(int, tensor["data_offsets"][:2])]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a damaged safetensors header: {error}") from None
    if min(offsets, default=0) < 0:
        raise ValueError("a damaged safetensors header: a negative offset")
    return start + max(offsets, default=0)


def save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a file that torch can read. Raises OSError."""
    from safetensors.torch import save_file

    with os_errors():
        save_file(dict(tensors), path, metadata={"format": "pt"})


@contextlib.contextmanager
def os_errors() -> Iterator[None]:
    """Make an OSError of what libraries written in Rust raise where the system refuses them something."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        found = re.search(r"(.*?)\(os error (\d+)\)", str(error), re.DOTALL)
        if found is None:
            raise
        raise OSError(int(found[2]), found[1].rpartition(":")[2].strip()) from error
