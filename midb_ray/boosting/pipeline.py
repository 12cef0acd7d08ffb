"""Boost a corpus: check, plan, stream, sum up."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from midb_ray.boosting import summary
from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.boosting.work import BoostWork, languages
from midb_ray.engines import settings as engines
from midb_ray.engines.flight import Flight
from midb_ray.errors import UserError
from midb_ray.formats.registry import FORMATS, detect
from midb_ray.locales import load_locales
from midb_ray.pairs import DEAD_LETTER_SCHEMA, PAIR_SCHEMA
from midb_ray.runs import claim, cluster, commit, coverage, folder, inputs, planning, progress, shards, staging, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")


def boost(settings: BoostSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend, before any GPU is taken where it can
    be known by then."""
    locales = load_locales(settings.locales)
    if settings.language is not None:
        locales.resolve(settings.language)
    cluster.refuse_lost(settings.output)
    engine = engines.pinned(settings.engine, engines.check(settings.engine))
    settings = settings.model_copy(update={"engine": engine})
    files = inputs.find(settings.input, leave_out=settings.output)
    _refuse_overlap(settings.output, files)
    inputs.check(files)
    work = BoostWork(settings, json.dumps(locales.fingerprint(), ensure_ascii=False))
    wanted = fingerprint(settings, engines.identity(settings.engine), locales.fingerprint())
    found = folder.examine(settings.output, "boost", wanted, settings.accept, settings.fresh)
    if settings.dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            return summary.describe(
                settings, files, list(plan(work, files, scratch, spread=map)), goes_on=found is not None
            )
    place = storage.absolute(settings.output)
    with claim.Claim(place) as mine:
        run = folder.open_run(
            settings.output, "boost", wanted, settings.model_dump(mode="json"), settings.accept, settings.fresh
        )
        new = _new_files(run, files)
        with cluster.connected(settings.address) as own:
            cluster.check_gpus(settings.pool.gpus_per_replica, own)
            total, rows = _planned(run, work, new)
            done, figures = _committed(run, total)
            if done.any():
                logger.info("Resuming %s: %d of %d shards are done.", run.uri, done.sum(), total)
            if not rows and not done.all():
                _commit_nothing(run, work)
            elif not done.all():
                _stream(run, work, total, rows, done, figures, mine)
        return summary.finish(run, settings, total, rows, figures)


def plan(
    work: BoostWork,
    files: list[inputs.InputFile],
    scratch: str,
    first: int = 0,
    spread: Callable[..., Iterator[Any]] = cluster.map_remotely,
) -> Iterator[shards.Shard]:
    """The shards of these files, numbered from `first`; compressed files are unpacked below `scratch`. `spread` is a `map`: over
    the cluster, or in this process."""
    settings = work.settings
    tasks: list[planning.Scan] = []
    for staged in spread(functools.partial(staging.stage, scratch, settings.shard_rows), files):
        form = _format(settings, staged)
        tasks += planning.scans(
            staged.file, staged.uri, staged.layout, form, settings.shard_rows, settings.sample, staged.error
        )
    found = planning.assemble(tasks, spread(planning.scan, tasks), first)
    if settings.limit is None:
        return found
    everything = list(found)
    named = iter(spread(functools.partial(languages, work), everything))
    return planning.select(everything, lambda _: next(named), settings.limit)


def _format(settings: BoostSettings, staged: staging.Staged) -> str:
    if settings.format != "auto":
        return settings.format
    rows = inputs.first_rows(staged.uri, staged.layout)
    if not rows:
        return next(iter(FORMATS))
    try:
        return detect(rows).name
    except UserError as error:
        raise UserError(f"{staged.file.name}: {error}") from None


def _new_files(run: folder.RunFolder, files: list[inputs.InputFile]) -> list[inputs.InputFile]:
    """The files that the run has not planned yet. Raises `UserError` if a planned one is absent or has changed."""
    uri = storage.join(run.uri, folder.PLAN)
    if storage.info(uri) is None:
        return files
    return coverage.new_files(run.uri, shards.planned_files(uri), files)


def _planned(run: folder.RunFolder, work: BoostWork, new: list[inputs.InputFile]) -> tuple[int, int]:
    """Number of shards and rows; the plan is made, or extended by the files that are new, and written."""
    uri = storage.join(run.uri, folder.PLAN)
    exists = storage.info(uri) is not None
    tables = list(shards.read_plan(uri)) if exists else []
    if new:
        if exists and work.settings.limit is not None:
            raise UserError(f"Files cannot be added to {run.uri}, a run with a limit; give another --output.")
        logger.info("Planning %d file(s)…", len(new))
        first = sum(table.num_rows for table in tables)
        tables.append(shards.to_table(plan(work, new, storage.join(run.uri, "staging"), first)))
        if not any(table.num_rows for table in tables):
            tables.append(shards.to_table([_nothing(new[0])]))
        shards.write_plan(uri, tables, [*(shards.planned_files(uri) if exists else []), *new])
    return sum(table.num_rows for table in tables), sum(sum(table.column("rows").to_pylist()) for table in tables)


def _nothing(file: inputs.InputFile) -> shards.Shard:
    """The one shard of an input without rows: its output has the schema and nothing else."""
    return shards.Shard(0, file.name, file.uri, "lines", next(iter(FORMATS)), 0, 0, 1, 1, 0)


def _commit_nothing(run: folder.RunFolder, work: BoostWork) -> None:
    pairs, dead_letters, figures = work.finish(
        Flight(0, PAIR_SCHEMA.empty_table(), DEAD_LETTER_SCHEMA.empty_table(), []), []
    )
    commit.commit(run.uri, 0, run.digest, pairs, dead_letters, figures)


def _committed(run: folder.RunFolder, total: int) -> tuple[np.ndarray[Any, Any], Figures]:
    """Which shards are done, and their figures, from the footers of their files."""
    done = np.zeros(total, dtype=bool)
    figures = Figures()
    found = [commit.shard_of(file.uri) for file in storage.list_files(storage.join(run.uri, commit.PAIRS))]
    numbers = [number for number in found if number is not None and number < total]
    for number, part in zip(numbers, commit.read_parts(run.uri, numbers), strict=True):
        if part is not None and part.digest in run.digests:
            done[number] = True
            figures.add(part.figures)
    return done, figures


def _stream(
    run: folder.RunFolder,
    work: BoostWork,
    total: int,
    rows: int,
    done: np.ndarray[Any, Any],
    figures: Figures,
    mine: claim.Claim,
) -> None:
    from midb_ray.engines import pool

    settings = work.settings
    build = functools.partial(engines.build, settings.engine)
    with progress.Progress(run.uri, "boost", rows, figures, settings.progress_seconds) as watch:
        for _, shard_figures in pool.stream(run, total, done, work.prepare, build, work, settings.pool):
            watch.add(shard_figures)
            mine.check()
        logger.info(watch.line())


def _refuse_overlap(output: str, files: list[inputs.InputFile]) -> None:
    prefix = f"{storage.absolute(output).rstrip('/')}/"
    for file in files:
        if file.uri.startswith(prefix):
            raise UserError(f"Input {file.name!r} lies inside the output folder {output}; give another --output.")
