"""The Hugging Face hub as a file system to read from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from midb_ray.errors import UserError


def file_system() -> pafs.FileSystem:
    """The hub at HF_ENDPOINT, else the public one. Raises `UserError` if its package is not installed."""
    try:
        from huggingface_hub import HfFileSystem
    except ImportError:
        raise UserError("Reading hf:// needs the package huggingface_hub; pip install 'midb-ray[hf]'.") from None
    return pafs.PyFileSystem(_Handler(HfFileSystem(endpoint=os.environ.get("HF_ENDPOINT"))))


class _Handler(pafs.FSSpecHandler):
    """Says OSError when the hub does not answer, and tells files of the same size apart by their hash: the hub's listings know
    no time of change, and versions are only ever compared."""

    @staticmethod
    def _create_file_info(path: str, found: dict[str, Any]) -> pafs.FileInfo:
        if found["type"] != "file":
            return pafs.FileInfo(path, pafs.FileType.Directory)
        version = int((found.get("blob_id") or found.get("xet_hash") or "0")[:15], 16)
        return pafs.FileInfo(path, pafs.FileType.File, size=found["size"], mtime_ns=version)

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        with _only_os_errors():
            return list(super().get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        with _only_os_errors():
            return list(super().get_file_info_selector(selector))

    def open_input_file(self, path: str) -> pa.NativeFile:
        with _only_os_errors():
            return super().open_input_file(path)


@contextlib.contextmanager
def _only_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
