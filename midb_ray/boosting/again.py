"""Boost again: an earlier run is the input, some of its pairs are tried once more, and all others go over as they are.

A shard is some consecutive parts of the earlier run, as many as hold a shard's pairs to be tried. `row`, `id` and dead letters are
those of that run, so that the output is the whole corpus once more, each row of it once.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from midb_ray.boosting import output
from midb_ray.boosting.settings import BoostSettings
from midb_ray.errors import UserError
from midb_ray.locales import Locales
from midb_ray.pairs import (
    BOOSTED_SCHEMA,
    DEAD_LETTER_SCHEMA,
    PAIR_SCHEMA,
    DeadLetter,
    Pair,
    Text,
    rows_in,
    table_to_pairs,
)
from midb_ray.runs import commit, earlier, shards, storage
from midb_ray.runs.inputs import InputFile

logger = logging.getLogger("midb_ray")

FORMAT = "boosted"
_SHARD_ROWS = 16  # times `shard_rows`: rows of a shard at most, as rows that are not tried cost memory too
_SHARD_BYTES = 16 << 20  # of parts, which are compressed
_READERS = 16  # parts looked at together: on object stores each takes some round trips
_TOLD = {"language", "decision", "reasons"}  # columns by which pairs are chosen


class Contents(NamedTuple):
    """What a part holds: the rows of the first input that it stands for, its pairs and dead letters; its bytes; and the language of
    each pair to be tried, by the pair's place in the part."""

    part: int
    rows: int
    pairs: int
    dead: int
    size: int
    tried: dict[int, str]
    decisions: dict[str, int]


class Stretch(NamedTuple):
    """Some parts of an earlier run to be looked at: `first` to `stop`. Counts of a part are believed if its digest is known."""

    run: str
    first: int
    stop: int
    digests: frozenset[str]
    settings: BoostSettings


def find(settings: BoostSettings) -> InputFile:
    """The run that is tried again, as this run's one input. Raises `UserError`, see `earlier.find`."""
    (given,) = settings.input
    return earlier.find(given, settings.output, ("boost",), "--only")


def stretches(run: InputFile, settings: BoostSettings, step: int = 32) -> list[Stretch]:
    """All parts of the earlier run, in order, some at a time. Raises `UserError` if they cannot be read."""
    count, digests = earlier.facts(run.uri)
    return [Stretch(run.uri, first, min(first + step, count), digests, settings) for first in range(0, count, step)]


def look(stretch: Stretch) -> list[Contents]:
    """What is in these parts, and which of their pairs are to be tried but for the limit. Raises `UserError` for a damaged part."""
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        return list(threads.map(functools.partial(_look, stretch), range(stretch.first, stretch.stop)))


def plan(
    run: InputFile, found: Iterable[Contents], settings: BoostSettings, locales: Locales
) -> Iterator[shards.Shard]:
    """The shards of this run. Raises `UserError` if no pair at all is to be tried, or one in a language that `locales` lacks."""
    taken: Counter[str] = Counter()
    decisions: Counter[str] = Counter()
    number = position = tried = dead = 0
    bounds = (settings.shard_rows, _SHARD_ROWS * settings.shard_rows, _SHARD_BYTES)
    group: list[tuple[Contents, list[int]]] = []
    sizes = (0, 0, 0)
    for part in found:
        decisions.update(part.decisions)
        dead += part.dead
        for language in set(part.tried.values()):
            locales.resolve(language)
        mine = _limited(part.tried, taken, settings.limit)
        own = (len(mine), part.pairs + part.dead, part.size)
        sizes = (sizes[0] + own[0], sizes[1] + own[1], sizes[2] + own[2])
        if group and any(size > bound for size, bound in zip(sizes, bounds, strict=True)):
            yield _shard(run, number, position, group, settings.limit is not None)
            number, position = number + 1, position + sum(one.rows for one, _ in group)
            group, sizes = [], own
        group.append((part, mine))
        tried += len(mine)
    if not tried:
        seen = ", ".join(f"{count:,} {name}" for name, count in sorted(decisions.items())) or "no pairs"
        raise UserError(f"No pair in {run.name} is to be tried with --only {' '.join(settings.only)}; it has {seen}.")
    logger.info(
        "Again: %s of %s pairs are tried, the others go over as they are, with %s dead letters.",
        *(f"{count:,}" for count in (tried, sum(decisions.values()), dead)),
    )
    yield _shard(run, number, position, group, settings.limit is not None)


def read(settings: BoostSettings, shard: shards.Shard) -> tuple[list[Pair], list[DeadLetter], pa.Table]:
    """The pairs of a shard that are to be tried, in their raw texts; its dead letters; and its other rows as they are (with
    `FINISHED_SCHEMA`).

    Raises OSError, and `UserError` if the parts are not those that were planned: their rows would be lost in silence.
    """
    parts = range(shard.offset, shard.offset + shard.length)
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        tables = functools.partial(earlier.table, shard.uri)
        found = threads.map(functools.partial(tables, commit.PAIRS, BOOSTED_SCHEMA), parts)
        buried = threads.map(functools.partial(tables, commit.DEAD_LETTERS, DEAD_LETTER_SCHEMA), parts)
        rows, dead = pa.concat_tables(found), pa.concat_tables(buried)
    if (found_now := rows_in(rows) + dead.num_rows) != shard.rows:
        raise UserError(
            f"{shard.uri} has changed since it was planned: shard {shard.shard} had {shard.rows} rows and has "
            f"{found_now} now; put the run back as it was, or start over with --fresh."
        )
    tried = _wanted(rows, settings)
    if shard.picked is not None:
        tried = np.isin(np.arange(rows.num_rows), shard.picked)
    chosen = rows.filter(pa.array(tried))
    raw = {**{name: chosen.column(name) for name in PAIR_SCHEMA.names}}
    raw.update({name: chosen.column(f"raw_{name}") for name in Text._fields})
    pairs = table_to_pairs(pa.Table.from_arrays([raw[name] for name in PAIR_SCHEMA.names], schema=PAIR_SCHEMA))
    finished = output.finished(rows.filter(pa.array(~tried)), np.flatnonzero(~tried).tolist())
    return pairs, [DeadLetter(*row.values()) for row in dead.to_pylist()], finished


def _look(stretch: Stretch, number: int) -> Contents:
    place = commit.part_uri(stretch.run, commit.PAIRS, number)
    try:
        part = earlier.part(stretch.run, number, stretch.digests)
        columns = _TOLD | ({"row"} if stretch.settings.sample < 1 else set())
        table = earlier.table(stretch.run, commit.PAIRS, BOOSTED_SCHEMA, number, columns)
        size = storage.info(place)
    except OSError as error:
        raise storage.explain(error, place, "read") from None
    languages = table.column("language").to_pylist()
    tried = {index: languages[index] for index in np.flatnonzero(_wanted(table, stretch.settings)).tolist()}
    decisions: Counter[str] = Counter(table.column("decision").to_pylist())
    counts = (part.figures.rows_in, table.num_rows, part.figures.dead_letters)
    return Contents(number, *counts, size.size if size else 0, tried, dict(decisions))


def _wanted(rows: pa.Table, settings: BoostSettings) -> Any:
    """Which rows are to be tried but for the limit, as a NumPy array: by decision and reason, and by a hash of where they stood
    in the first input, so that a sample is the same whatever the shards."""
    wanted = {tuple(one.partition(":")[::2]) for one in settings.only}
    decisions, reasons = (rows.column(name).to_pylist() for name in ("decision", "reasons"))
    mask = [
        (decision, "") in wanted or any((decision, reason) in wanted for reason in found)
        for decision, found in zip(decisions, reasons, strict=True)
    ]
    if settings.sample < 1:
        bound = settings.sample * 2.0**64
        mask = [
            one and xxhash.xxh3_64_intdigest(row.encode()) < bound
            for one, row in zip(mask, rows.column("row").to_pylist(), strict=True)
        ]
    return np.array(mask, dtype=bool)


def _limited(tried: dict[int, str], taken: Counter[str], limit: int | None) -> list[int]:
    """The places of the pairs that are tried, of each language no more than are left; counts them."""
    if limit is None:
        return list(tried)
    kept = []
    for place, language in tried.items():
        if taken[language] < limit:
            taken[language] += 1
            kept.append(place)
    return kept


def _shard(
    run: InputFile, number: int, position: int, group: list[tuple[Contents, list[int]]], limited: bool
) -> shards.Shard:
    rows, picked, before = 0, [], 0
    for part, tried in group:
        picked += [before + place for place in tried]
        rows, before = rows + part.rows, before + part.pairs
    first, count = group[0][0].part, len(group)
    place = (first, count, 0, position + 1, rows, picked if limited else None)
    return shards.Shard(number, run.name, run.uri, shards.PARTS, FORMAT, *place)
