"""Which input files a run has planned already, and whether they are still what they were."""

from __future__ import annotations

from collections.abc import Sequence

from midb_ray.errors import UserError
from midb_ray.runs.inputs import InputFile


def new_files(run: str, planned: Sequence[InputFile], files: Sequence[InputFile]) -> list[InputFile]:
    """Those of `files` that the run's plan does not cover. A planned file is known by its place, however the user spells it
    now, else by its name.

    Raises `UserError` if a planned file is not among `files` or has changed: its shards would not be what was read.
    """
    by_place = {file.uri: file for file in files}
    by_name = {file.name: file for file in files}
    known = set()
    for file in planned:
        now = by_place.get(file.uri) or by_name.get(file.name)
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
    return [file for file in files if file.uri not in known]
