"""Select the best pairs of scored runs: look at each pair, bring duplicates together, choose, write.

Looking and writing are tasks over stretches of the runs, comparing is a task for each bucket of keys; what each has done lies in
the run folder, so the same command goes on from there. Only the choice itself is made in one place, from some 60 bytes a pair.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.curation import choice, clusters, duplicates, keys, select_output, select_summary, stretches, units
from midb_ray.curation.select_output import Verdicts
from midb_ray.curation.select_settings import SelectSettings, fingerprint
from midb_ray.curation.stretches import Source, Stretch
from midb_ray.curation.units import Work
from midb_ray.runs import buckets, claim, cluster, folder, storage, stream

logger = logging.getLogger("midb_ray")

JOB = "select"
_BUCKETS = "buckets"
_PAIR = np.dtype("<i8")

A = TypeVar("A")
B = TypeVar("B")


def select(settings: SelectSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend."""
    cluster.refuse_lost(settings.output)
    runs = stretches.sources(settings.input, settings.output)
    columns = stretches.schema(runs)
    place = storage.absolute(settings.output)
    settled = fingerprint(settings, [run.version for run in runs])
    found = _examine(place, settled, settings)
    select_summary.tell_unknown(settings, runs)
    if settings.dry_run:
        return select_summary.describe(settings, runs, found is not None)
    try:
        with claim.Claim(place) as mine:
            if (run := _finished(place, settled, settings)) is not None:
                return _end(run)
            with cluster.connected(settings.address):
                return _run(settings, runs, columns, settled, mine)
    except OSError as error:
        raise storage.explain(error, place, "use the output folder") from None


def _examine(place: str, settled: dict[str, Any], settings: SelectSettings) -> dict[str, Any] | None:
    """The run that goes on here. None of its settings can change: each pair was chosen among all others by them."""
    fixed = {key.partition(".")[0] for key in settled} | {"semantics_version", "at_least", "diversity"}
    return folder.examine(place, JOB, settled, (), settings.fresh, fixed)


def _finished(place: str, settled: dict[str, Any], settings: SelectSettings) -> folder.RunFolder | None:
    """The run that is here, if all of it is written: then nobody needs a cluster."""
    found = _examine(place, settled, settings)
    if found is None or storage.info(storage.join(place, folder.PLAN)) is None:
        return None
    run = folder.open_run(place, JOB, settled, settings.model_dump(mode="json"), found)
    done, _ = select_output.done(run, stretches.load(storage.join(run.uri, folder.PLAN)))
    return run if done.all() else None


def _run(
    settings: SelectSettings, runs: list[Source], columns: pa.Schema, settled: dict[str, Any], mine: claim.Claim
) -> int:
    place = storage.absolute(settings.output)
    found = _examine(place, settled, settings)
    if found is None:
        logger.info("Looking at %d run(s)…", len(runs))
        plan = stretches.plan(runs, cluster.map_remotely)  # an earlier run stays whole until this one has a plan
        run = folder.open_run(place, JOB, settled, settings.model_dump(mode="json"))
        stretches.write(storage.join(run.uri, folder.PLAN), plan)
    else:
        run = folder.open_run(place, JOB, settled, settings.model_dump(mode="json"), found)
        plan = stretches.moved(stretches.load(storage.join(run.uri, folder.PLAN)), runs)
    done, _ = select_output.done(run, plan)
    if not done.all():
        storage.delete(storage.join(run.uri, select_summary.FILE))
        if found is not None:
            logger.info("Resuming %s: %d of %d parts are written.", run.uri, done.sum(), len(done))
        number = buckets.enough(sum(stretch.rows for stretch in plan), keys.unit_bytes(settings))
        scratch = storage.join(run.uri, _BUCKETS, run.digest)
        work = Work(settings, {one.uri: one.schema for one in runs}, run, scratch, number)
        watch = functools.partial(_watched, seconds=settings.progress_seconds, mine=mine)
        known = _known(work, plan, runs, watch)
        chosen = choice.choose(known, _groups(work, known, plan, watch), settings)
        verdicts = (verdict for verdict in _verdicts(work, known, chosen, plan) if not done[verdict.stretch.number])
        write = functools.partial(_explained, work, functools.partial(select_output.write, work, columns))
        _exhaust(watch("Writing", cluster.map_remotely(write, verdicts), int((~done).sum())))
    return _end(run)


def _end(run: folder.RunFolder) -> int:
    """Prove the books from what is on storage, and tidy up."""
    plan = stretches.load(storage.join(run.uri, folder.PLAN))
    done, figures = select_output.done(run, plan)
    folder.sweep(run.uri)
    if done.all():
        storage.delete_folder(storage.join(run.uri, _BUCKETS))
    return select_summary.finish(run, plan, bool(done.all()), figures)


def _known(work: Work, plan: list[Stretch], runs: list[Source], watch: Callable[..., Iterator[Any]]) -> units.Units:
    """What is known of all units, looked at now unless that has been done."""
    before = units.examined(work)
    waiting = [stretch for stretch in plan if stretch.number not in before]
    if waiting and work.settings.diversity.on:
        count = functools.partial(clusters.count, work, clusters.shares(stretches.languages(runs)))
        samples = cluster.map_remotely(functools.partial(_explained, work, count), plan)
        work = work._replace(common=clusters.common(watch("Sampling instructions", samples, len(plan))))
    examine = functools.partial(_explained, work, functools.partial(units.examine, work))
    _exhaust(watch("Looking at pairs", cluster.map_remotely(examine, waiting), len(waiting)))
    return units.load(work, len(plan))


def _groups(
    work: Work, known: units.Units, plan: list[Stretch], watch: Callable[..., Iterator[Any]]
) -> npt.NDArray[np.int64]:
    """The first unit of each one's group of duplicates."""
    label = known.same.copy()
    if work.settings.finds_duplicates:
        compare = functools.partial(_explained, work, functools.partial(_compare, work, len(plan)))
        found = cluster.map_remotely(compare, range(work.number))
        for bucket in watch("Comparing pairs", found, work.number):
            pairs = np.frombuffer(storage.read_bytes(_pairs_uri(work, bucket)), _PAIR).reshape(-1, 2)
            duplicates.join(label, known.numbered(pairs))
    duplicates.settle(label)
    return label


def _compare(work: Work, count: int, bucket: int) -> int:
    """Write the pairs of duplicates in a bucket, unless that has been done; returns its number. Raises OSError and `UserError`."""
    if storage.info(_pairs_uri(work, bucket)) is None:
        table = buckets.read(work.keys, range(count), bucket).combine_chunks()
        found_keys, named = table.column(buckets.KEY).to_numpy(), table.column("unit").to_numpy()
        found = duplicates.edges(found_keys, named, keys.sketches(table), work.settings.near_duplicates or 1.0)
        storage.write_bytes(_pairs_uri(work, bucket), found.astype(_PAIR).tobytes(), lasting=False)
    return bucket


def _pairs_uri(work: Work, bucket: int) -> str:
    return storage.join(work.place, "pairs", f"bucket-{bucket:08d}")


def _verdicts(work: Work, known: units.Units, chosen: choice.Choice, plan: list[Stretch]) -> Iterator[Verdicts]:
    """What each stretch has to know of the choice; the rows of what stays in a duplicate's place are asked of their stretches."""
    best = np.unique(chosen.instead[chosen.verdict == choice.DUPLICATE])
    ends = np.searchsorted(best, known.first)
    some = [best[ends[number] : ends[number + 1]] - known.first[number] for number in range(len(plan))]
    names = functools.partial(_explained, work, functools.partial(units.names, work))
    told = cluster.map_remotely(names, [(number, places) for number, places in enumerate(some) if len(places)])
    rows = pa.concat_arrays([pa.array([], pa.large_string()), *told])
    for stretch in plan:
        mine = slice(known.first[stretch.number], known.first[stretch.number + 1])
        verdict = chosen.verdict[mine]
        places = np.searchsorted(best, chosen.instead[mine])
        wanted = pa.array(places, mask=verdict != choice.DUPLICATE)
        yield Verdicts(stretch, verdict, rows.take(wanted))


def _explained(work: Work, task: Callable[[A], B], item: A) -> B:
    """What a task makes of an item; one sentence where storage fails it."""
    try:
        return task(item)
    except OSError as error:
        raise storage.explain(error, work.run.uri, "read the runs or write to") from None


def _watched(label: str, results: Iterable[A], total: int, seconds: float, mine: claim.Claim) -> Iterator[A]:
    """Results as they come, as long as the claim on the folder is this process's."""
    for result in stream.watched(results, total, seconds, f"{label}: %d of %d tasks are done."):
        yield result
        mine.check()


def _exhaust(results: Iterable[Any]) -> None:
    for _ in results:
        pass
