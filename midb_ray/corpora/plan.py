"""The plan of a run over a corpus: made, extended by files that are new, and what of it is done already."""

from __future__ import annotations

import functools
import logging
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.settings import CorpusSettings
from midb_ray.errors import UserError
from midb_ray.formats.registry import FORMATS, detect
from midb_ray.runs import commit, coverage, folder, inputs, planning, shards, staging, storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.stream import Spread

logger = logging.getLogger("midb_ray")


class Plan(NamedTuple):
    """The shards of a run as tables of `shards.PLAN_SCHEMA`, the files that they cover, and whether that is news."""

    tables: list[pa.Table]
    files: list[InputFile]
    is_new: bool

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The number of rows of every shard."""
        found = [table.column("rows").to_numpy() for table in self.tables]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


class Planner(Protocol):
    """Plans files: the shards of `files` of the run at `place`, numbered from `first`. Raises `UserError` for what cannot be
    planned."""

    def __call__(self, place: str, files: list[InputFile], first: int, spread: Spread, /) -> list[pa.Table]: ...


def make(
    planner: Planner, limit: int | None, place: str, files: list[InputFile], goes_on: bool, spread: Spread
) -> Plan:
    """The plan of the run at `place`: of all `files`, or the one that it has and what is new. Writes nothing but staged input.

    Raises `UserError` for files that cannot be planned, and for a run that goes on with others than it has read.
    """
    if not goes_on:
        return Plan(planner(place, files, 0, spread), files, True)
    uri = storage.join(place, folder.PLAN)
    covered = shards.planned_files(uri)
    new, moved = coverage.compare(place, covered, files)
    tables = list(shards.read_plan(uri))
    if moved:
        tables = [_moved(table, moved) for table in tables]
        covered = [file._replace(uri=moved.get(file.uri, file.uri)) for file in covered]
    if new:
        if limit is not None:
            raise UserError(f"Files cannot be added to {place}, a run with a limit; give another --output.")
        tables += planner(place, new, sum(table.num_rows for table in tables), spread)
    return Plan(tables, [*covered, *new], bool(new or moved))


def committed(run: folder.RunFolder, plan: Plan) -> tuple[npt.NDArray[np.bool_], Figures]:
    """Which shards are done, and their figures, from the footers of their files. A part with other rows than were planned is not
    done: its input was not what it is now."""
    rows, figures = plan.rows, Figures()
    done = np.zeros(len(rows), dtype=bool)
    found = [commit.shard_of(file.uri) for file in storage.list_files(storage.join(run.uri, commit.PAIRS))]
    numbers = [number for number in found if number is not None and number < len(rows)]
    for number, part in zip(numbers, commit.read_parts(run.uri, numbers), strict=True):
        if part is not None and part.digest in run.digests and part.figures.rows_in == rows[number]:
            done[number] = True
            figures.add(part.figures)
    return done, figures


def restore_staged(
    shard_rows: int, run: folder.RunFolder, plan: Plan, done: npt.NDArray[np.bool_], spread: Spread
) -> None:
    """Unpack again what open shards are to be read from and somebody has deleted: staged files can always be made anew."""
    staged = storage.join(run.uri, "staging")
    wanted: dict[str, str] = {}
    first = 0
    for table in plan.tables:
        open_shards = table.filter(pa.array(~done[first : first + table.num_rows]))
        wanted.update(zip(open_shards.column("uri").to_pylist(), open_shards.column("file").to_pylist(), strict=True))
        first += table.num_rows
    missing = {name for uri, name in wanted.items() if uri.startswith(f"{staged}/") and storage.info(uri) is None}
    files = [file for file in plan.files if file.name in missing]
    for _ in spread(functools.partial(staging.stage, staged, shard_rows), files):
        pass


def planned(corpus: Corpus, place: str, files: list[InputFile], first: int, spread: Spread) -> pa.Table:
    """The shards of files of a corpus, numbered from `first`; compressed files are unpacked below the run folder."""
    settings = corpus.settings
    logger.info("Planning %d file(s)…", len(files))
    tasks: list[planning.Scan] = []
    stage = functools.partial(staging.stage, storage.join(place, "staging"), settings.shard_rows)
    for staged in spread(stage, files):
        form = _format(settings, staged)
        tasks += planning.scans(
            staged.file, staged.uri, staged.layout, form, settings.shard_rows, settings.sample, staged.error
        )
    found = planning.assemble(tasks, spread(planning.scan, tasks), first)
    if settings.limit is not None:
        everything = list(found)
        named = iter(spread(corpus.languages, everything))
        found = planning.select(everything, lambda _: next(named), settings.limit)
    table = shards.to_table(found)
    return table if table.num_rows or first else shards.to_table([_nothing(files[0])])


def _nothing(file: InputFile) -> shards.Shard:
    """The one shard of an input without rows: its output has the schema and nothing else."""
    return shards.Shard(0, file.name, file.uri, "lines", next(iter(FORMATS)), 0, 0, 1, 1, 0)


def _format(settings: CorpusSettings, staged: staging.Staged) -> str:
    if settings.format != "auto":
        return settings.format
    rows = inputs.first_rows(staged.uri, staged.layout)
    try:
        return detect(rows).name if rows else next(iter(FORMATS))
    except UserError as error:
        raise UserError(f"{staged.file.name}: {error}") from None


def _moved(table: pa.Table, moved: dict[str, str]) -> pa.Table:
    """The same shards, read from where the files lie now."""
    places = [moved.get(uri, uri) for uri in table.column("uri").to_pylist()]
    return table.set_column(
        table.schema.get_field_index("uri"), table.schema.field("uri"), pa.array(places, pa.string())
    )
