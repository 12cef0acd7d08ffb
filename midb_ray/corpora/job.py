"""A job over a corpus: its shards go through a pool of engine actors, and come out in a run folder.

Boosting and scoring differ in what they do with a pair; how a run is begun, goes on, streams and ends is the same and stands here.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.corpora import plan as plans
from midb_ray.corpora import summary
from midb_ray.corpora.meter import Meter
from midb_ray.corpora.plan import Plan
from midb_ray.corpora.settings import PoolJobSettings
from midb_ray.engines import room
from midb_ray.engines.actor import EngineBuilder, Work
from midb_ray.engines.caps import Account
from midb_ray.engines.flight import Flight
from midb_ray.errors import UserError
from midb_ray.pairs import DEAD_LETTER_SCHEMA, PAIR_SCHEMA
from midb_ray.runs import attempts, claim, cluster, commit, coverage, folder, inputs, progress, shards, storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.lifetime import lifetime
from midb_ray.runs.stream import Spread

logger = logging.getLogger("midb_ray")


class CorpusWork(Work, Protocol):
    """What a job does with a shard before and after the engine."""

    def prepare(self, shard: shards.Shard) -> pa.Table:
        """One row for `flight`. Raises OSError if the shard cannot be read."""
        ...


class Job(summary.Told, Protocol):
    """A job over a corpus, and what only it knows."""

    @property
    def settings(self) -> PoolJobSettings: ...

    @property
    def work(self) -> CorpusWork: ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What an output depends on, beside the input files."""
        ...

    @property
    def rows_at_once(self) -> int:
        """Rows that an engine works on at the same time."""
        ...

    @property
    def build(self) -> EngineBuilder: ...

    def shared(self, run: folder.RunFolder, plan: Plan, done: npt.NDArray[np.bool_]) -> CorpusWork:
        """The work with what is large in Ray's store, and with what has to be known of the whole corpus before its shards that are
        not `done` go through the pool; called once Ray is up and the plan is written. Raises `UserError`."""
        ...

    def files(self, output: str) -> list[inputs.InputFile]:
        """The input as it is now."""
        ...

    def planned(self, place: str, files: list[inputs.InputFile], first: int, spread: Spread) -> list[pa.Table]:
        """See `plan.Planner`."""
        ...

    def outline(self) -> list[str]:
        """What a dry run says of the job beside its input and its pool."""
        ...


def checked(output: str, files: Sequence[inputs.InputFile]) -> None:
    """Raise `UserError` for input files that cannot be read or that lie inside the output."""
    prefix = f"{storage.absolute(output).rstrip('/')}/"
    for file in files:
        if file.uri.startswith(prefix):
            raise UserError(f"Input {file.name!r} lies inside the output folder {output}; give another --output.")
    inputs.check(list(files))


def run(job: Job, files: list[inputs.InputFile]) -> int:
    """Run a job over `files`, or say what it would do where its settings ask for that; returns the exit code. Raises `UserError`
    for what the user can mend, before any GPU is taken where it can be known by then."""
    settings = job.settings
    place = storage.absolute(settings.output)
    goes_on = folder.examine(place, job.name, job.fingerprint, settings.accept, settings.fresh) is not None
    if settings.dry_run:
        return _rehearse(job, place, files, goes_on)
    try:
        with claim.Claim(place) as mine, cluster.connected(settings.address) as own, lifetime(job.name, place):
            room.check(job.pool, own)
            return _run(job, place, files, mine)
    except OSError as error:  # what comes from the input has been explained where it was read
        raise storage.explain(error, place, "use the output folder") from None


def _rehearse(job: Job, place: str, files: list[inputs.InputFile], goes_on: bool) -> int:
    """The dry run: everything that can be refused is, and nothing is started or written."""
    with tempfile.TemporaryDirectory() as scratch:
        before = shards.planned_files(storage.join(place, folder.PLAN)) if goes_on else []
        new = coverage.compare(place, before, files).new
        tables = job.planned(scratch, new, 0, map) if new else []
    return summary.describe(job, new, tables, before, job.outline())


def _run(job: Job, place: str, files: list[inputs.InputFile], mine: claim.Claim) -> int:
    settings = job.settings
    found = folder.examine(place, job.name, job.fingerprint, settings.accept, settings.fresh)
    # An earlier run stays whole until this one has a plan.
    spread = functools.partial(cluster.map_remotely, nodes=job.pool.nodes)
    plan = plans.make(job.planned, settings.limit, place, files, found is not None, spread)
    run = folder.open_run(place, job.name, job.fingerprint, settings.model_dump(mode="json"), found)
    done, figures = plans.committed(run, plan)
    account = Account(run.uri, settings.caps, job.pool.replicas[-1], figures, settings.progress_seconds)
    if plan.is_new or not done.all():
        storage.delete(storage.join(run.uri, summary.FILE))
    if plan.is_new:
        shards.write_plan(storage.join(run.uri, folder.PLAN), plan.tables, plan.files)
    if done.any():
        logger.info("Resuming %s: %d of %d shards are done.", run.uri, done.sum(), len(done))
    if not done.all():
        if not plan.rows.any():
            _commit_nothing(run, job.work)
        elif account.reached is None:
            plans.restore_staged(settings.shard_rows, run, plan, done, spread)
            _stream(run, job, plan, done, figures, mine, account)
            coverage.compare(run.uri, plan.files, job.files(place))
    return summary.finish(run, job, len(done), int(plan.rows.sum()), figures, account)


def _stream(
    run: folder.RunFolder,
    job: Job,
    plan: Plan,
    done: npt.NDArray[np.bool_],
    figures: Figures,
    mine: claim.Claim,
    account: Account,
) -> None:
    from midb_ray.engines import pool

    rows, seconds = int(plan.rows.sum()), job.settings.progress_seconds
    if progress.was_stopped(run.uri):
        attempts.forgive(run.uri)
    with progress.Progress(run.uri, job.name, rows, figures, seconds, job.watched) as watch:
        meter = Meter(job.name, run.uri, rows, int((~done).sum()), figures, job.settings.max_dead_letters)
        work = job.shared(run, plan, done)
        shards_done = pool.stream(run, len(done), done, work.prepare, job.build, work, job.pool, job.rows_at_once)
        with account, contextlib.closing(shards_done):
            for _, shard_figures in shards_done:
                watch.add(shard_figures)
                meter.add(shard_figures)
                account.check()
                mine.check()
        watch.tell()


def _commit_nothing(run: folder.RunFolder, work: CorpusWork) -> None:
    pairs, dead_letters, figures = work.finish(
        Flight(0, PAIR_SCHEMA.empty_table(), DEAD_LETTER_SCHEMA.empty_table(), []), []
    )
    commit.commit(run.uri, 0, run.digest, pairs, dead_letters, figures)
