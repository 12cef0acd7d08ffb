"""A training set: a folder with the revisions that a booster is trained on and those that it is validated on.

train.parquet, validation.parquet   rows of `REVISION_SCHEMA`
selection.json                      what they were made of and the figures by language; its presence says that all is whole
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

import midb_ray
from midb_ray.errors import UserError
from midb_ray.locales import Locales
from midb_ray.pairs import REVISION_SCHEMA, TEXT, TEXTS, Text
from midb_ray.runs import fingerprint, inputs, parquet, storage
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard
from midb_ray.runs.stream import Spread
from midb_ray.training import revisions, selection_table
from midb_ray.training.revisions import CANDIDATE_SCHEMA, Reading, Unusable, Wanted
from midb_ray.training.selection import Chosen, Ints, Selection, select
from midb_ray.training.selection_settings import SelectionSettings

logger = logging.getLogger("midb_ray")

TRAIN, VALIDATION, RECORD = "train.parquet", "validation.parquet", "selection.json"
MARK = b"midb_ray.training_set"  # in the metadata of both files: without it they are somebody else's
_ROW_GROUP = 1000
_LARGEST_RECORD = 1 << 26  # bytes; what is larger is none of ours
_KEYS = {"job": str, "made_of": dict, "selection": dict, "rows": dict, "languages": list}


def make(
    paths: tuple[str, ...],
    selection: SelectionSettings,
    seed: int,
    locales: Locales,
    place: str,
    spread: Spread,
    leave_out: str | None = None,
) -> dict[str, Any]:
    """Read the revisions in `paths`, but for what lies below the folder `leave_out` (`place`, if none is given), choose among them,
    and write the set to `place`; returns what its record says. `spread` is `runs.stream.over_cluster`, or `map` for this process
    alone. The same revisions give the same rows in the same order however the files are ordered; only in `row` the names of the
    files stand as they were given.

    Raises `UserError` for files that cannot be read, for what `select` refuses, and if nothing can be written.
    """
    place = storage.absolute(place)
    files = find(paths, leave_out or place)
    reading = revisions.reading(locales)
    try:
        plan = revisions.plan(files, place, spread)
        found = list(spread(reading.candidates, plan))
        candidates = pa.concat_tables([CANDIDATE_SCHEMA.empty_table(), *(one.candidates for one in found)])
        unusable = [one for shard in found for one in shard.unusable]
        chosen = select(candidates, selection, seed, revisions.reasons(unusable))
        _warn(candidates, unusable, selection)
        rows, texts = _texts(reading, plan, candidates, chosen, spread)
        storage.delete(storage.join(place, RECORD))
        for name, part in ((TRAIN, chosen.train), (VALIDATION, chosen.validation)):
            storage.write_bytes(storage.join(place, name), _serialised(texts, rows, part))
        record = {
            "job": "revisions",
            "version": midb_ray.__version__,
            "made_of": made_of(files, selection, seed, locales),
            "selection": selection.model_dump(mode="json"),
            "seed": seed,
            "inputs": [file._asdict() for file in files],
            "rows": {TRAIN: len(chosen.train.candidates), VALIDATION: len(chosen.validation.candidates)},
            "sources": {
                TRAIN: selection_table.sources(candidates, chosen.train),
                VALIDATION: selection_table.sources(candidates, chosen.validation),
            },
            "languages": selection_table.figures(candidates, chosen, unusable),
        }
        _write_record(place, record)
    except OSError as error:  # what comes from the input has been explained where it was read
        raise storage.explain(error, place, "write the training set") from None
    finally:
        with contextlib.suppress(OSError):  # what is left there is in nobody's way, and the next set's to delete
            storage.delete_folder(storage.join(place, revisions.STAGING))
    return record


def find(paths: tuple[str, ...], place: str) -> list[InputFile]:
    """The files with revisions, but for those in `place`. Raises `UserError`, also for another training set among them."""
    files = inputs.find(paths, leave_out=place)
    for file in files:
        folder, _, name = file.uri.rpartition("/")
        if name == RECORD and is_set(folder):
            raise UserError(
                f"{folder} is a training set already; train with it alone (--revisions {folder}), or give the revisions that it "
                "was made of."
            )
    return files


def made_of(files: Sequence[InputFile], selection: SelectionSettings, seed: int, locales: Locales) -> dict[str, Any]:
    """What a set depends on, flat and as plain data; files by where they lie, however they are named and ordered."""
    languages = json.dumps(locales.fingerprint(), sort_keys=True)
    return fingerprint.complete(
        {
            **{f"selection.{key}": value for key, value in selection.model_dump(mode="json").items()},
            "seed": seed,
            "locales": xxhash.xxh3_64_hexdigest(languages.encode()),
            "inputs": {file.uri: f"{file.size} bytes, version {file.version}" for file in files},
        }
    )


def is_set(path: str) -> bool:
    """Whether a folder holds a finished training set of ours. Raises `UserError` if that cannot be told."""
    return bool(path.strip()) and _record(path) is not None


def load(path: str) -> dict[str, Any]:
    """The record of the set in a folder. Raises `UserError` if there is none, or its files are not what it says."""
    record = _record(path)
    if record is None:
        raise UserError(f"{path} is no training set; expected a folder that `midb-ray revisions` has written.")
    for name, rows in record["rows"].items():
        uri = storage.join(path, name)
        try:
            metadata = parquet.footer(uri)
        except (OSError, pa.ArrowInvalid) as error:
            raise storage.explain(error, uri, "read the training set's file") from None
        if metadata.num_rows != rows or metadata.schema.to_arrow_schema().names != REVISION_SCHEMA.names:
            raise UserError(
                f"{uri} is not the file that {RECORD} beside it speaks of ({rows} rows); make the set anew."
            )
    return record


def adopt(path: str, selection: SelectionSettings, place: str) -> dict[str, Any]:
    """Copy the finished set in the folder `path` to `place` as it stands; returns what its record says.

    Raises `UserError` if it is not whole, or if a setting of `selection` is neither the default nor what made the set.
    """
    record = load(path)
    before, usual = record["selection"], SelectionSettings().model_dump(mode="json")
    for key, value in selection.model_dump(mode="json").items():
        if value not in (usual[key], before.get(key, usual[key])):
            raise UserError(
                f"selection.{key} is {value}, but {path} is a finished training set that was made with {before.get(key)}; leave "
                "the setting away, or give the revisions that the set was made of."
            )
    if storage.absolute(path) != storage.absolute(place):
        try:
            storage.delete(storage.join(place, RECORD))
            for name in (TRAIN, VALIDATION):
                storage.write_bytes(storage.join(place, name), storage.read_bytes(storage.join(path, name)))
            _write_record(place, record)
        except OSError as error:
            raise storage.explain(error, f"{path} to {place}", "copy the training set") from None
    return record


def _record(place: str) -> dict[str, Any] | None:
    """What `selection.json` in a folder says, None if there is none of ours."""
    uri = storage.join(place, RECORD)
    try:
        info = storage.info(uri)
        content = json.loads(storage.read_bytes(uri)) if info and info.size <= _LARGEST_RECORD else None
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        raise storage.explain(error, uri, "read") from None
    is_ours = isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in _KEYS.items())
    return content if is_ours else None


def _write_record(place: str, record: dict[str, Any]) -> None:
    storage.write_bytes(storage.join(place, RECORD), json.dumps(record, ensure_ascii=False, indent=1).encode())


def _warn(candidates: pa.Table, unusable: list[Unusable], selection: SelectionSettings) -> None:
    if unusable:
        reasons, first = revisions.reasons(unusable), {one.reason: one.example for one in reversed(unusable)}
        told = ", ".join(f"{rows:,} {reason} (first {first[reason]})" for reason, rows in reasons.most_common())
        logger.warning("%d rows are no usable revisions: %s.", reasons.total(), told)
    alone = candidates.num_rows - pc.sum(candidates.column("has_source")).as_py()
    if alone and selection.validation:
        logger.warning(
            "%d of %d revisions have no source_id: each raw pair counts as a source of its own, so translations of one text may "
            "stand on both sides of the split.",
            alone,
            candidates.num_rows,
        )


def _texts(
    reading: Reading, plan: list[Shard], candidates: pa.Table, chosen: Selection, spread: Spread
) -> tuple[Ints, pa.Table]:
    """The candidates that are in a set, in ascending order, and their texts."""
    rows = np.union1d(chosen.train.candidates, chosen.validation.candidates)
    columns = (candidates.column(name).to_numpy()[rows] for name in ("shard", "index", "content"))
    wanted: dict[int, Wanted] = {}
    for shard, index, content in zip(*columns, strict=True):
        one = wanted.setdefault(int(shard), Wanted(plan[shard], [], []))
        one.indices.append(int(index))
        one.contents.append(int(content))
    return rows, pa.concat_tables(spread(reading.texts, wanted.values()))


def _serialised(texts: pa.Table, rows: Ints, chosen: Chosen) -> pa.Buffer:
    """One of the set's files. `rows` says which candidate each row of `texts` is."""
    sink = pa.BufferOutputStream()
    schema = REVISION_SCHEMA.with_metadata({MARK: midb_ray.__version__})
    places = np.searchsorted(rows, chosen.candidates)
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=["language", "kinds.list.element"]) as file:
        for start in range(0, len(places), _ROW_GROUP):
            part = slice(start, start + _ROW_GROUP)
            table = _as_chosen(texts.take(places[part]), chosen.copies[part], pa.array(chosen.unchanged[part]))
            file.write_table(table.replace_schema_metadata(schema.metadata))
    return sink.getvalue()


def _as_chosen(table: pa.Table, copies: Ints, unchanged: pa.Array) -> pa.Table:
    """The rows with names of their own; for examples with nothing to change the revised texts on both sides."""
    names = [
        f"{row}{f'#{copy}' if copy > 1 else ''}{'#unchanged' if same else ''}"
        for row, copy, same in zip(table.column("row").to_pylist(), copies, unchanged.to_pylist(), strict=True)
    ]
    kinds = zip(table.column("kinds").to_pylist(), unchanged.to_pylist(), strict=True)
    columns = {
        **{
            f"raw_{name}": pc.if_else(unchanged, table.column(name), table.column(f"raw_{name}"))
            for name in Text._fields
        },
        "row": pa.array(names, TEXT),
        "kinds": pa.array([[] if same else one for one, same in kinds], TEXTS),
        "distance": pc.if_else(unchanged, pa.scalar(0, pa.int32()), table.column("distance")),
    }
    arrays = [columns.get(name, table.column(name)) for name in REVISION_SCHEMA.names]
    return pa.Table.from_arrays(arrays, schema=REVISION_SCHEMA)
