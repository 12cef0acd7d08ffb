"""Boost a corpus: check, plan, stream, sum up."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from midb_ray.boosting import caps, card_record, earlier, summary
from midb_ray.boosting.gate import Gate
from midb_ray.boosting.plan import planned
from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.boosting.work import BoostWork
from midb_ray.corpora import plan as plans
from midb_ray.corpora.plan import Plan
from midb_ray.engines import registry as engines
from midb_ray.engines import room
from midb_ray.engines.flight import Flight
from midb_ray.errors import UserError
from midb_ray.locales import Locales, load_locales
from midb_ray.pairs import DEAD_LETTER_SCHEMA, PAIR_SCHEMA
from midb_ray.runs import attempts, claim, cluster, commit, coverage, folder, inputs, progress, shards, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")


def boost(settings: BoostSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend, before any GPU is taken where it can
    be known by then."""
    locales = load_locales(settings.locales)
    settings, files = _checked(settings, locales)
    work = BoostWork(settings, json.dumps(locales.fingerprint(), ensure_ascii=False))
    identity = engines.identity(settings.engine)
    card_record.tell(settings.engine, identity, settings.template)
    wanted = fingerprint(settings, identity, locales.fingerprint())
    place = storage.absolute(settings.output)
    goes_on = folder.examine(place, "boost", wanted, settings.accept, settings.fresh) is not None
    if settings.dry_run:
        return _rehearse(work, place, files, goes_on)
    try:
        with claim.Claim(place) as mine, cluster.connected(settings.address) as own:
            room.check(settings.pool, own)
            return _run(work, place, files, wanted, mine)
    except OSError as error:  # what comes from the input has been explained where it was read
        raise storage.explain(error, place, "use the output folder") from None


def _checked(settings: BoostSettings, locales: Locales) -> tuple[BoostSettings, list[inputs.InputFile]]:
    """The settings as every process can use them, and the input files; what can be known to be wrong by now is refused."""
    if settings.language is not None:
        locales.resolve(settings.language)
    Gate(settings.gate, settings.guard, locales)  # refuses languages that nobody knows
    if settings.gate.blunt:
        logger.warning(
            "gate.no_defects by itself skips nearly every pair, those that experts would revise among them: docs/boosting.md."
        )
    cluster.refuse_lost(settings.output)
    engine = engines.pinned(settings.engine, engines.check(settings.engine))
    files = _files(settings, settings.output)
    if settings.only:
        return settings.model_copy(update={"engine": engine}), files
    prefix = f"{storage.absolute(settings.output).rstrip('/')}/"
    for file in files:
        if file.uri.startswith(prefix):
            raise UserError(
                f"Input {file.name!r} lies inside the output folder {settings.output}; give another --output."
            )
    inputs.check(files)
    return settings.model_copy(update={"engine": engine}), files


def _files(settings: BoostSettings, output: str) -> list[inputs.InputFile]:
    """The input files; an earlier run that is tried again counts as one."""
    return [earlier.find(settings)] if settings.only else inputs.find(settings.input, leave_out=output)


def _rehearse(work: BoostWork, place: str, files: list[inputs.InputFile], goes_on: bool) -> int:
    """The dry run: everything that can be refused is, and nothing is started or written."""
    with tempfile.TemporaryDirectory() as scratch:
        before = shards.planned_files(storage.join(place, folder.PLAN)) if goes_on else []
        new = coverage.compare(place, before, files).new
        tables = planned(work, scratch, new, 0, map) if new else []
    return summary.describe(work.settings, new, tables, before)


def _run(work: BoostWork, place: str, files: list[inputs.InputFile], wanted: dict[str, Any], mine: claim.Claim) -> int:
    settings = work.settings
    found = folder.examine(place, "boost", wanted, settings.accept, settings.fresh)
    # An earlier run stays whole until this one has a plan.
    planner = functools.partial(planned, work)
    plan = plans.make(planner, settings.limit, place, files, found is not None, cluster.map_remotely)
    run = folder.open_run(place, "boost", wanted, settings.model_dump(mode="json"), found)
    done, figures = plans.committed(run, plan)
    account = caps.Account(run.uri, settings.caps, settings.pool.replicas[-1], figures, settings.progress_seconds)
    if plan.is_new or not done.all():
        storage.delete(storage.join(run.uri, summary.FILE))
    if plan.is_new:
        shards.write_plan(storage.join(run.uri, folder.PLAN), plan.tables, plan.files)
    if done.any():
        logger.info("Resuming %s: %d of %d shards are done.", run.uri, done.sum(), len(done))
    if not done.all():
        if not plan.rows.any():
            _commit_nothing(run, work)
        elif account.reached is None:
            plans.restore_staged(settings.shard_rows, run, plan, done)
            _stream(run, work, plan, done, figures, mine, account)
            coverage.compare(run.uri, plan.files, _files(settings, place))
    return summary.finish(run, settings, len(done), int(plan.rows.sum()), figures, account)


def _stream(
    run: folder.RunFolder,
    work: BoostWork,
    plan: Plan,
    done: npt.NDArray[np.bool_],
    figures: Figures,
    mine: claim.Claim,
    account: caps.Account,
) -> None:
    from midb_ray.engines import pool

    settings = work.settings
    build = functools.partial(engines.build, settings.engine)
    rows = int(plan.rows.sum())
    if progress.was_stopped(run.uri):
        attempts.forgive(run.uri)
    with progress.Progress(run.uri, "boost", rows, figures, settings.progress_seconds) as watch:
        at_once = engines.rows_at_once(settings.engine)
        shards_done = pool.stream(run, len(done), done, work.sharing().prepare, build, work, settings.pool, at_once)
        with account, contextlib.closing(shards_done):
            for _, shard_figures in shards_done:
                watch.add(shard_figures)
                account.check()
                mine.check()
        logger.info(watch.line())


def _commit_nothing(run: folder.RunFolder, work: BoostWork) -> None:
    pairs, dead_letters, figures = work.finish(
        Flight(0, PAIR_SCHEMA.empty_table(), DEAD_LETTER_SCHEMA.empty_table(), []), []
    )
    commit.commit(run.uri, 0, run.digest, pairs, dead_letters, figures)
