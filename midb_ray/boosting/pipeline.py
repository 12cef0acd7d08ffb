"""Boost a corpus: check, plan, stream, sum up."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.boosting.work import BoostWork, languages
from midb_ray.engines import settings as engines
from midb_ray.engines.flight import Flight
from midb_ray.errors import ExitCode, UserError
from midb_ray.formats.registry import FORMATS, detect
from midb_ray.locales import load_locales
from midb_ray.pairs import DEAD_LETTER_SCHEMA, rows_to_table
from midb_ray.runs import cluster, commit, folder, inputs, planning, progress, shards, staging, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")


def boost(settings: BoostSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend, before any GPU is taken where it can
    be known by then."""
    locales = load_locales(settings.locales)
    if settings.language is not None:
        locales.resolve(settings.language)
    engine = engines.pinned(settings.engine, engines.check(settings.engine))
    settings = settings.model_copy(update={"engine": engine})
    files = inputs.find(settings.input)
    _refuse_overlap(settings.output, files)
    inputs.check(files)
    work = BoostWork(settings, json.dumps(locales.fingerprint(), ensure_ascii=False))
    if settings.dry_run:
        with tempfile.TemporaryDirectory() as scratch, cluster.connected(settings.address):
            return _describe(settings, files, list(plan(work, files, scratch)))
    wanted = fingerprint(settings, engines.identity(settings.engine), locales.fingerprint())
    wanted["inputs"] = {file.name: [file.size, file.version] for file in files}
    if not settings.fresh:
        progress.refuse_second_driver(settings.output)
    run = folder.open_run(
        settings.output, "boost", wanted, settings.model_dump(mode="json"), settings.accept, settings.fresh
    )
    with cluster.connected(settings.address):
        total, rows = _planned(run, work, files)
        done, figures = _committed(run, total)
        if done.any():
            logger.info("Resuming %s: %d of %d shards are done.", run.uri, done.sum(), total)
        if not rows and not done.all():
            _commit_nothing(run, work)
        elif not done.all():
            _stream(run, work, total, rows, done, figures)
    return _finish(run, settings, total, rows, figures)


def plan(work: BoostWork, files: list[inputs.InputFile], scratch: str, first: int = 0) -> Iterator[shards.Shard]:
    """The shards of these files, numbered from `first`; compressed files are unpacked below `scratch`."""
    settings = work.settings
    tasks: list[planning.Scan] = []
    for staged in cluster.map_remotely(functools.partial(staging.stage, scratch, settings.shard_rows), files):
        form = _format(settings, staged)
        tasks += planning.scans(
            staged.file, staged.uri, staged.layout, form, settings.shard_rows, settings.sample, staged.error
        )
    found = planning.assemble(tasks, cluster.map_remotely(planning.scan, tasks), first)
    if settings.limit is None:
        return found
    everything = list(found)
    named = cluster.map_remotely(functools.partial(languages, work), everything)
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


def _planned(run: folder.RunFolder, work: BoostWork, files: list[inputs.InputFile]) -> tuple[int, int]:
    """Number of shards and rows; the plan is made, or extended by files that are new, and written."""
    uri = storage.join(run.uri, "plan.parquet")
    tables = list(shards.read_plan(uri)) if storage.info(uri) is not None else []
    known = shards.planned_files(uri) if tables else set()
    new = [file for file in files if file.name not in known]
    if new or not tables:
        if tables and work.settings.limit is not None:
            raise UserError(f"Files cannot be added to {run.uri}, a run with a limit; give another --output.")
        logger.info("Planning %d file(s)…", len(new))
        first = sum(table.num_rows for table in tables)
        tables.append(shards.to_table(plan(work, new, storage.join(run.uri, "staging"), first)))
        if not any(table.num_rows for table in tables):
            tables.append(shards.to_table([_nothing(new[0])]))
        shards.write_plan(uri, tables, [file.name for file in files])
    return sum(table.num_rows for table in tables), sum(sum(table.column("rows").to_pylist()) for table in tables)


def _nothing(file: inputs.InputFile) -> shards.Shard:
    """The one shard of an input without rows: its output has the schema and nothing else."""
    return shards.Shard(0, file.name, file.uri, "lines", next(iter(FORMATS)), 0, 0, 1, 1, 0)


def _commit_nothing(run: folder.RunFolder, work: BoostWork) -> None:
    pairs, dead_letters, figures = work.finish(Flight(0, [], rows_to_table([], DEAD_LETTER_SCHEMA), []), [])
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
    run: folder.RunFolder, work: BoostWork, total: int, rows: int, done: np.ndarray[Any, Any], figures: Figures
) -> None:
    from midb_ray.engines import pool

    settings = work.settings
    build = functools.partial(engines.build, settings.engine)
    with progress.Progress(run.uri, "boost", rows, figures, settings.progress_seconds) as watch:
        for _, shard_figures in pool.stream(run, total, done, work.prepare, build, work, settings.pool):
            watch.add(shard_figures)
        logger.info(watch.line())


def _finish(run: folder.RunFolder, settings: BoostSettings, total: int, rows: int, figures: Figures) -> int:
    """Write the summary, check the books, say what came of it."""
    folder.sweep(run.uri)
    complete = figures.balanced and figures.rows_in == rows
    share = figures.dead_letters / figures.rows_in if figures.rows_in else 0.0
    within = share <= settings.max_dead_letters
    folder.write_json(
        run.uri,
        "summary.json",
        {
            "job": "boost",
            "complete": complete,
            "within_error_budget": within,
            "shards": total,
            "rows": rows,
            **figures.to_dict(),
        },
    )
    counts = ", ".join(
        f"{figures.total(decision):,} {decision}" for decision in ("boosted", "unchanged", "kept_original")
    )
    logger.info(
        "%s rows in = %s pairs out (%s) + %s dead letters. Output: %s",
        f"{figures.rows_in:,}",
        f"{figures.rows_out:,}",
        counts,
        f"{figures.dead_letters:,}",
        storage.join(run.uri, commit.PAIRS),
    )
    if not rows:
        logger.info("The input has no rows: the output is empty.")
    if not complete:
        logger.error("The books do not balance: %s rows were planned, %s are accounted for.", rows, figures.rows_in)
        return ExitCode.ROWS_LOST
    if not within:
        logger.error(
            "%.2f %% of the rows are dead letters, more than max_dead_letters (%.2f %%); see %s.",
            100 * share,
            100 * settings.max_dead_letters,
            storage.join(run.uri, commit.DEAD_LETTERS),
        )
        return ExitCode.ROWS_LOST
    return ExitCode.OK


def _describe(settings: BoostSettings, files: list[inputs.InputFile], found: list[shards.Shard]) -> int:
    rows = sum(shard.rows for shard in found)
    logger.info(
        "Dry run: %d file(s), %d shards, %s pairs at most; %s engine in a pool of %s; output %s.",
        len(files),
        len(found),
        f"{rows:,}",
        settings.engine.kind,
        " to ".join(map(str, settings.pool.replicas)),
        settings.output,
    )
    for file in files:
        mine = [shard for shard in found if shard.file == file.name]
        form = mine[0].format if mine else "–"
        logger.info("  %s: %s, %d shards, %s rows", file.name, form, len(mine), f"{sum(s.rows for s in mine):,}")
    return ExitCode.OK


def _refuse_overlap(output: str, files: list[inputs.InputFile]) -> None:
    prefix = f"{storage.absolute(output).rstrip('/')}/"
    for file in files:
        if file.uri.startswith(prefix):
            raise UserError(f"Input {file.name!r} lies inside the output folder {output}; give another --output.")
