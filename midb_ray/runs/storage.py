"""Files by URI: local paths, `s3://`, `gs://`, and `hf://` for reading. Everything a run reads or writes goes through here.

A file appears under its final name whole or not at all: locally it is written beside it and renamed; object stores get
complete bytes in one write, because an exception inside an open output stream would leave a torn object behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import errno
import functools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs

from midb_ray.errors import UserError

ATTEMPTS = 8  # of each request to an object store, with growing pauses between them: about a minute of trouble
BROKEN_LINK = "broken link"  # the version of a link that leads nowhere or in a circle
_SCHEMES = ("s3", "gs", "hf")


class FileInfo(NamedTuple):
    """One file: its URI, its size in bytes and a `version` that changes when its content does."""

    uri: str
    size: int
    version: str


def resolve(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI and the path in it. Raises `UserError` for what cannot name a file."""
    if "\0" in uri or uri != uri.encode(errors="ignore").decode():
        raise UserError(f"{uri!r} cannot be used: its name is not UTF-8 text; rename it.")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if uri.split(":")[0] in _SCHEMES and ":/" in uri:
            raise UserError(f"{uri} is neither a path nor a URI; did you mean {uri.replace(':', ':/', 1)}?")
        return _file_system("file"), os.path.abspath(os.path.expanduser(uri))
    if scheme == "file":
        return _file_system("file"), rest
    if scheme not in _SCHEMES:
        raise UserError(
            f"{uri}: unknown kind of storage {scheme!r}; expected a path or s3://, gs:// or hf:// (reading)."
        )
    path = rest.rstrip("/")
    if not all(path.split("/")):
        raise UserError(f"{uri} names no place in a bucket; expected {scheme}://BUCKET/PATH without empty parts.")
    return _file_system(scheme), path


def is_local(uri: str) -> bool:
    """Whether the URI lies in this machine's file tree (which may still be a shared mount)."""
    return "://" not in uri or uri.startswith("file://")


def absolute(uri: str) -> str:
    """The same place for processes with any working folder. Raises `UserError` like `resolve`."""
    return resolve(uri)[1] if is_local(uri) else uri


def join(uri: str, *parts: str) -> str:
    """The URI of something below `uri`."""
    return "/".join([uri.rstrip("/"), *parts])


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """A file's content, or the range of it. Raises FileNotFoundError or OSError."""
    with open_input(uri) as file:
        size = file.size() - offset if length is None else length
        return bytes(file.read_at(size, offset))


def open_input(uri: str) -> pa.NativeFile:
    """A seekable file for reading. Raises FileNotFoundError or OSError."""
    system, path = resolve(uri)
    return system.open_input_file(path)


def open_output(uri: str) -> pa.NativeFile:
    """A stream for large files that nothing takes for whole until something else says so (staging)."""
    system, path = resolve(uri)
    if is_local(uri):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return system.open_output_stream(path, compression=None)


def write_bytes(uri: str, content: bytes | pa.Buffer, lasting: bool = True) -> None:
    """Write the whole file, replacing an older one. Raises OSError; then nothing stands under the name, or the old file.
    What is not `lasting` may be lost when a machine loses its power."""
    if uri.startswith("hf://"):
        raise UserError(f"{uri}: hf:// can only be read; write to a path, s3:// or gs://.")
    system, path = resolve(uri)
    if is_local(uri):
        _write_local(Path(path), content, lasting)
        return
    stream = system.open_output_stream(path, compression=None)
    try:
        stream.write(content)
    except BaseException:
        # Closing would commit what has been sent so far, and so would the stream's destruction: it must outlive us.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
        raise
    stream.close()


def info(uri: str) -> FileInfo | None:
    """What is known of one file, or None if there is none. Raises OSError."""
    system, path = resolve(uri)
    found = system.get_file_info(path)
    return _describe(uri, found) if found.type == pafs.FileType.File else None


def is_folder(uri: str) -> bool:
    """Whether a folder (or object-store prefix with objects below it) stands under this name. Raises OSError."""
    system, path = resolve(uri)
    return bool(system.get_file_info(path).type == pafs.FileType.Directory)


def list_files(uri: str, recursive: bool = False, broken_links: bool = False) -> list[FileInfo]:
    """The files below a folder in the order of their names; an absent folder has none. Raises OSError.

    `broken_links` adds the links that lead nowhere, with the version `BROKEN_LINK`; without it they are passed over.
    """
    system, path = resolve(uri)
    if is_local(uri):
        found = sorted(_list_local(uri, path, recursive, set()))
        return [file for file in found if broken_links or file.version != BROKEN_LINK]
    selector = pafs.FileSelector(path, allow_not_found=True, recursive=recursive)
    prefix = len(path) + 1
    return sorted(
        _describe(join(uri, entry.path[prefix:]), entry)
        for entry in system.get_file_info(selector)
        if entry.type == pafs.FileType.File
    )


def list_folders(uri: str) -> list[str]:
    """The names of the folders directly below a folder, in order; an absent folder has none. Raises OSError."""
    system, path = resolve(uri)
    found = system.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return sorted(entry.base_name for entry in found if entry.type == pafs.FileType.Directory)


def delete(uri: str) -> None:
    """Delete one file; an absent one is no error. Raises OSError."""
    system, path = resolve(uri)
    with contextlib.suppress(FileNotFoundError):
        system.delete_file(path)


def delete_folder(uri: str) -> None:
    """Delete a folder with all that is in it; an absent one is no error. Raises OSError."""
    system, path = resolve(uri)
    with contextlib.suppress(FileNotFoundError):
        system.delete_dir(path)


def explain(error: Exception, uri: str, doing: str) -> UserError:
    """One sentence for a failed access: what was being done, where, and what storage said."""
    reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:300].rstrip(".")
    hint = "; the bucket lies in another region, set AWS_REGION" if "HTTP status 301" in reason else ""
    return UserError(f"Cannot {doing} {uri}: {reason}{hint}.")


@functools.lru_cache(maxsize=8)
def _file_system(scheme: str) -> pafs.FileSystem:
    if scheme == "file":
        return pafs.LocalFileSystem()
    if scheme == "s3":
        settings: dict[str, Any] = {
            "request_timeout": 60,
            "connect_timeout": 10,
            "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
            "allow_delayed_open": True,  # what is smaller than a part (10 MiB) takes one PUT
        }
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            settings["scheme"], _, settings["endpoint_override"] = endpoint.rstrip("/").partition("://")
        return pafs.S3FileSystem(**settings)
    if scheme == "gs":
        return pafs.GcsFileSystem(retry_time_limit=datetime.timedelta(minutes=1))
    from midb_ray.runs import hub

    return hub.file_system()


def _describe(uri: str, found: pafs.FileInfo) -> FileInfo:
    return FileInfo(uri, found.size or 0, str(found.mtime_ns or 0))


def _list_local(uri: str, path: str, recursive: bool, seen: set[tuple[int, int]]) -> Iterator[FileInfo]:
    """The files below a folder, through links too, but each folder once: a link to a folder above would never end."""
    try:
        status = Path(path).stat()
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_symlink() and not Path(entry.path).exists():
            yield FileInfo(join(uri, entry.name), 0, BROKEN_LINK)
        elif entry.is_file():
            found = entry.stat()
            yield FileInfo(join(uri, entry.name), found.st_size, str(found.st_mtime_ns))
        elif recursive and entry.is_dir():
            yield from _list_local(join(uri, entry.name), entry.path, recursive, seen)


def _write_local(path: Path, content: bytes | pa.Buffer, lasting: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if lasting:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut: a shard's pairs must not survive where its dead letters do not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # mounts that cannot do it
            raise
    finally:
        os.close(descriptor)
