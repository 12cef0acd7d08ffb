"""Whole folders between this machine and the storage of a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import xxhash

from midb_ray.runs import storage

_BLOCK = 1 << 24
_UNUSED = 7 * 86400  # seconds after which a copy that nobody asked for is deleted


def upload(folder: Path, uri: str, last: Callable[[str], bool] | None = None) -> None:
    """Copy the files of a local folder to `uri`, those that `last` names at the end: they say that the rest is there.

    Raises OSError.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in sorted(names, key=last or (lambda _: False)):
        path, target = folder / name, storage.join(uri, name)
        if storage.is_local(uri):
            _copy(path, Path(storage.absolute(target)))
            continue
        with path.open("rb") as source, storage.open_output(target) as sink:
            while block := source.read(_BLOCK):
                sink.write(block)


def download(uri: str, folder: Path) -> None:
    """Copy the files below `uri` into a local folder. Raises OSError."""
    prefix = len(uri.rstrip("/")) + 1
    for file in storage.list_files(uri, recursive=True):
        target = folder / file.uri[prefix:]
        target.parent.mkdir(parents=True, exist_ok=True)
        with storage.open_input(file.uri) as source, target.open("wb") as sink:
            while block := source.read(_BLOCK):
                sink.write(block)


def _copy(path: Path, target: Path) -> None:
    """Under the final name whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def local(uri: str) -> Path:
    """A folder of a run as one on this machine: itself, or a copy that all processes of the user share until its content changes.

    Raises OSError.
    """
    if storage.is_local(uri):
        return Path(storage.absolute(uri))
    listing = [(file.uri, file.size, file.version) for file in storage.list_files(uri, recursive=True)]
    cache = Path(tempfile.gettempdir()) / f"midb-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise PermissionError(f"{cache} belongs to somebody else")
    place = cache / xxhash.xxh3_128_hexdigest(repr(listing).encode())
    if not place.exists():
        _delete_unused(cache)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            download(uri, Path(scratch) / "copy")
            with contextlib.suppress(OSError):  # another process was faster
                (Path(scratch) / "copy").rename(place)
    os.utime(place)
    return place


def _delete_unused(cache: Path) -> None:
    for copy in cache.iterdir():
        with contextlib.suppress(OSError):  # another process deletes it too
            if time.time() - copy.stat().st_mtime > _UNUSED:
                shutil.rmtree(copy)
