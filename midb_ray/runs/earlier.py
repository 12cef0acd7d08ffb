"""A finished run as the input of another one: whether it is whole, and the tables in its parts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from midb_ray.errors import UserError, one_line
from midb_ray.pairs import TURN_COLUMNS
from midb_ray.runs import commit, folder, parquet, storage
from midb_ray.runs.inputs import InputFile


def find(given: str, output: str | None, jobs: Sequence[str], wanted_by: str) -> InputFile:
    """The earlier run of one of `jobs` as the one input of a run: its size is that of its parts, its version changes with any of
    them. `wanted_by` is the setting or job that needs it.

    Raises `UserError` if it is no whole run of these, or if the output is the same folder or one inside of it (None: it has none).
    """
    uri = storage.absolute(given).rstrip("/")
    if output is not None:
        _refuse_in_place(uri, storage.absolute(output).rstrip("/"))
    try:
        found = described(uri, "run.json")
        if found is None or not folder.is_run(found) or found["job"] not in jobs:
            kinds = " or ".join(jobs)
            raise UserError(
                f"Input {given!r} is no run folder of a {kinds} job; {wanted_by} needs one, whole and by itself."
            )
        summary = described(uri, "summary.json")
        if summary is None or summary.get("complete") is not True or not isinstance(summary.get("shards"), int):
            raise UserError(
                f"The run in {given} is not complete; run it to its end with the command that began it, and then this one."
            )
        files = [
            file
            for name in (commit.PAIRS, commit.DEAD_LETTERS)
            for file in storage.list_files(storage.join(uri, name))
            if commit.shard_of(file.uri) is not None
        ]
    except OSError as error:
        raise storage.explain(error, given, "read the run") from None
    if len(files) != 2 * summary["shards"]:
        raise UserError(
            f"The run in {given} has {len(files)} files of pairs and dead letters, and its summary.json says "
            f"{2 * summary['shards']}; run it to its end with the command that began it."
        )
    version = xxhash.xxh3_64()
    for file in files:
        version.update(f"{file.uri[len(uri) :]} {file.size} {file.version}\n".encode())
    return InputFile(given.rstrip("/"), uri, sum(file.size for file in files), version.hexdigest())


def facts(run: str) -> tuple[int, frozenset[str]]:
    """The number of a run's parts, and the digests by which they are known. Raises `UserError` if it is not there any more."""
    try:
        found, summary = still(run, "run.json"), still(run, "summary.json")
    except OSError as error:
        raise storage.explain(error, run, "read the run") from None
    return summary["shards"], frozenset(found["digests"])


def still(run: str, name: str) -> dict[str, Any]:
    """What a JSON file of a run says that `find` has found whole. Raises OSError, and `UserError` if it is gone meanwhile."""
    found = described(run, name)
    if found is None:
        raise UserError(f"The run in {run} was removed or goes on meanwhile; put it back, or wait for its end.")
    return found


def part(run: str, number: int, digests: frozenset[str]) -> commit.Part:
    """What the footer of a part says. Raises OSError, and `UserError` for one that is none of the run known by `digests`."""
    found = commit.read_part(run, number)
    if found is None or found.digest not in digests:
        raise UserError(
            f"{commit.part_uri(run, commit.PAIRS, number)} is missing, damaged or of other settings than its run; run that one "
            "again with the command that began it."
        )
    return found


def columns(run: str) -> pa.Schema:
    """The columns of a run's pairs, as its first part has them. Raises `UserError`."""
    place = commit.part_uri(run, commit.PAIRS, 0)
    try:
        return parquet.footer(place).schema.to_arrow_schema().remove_metadata()
    except OSError as error:
        raise storage.explain(error, place, "read") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{place} is damaged ({error}); run its run again with the command that began it.") from None


def table(run: str, name: str, schema: pa.Schema, part: int, columns: set[str] | None = None) -> pa.Table:
    """The rows of a part with the types of `schema`, all columns or some; those of turns are null where the run is from before they
    were there. Raises OSError, and `UserError` for one that is no such table."""
    place = commit.part_uri(run, name, part)
    fields = [field for field in schema if columns is None or field.name in columns]
    try:
        with storage.open_input(place) as stream:
            found = pq.ParquetFile(stream).read(columns=[field.name for field in fields])
        for field in fields:
            if field.name in TURN_COLUMNS and field.name not in found.column_names:
                found = found.append_column(field, pa.nulls(found.num_rows, field.type))
        arrays = [found.column(field.name).cast(field.type) for field in fields]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    except (pa.ArrowException, KeyError) as error:
        raise UserError(
            f"{place} is damaged ({one_line(error)}); run its run again with the command that began it."
        ) from None


def described(run: str, name: str) -> dict[str, Any] | None:
    """The object in one of a run's JSON files, run.json or summary.json; None if there is none. Raises OSError."""
    try:
        found = json.loads(storage.read_bytes(storage.join(run, name)))
    except (FileNotFoundError, NotADirectoryError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _refuse_in_place(run: str, place: str) -> None:
    if storage.is_local(run) and storage.is_local(place):
        run, place = os.path.realpath(run), os.path.realpath(place)
    if run == place or place.startswith(f"{run}/") or run.startswith(f"{place}/"):
        raise UserError(f"The output {place} and the run {run} that is read are not apart; give another --output.")
