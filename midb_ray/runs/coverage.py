"""Which input files a run has planned already, and whether they are still what they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import storage
from midb_ray.runs.inputs import InputFile


class Coverage(NamedTuple):
    """The files that a plan does not cover, and where covered ones lie now if that is elsewhere: old URI to new URI."""

    new: list[InputFile]
    moved: dict[str, str]


def compare(run: str, planned: Sequence[InputFile], files: Sequence[InputFile]) -> Coverage:
    """Hold the input files of a run that goes on against those of its plan. A planned file is known by its place, however the
    user spells it now, else by its name.

    Raises `UserError` if a planned file is not among `files` or has changed, as its shards would not be what was read, and if a
    new one has the name of a planned one, as their rows could not be told apart.
    """
    by_place = {_place(file.uri): file for file in files}
    by_name = {file.name: file for file in files}
    known, moved = set(), {}
    for file in planned:
        now = by_place.get(_place(file.uri)) or by_name.get(file.name)
        if now is None:
            raise UserError(
                f"The run in {run} has read {file.name!r}, which is no longer among the inputs; give it again, start over with "
                "--fresh, or give another --output."
            )
        if (now.size, now.version) != (file.size, file.version):
            raise UserError(
                f"Input {file.name!r} has changed since the run in {run} began (it had {file.size} bytes, version "
                f"{file.version}, and has {now.size} bytes, version {now.version}); start over with --fresh, or give another "
                "--output."
            )
        known.add(now.uri)
        if _place(now.uri) != _place(file.uri):
            moved[file.uri] = now.uri
    new = [file for file in files if file.uri not in known]
    names = {file.name for file in planned}
    for file in new:
        if file.name in names:
            raise UserError(
                f"Input {file.name!r} ({file.uri}) has the name of another file that the run in {run} has read; give it by its "
                "absolute path."
            )
    return Coverage(new, moved)


def _place(uri: str) -> str:
    return os.path.realpath(uri) if storage.is_local(uri) else uri
