"""Files by URI: local paths, `s3://`, `gs://`, and `hf://` for reading. Everything a run reads or writes goes through here.

A file appears under its final name whole or not at all: locally it is written beside it and renamed; object stores get
complete bytes in one write, because an exception inside an open output stream would leave a torn object behind.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import tenacity

from midb_ray.errors import UserError

_FINAL = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_REFUSALS = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "code 403",
    "code 404",
)

T = TypeVar("T")


class FileInfo(NamedTuple):
    """One file: its URI, its size in bytes and a `version` that changes when its content does."""

    uri: str
    size: int
    version: str


def resolve(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI and the path in it. Raises `UserError` for a scheme that is not known here."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _file_system("file"), os.path.abspath(os.path.expanduser(uri))
    if scheme == "file":
        return _file_system("file"), rest
    if scheme not in ("s3", "gs", "hf"):
        raise UserError(
            f"{uri}: unknown kind of storage {scheme!r}; expected a path or s3://, gs:// or hf:// (reading)."
        )
    return _file_system(scheme), rest.rstrip("/")


def is_local(uri: str) -> bool:
    """Whether the URI lies in this machine's file tree (which may still be a shared mount)."""
    return "://" not in uri or uri.startswith("file://")


def join(uri: str, *parts: str) -> str:
    """The URI of something below `uri`."""
    return "/".join([uri.rstrip("/"), *parts])


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """A file's content, or the range of it. Raises FileNotFoundError or OSError."""
    system, path = resolve(uri)

    def read() -> bytes:
        with system.open_input_file(path) as file:
            size = file.size() - offset if length is None else length
            return bytes(file.read_at(size, offset))

    return _retried(read)


def open_input(uri: str) -> pa.NativeFile:
    """A seekable file for reading. Raises FileNotFoundError or OSError."""
    system, path = resolve(uri)
    return _retried(lambda: system.open_input_file(path))


def open_output(uri: str) -> pa.NativeFile:
    """A stream for large files that nothing takes for whole until something else says so (staging)."""
    system, path = resolve(uri)
    if is_local(uri):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return system.open_output_stream(path)


def write_bytes(uri: str, content: bytes | pa.Buffer) -> None:
    """Write the whole file, replacing an older one. Raises OSError; then nothing stands under the name, or the old file."""
    if is_local(uri):
        _write_local(Path(resolve(uri)[1]), content)
        return
    if uri.startswith("hf://"):
        raise UserError(f"{uri}: hf:// can only be read; write to a path, s3:// or gs://.")
    system, path = resolve(uri)

    def write() -> None:
        # No `with`: leaving it by an exception would close the stream, and closing commits what has been sent so far.
        stream = system.open_output_stream(path)
        stream.write(content)
        stream.close()

    _retried(write)


def info(uri: str) -> FileInfo | None:
    """What is known of one file, or None if there is none."""
    system, path = resolve(uri)
    found = _retried(lambda: system.get_file_info(path))
    return _describe(uri, found) if found.type == pafs.FileType.File else None


def is_folder(uri: str) -> bool:
    """Whether a folder (or object-store prefix with objects below it) stands under this name."""
    system, path = resolve(uri)
    return bool(_retried(lambda: system.get_file_info(path)).type == pafs.FileType.Directory)


def list_files(uri: str, recursive: bool = False) -> list[FileInfo]:
    """The files below a folder in the order of their names; an absent folder has none."""
    system, path = resolve(uri)
    selector = pafs.FileSelector(path, allow_not_found=True, recursive=recursive)
    found = _retried(lambda: system.get_file_info(selector))
    prefix = len(path.rstrip("/")) + 1
    files = [_describe(join(uri, entry.path[prefix:]), entry) for entry in found if entry.type == pafs.FileType.File]
    return sorted(files, key=lambda file: file.uri)


def delete(uri: str) -> None:
    """Delete one file; an absent one is no error."""
    system, path = resolve(uri)
    with contextlib.suppress(FileNotFoundError):
        _retried(lambda: system.delete_file(path))


def delete_folder(uri: str) -> None:
    """Delete a folder with all that is in it; an absent one is no error."""
    system, path = resolve(uri)
    with contextlib.suppress(FileNotFoundError):
        _retried(lambda: system.delete_dir(path))


def sweep(uri: str) -> None:
    """Delete what processes that were killed in the middle of a local write have left below a folder."""
    if is_local(uri):
        for path in Path(resolve(uri)[1]).rglob(".*.tmp"):
            path.unlink(missing_ok=True)


def explain(error: OSError, uri: str, doing: str) -> UserError:
    """One sentence for a failed access: what was being done, where, and what storage said."""
    reason = error.strerror or " ".join(str(error).split())[:300]
    return UserError(f"Cannot {doing} {uri}: {reason}.")


@functools.lru_cache(maxsize=8)
def _file_system(scheme: str) -> pafs.FileSystem:
    if scheme == "file":
        return pafs.LocalFileSystem()
    if scheme == "s3":
        settings: dict[str, Any] = {"request_timeout": 60, "connect_timeout": 10, "allow_bucket_creation": False}
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            settings["scheme"], _, settings["endpoint_override"] = endpoint.rstrip("/").partition("://")
        return pafs.S3FileSystem(**settings)
    if scheme == "gs":
        return pafs.GcsFileSystem()
    from huggingface_hub import HfFileSystem

    return pafs.PyFileSystem(pafs.FSSpecHandler(HfFileSystem()))


def _describe(uri: str, found: pafs.FileInfo) -> FileInfo:
    return FileInfo(uri, found.size or 0, str(found.mtime_ns or 0))


def _write_local(path: Path, content: bytes | pa.Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_transient(error: BaseException) -> bool:
    """Whether trying again may help: not for absent files, missing rights, full disks or unknown buckets."""
    if not isinstance(error, OSError) or isinstance(error, (FileNotFoundError, PermissionError)):
        return False
    return error.errno not in _FINAL and not any(refusal in str(error) for refusal in _REFUSALS)


def _retried(action: Callable[[], T]) -> T:
    """`action`, tried again for about a minute while storage has a hiccup."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
        stop=tenacity.stop_after_delay(60),
        reraise=True,
    )
    return retrying(action)
