"""Sisters brought together, wherever in the corpus they stand, and what they tell of each other brought back to their shards.

    shards ─▶ gather: texts by source ─▶ buckets ─▶ compare ─▶ buckets ─▶ hand out: a file for each shard

Each arrow is a pass of tasks over storage (`runs.buckets`), so nobody holds more than a task's or a bucket's rows, whatever the
size of the corpus. A task writes whole files under names of its own, so one that is tried again changes nothing.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import xxhash

from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.plan import Plan
from midb_ray.quality.settings import SourceSettings
from midb_ray.quality.sister_tasks import PARTS, Counts, Join, compare, gather, hand_out, parts_of, place_of
from midb_ray.runs import buckets, folder, memory, patience, storage, stream
from midb_ray.runs.buckets import Buckets
from midb_ray.runs.figures import Figures
from midb_ray.runs.folder import RunFolder
from midb_ray.runs.stream import Spread

logger = logging.getLogger("midb_ray")

A = TypeVar("A")

_READY: Final = "ready.json"
_ROWS: Final = 65_536  # of a gathering task at most
_BYTES: Final = 64 << 20  # of one, roughly
_FEW_ROWS: Final = 2_048  # for which a task is worth its start
_TASKS: Final = 64  # of a corpus that would be one
_STRANGE: Final = 0.1  # of the pairs with sisters that lack a sentence of theirs; of real sisters 0.003 do
_MANY: Final = 100  # pairs of which a share says something
_SPACE: Final = 2 << 10  # bytes of a row in a file that does not tell them


def join(
    run: RunFolder,
    plan: Plan,
    done: npt.NDArray[np.bool_],
    corpus: Corpus,
    source: SourceSettings,
    storage_patience: float,
    spread: Spread,
) -> Counts:
    """Bring sisters together for the shards that are not `done`, unless an earlier try has. Raises `UserError`."""
    token = xxhash.xxh3_64_hexdigest(f"{run.digest} {len(done)}".encode())
    found = _ready(run.uri)
    if found is not None and found["token"] == token:
        return Counts(**found["counts"])
    logger.info("Looking for sisters: pairs with the same source_id…")
    first, number = _tasks(plan)
    stages = [Buckets(storage.join(place_of(run.uri), f"{name}-{token}"), number) for name in ("members", "told")]
    work = Join(run, corpus, source, first, *stages)
    gathered = buckets.written(work.members)
    left = [task for task in range(len(first) - 1) if task not in gathered]
    wanted = np.flatnonzero(~done).astype(np.int64)
    every = corpus.settings.progress_seconds

    def results(label: str, task: Callable[[int], A], items: Sequence[int]) -> list[A]:
        found = spread(functools.partial(_patient, run.uri, storage_patience, task), items)
        return list(stream.watched(found, len(items), every, f"Looking for sisters: %d of %d parts are {label}."))

    results("gathered", functools.partial(gather, work), left)
    compared = results("compared", functools.partial(compare, work), range(number))
    results("told", functools.partial(hand_out, work, wanted), range(number))
    total = Counts(*map(sum, zip(*compared, strict=True)))
    folder.write_json(place_of(run.uri), _READY, {"token": token, "counts": total._asdict()})
    for name in storage.list_folders(place_of(run.uri)):  # those of an earlier plan among them
        if name != PARTS:
            storage.delete_folder(storage.join(place_of(run.uri), name))
    logger.info(
        "Of %s pairs with a source_id, %s have their source among their sisters and %s other translations to compare with.",
        *(f"{number:,}" for number in total[:3]),
    )
    return total


def counted(run: str) -> Counts | None:
    """What the last join of a run has counted. Raises OSError."""
    found = _ready(run)
    return None if found is None else Counts(**found["counts"])


def look_strange(found: Counts, figures: Figures) -> bool:
    """Whether pairs lack so much of what their sisters say that these may be none."""
    compared = found.with_source + found.with_translations
    return sum(counts["omitted"] for counts in figures.reasons.values()) > _STRANGE * max(compared, _MANY)


def tidy(run: str) -> None:
    """Delete what finished shards have no more use for; the counts stay. Raises OSError."""
    found = _ready(run)
    if found is not None and found["token"]:
        folder.write_json(place_of(run), _READY, {**found, "token": ""})
        storage.delete_folder(parts_of(run))


def _ready(run: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(storage.read_bytes(storage.join(place_of(run), _READY))))
    except FileNotFoundError:
        return None


def _tasks(plan: Plan) -> tuple[tuple[int, ...], int]:
    """Where gathering tasks begin, the same for the same plan, and how many buckets to use."""
    rows = plan.rows
    tables = [table.select(["layout", "length", "rows"]) for table in plan.tables]
    in_bytes = [pc.not_equal(table.column("layout"), "parquet") for table in tables]
    sizes = [
        pc.if_else(has_bytes, table.column("length"), pc.multiply(table.column("rows"), _SPACE)).to_numpy()
        for has_bytes, table in zip(in_bytes, tables, strict=True)
    ]
    space = np.concatenate(sizes)
    total = int(rows.sum())
    most = min(max(total // _TASKS, _FEW_ROWS), _ROWS)
    first, weight = [0], 0.0
    for shard, (some, size) in enumerate(zip(rows.tolist(), space.tolist(), strict=True)):
        share = max(some / most, size / _BYTES)
        if weight and weight + share > 1:
            first.append(shard)
            weight = 0.0
        weight += share
    wide = buckets.enough(total, float(space.sum()) / max(total, 1))
    return (*first, len(rows)), max(wide, min(total // _FEW_ROWS, _TASKS), 1)


def _patient(run: str, seconds: float, task: Callable[[int], A], item: int) -> A:
    """What a task returns, tried again for a while where storage refuses."""
    try:
        return patience.persist(functools.partial(task, item), seconds, "Looking for sisters")
    except OSError as error:
        raise storage.explain(error, run, "read the input or write to") from None
    finally:
        memory.give_back()
