"""A pilot: a finished run over a part of an input, and what its folder tells of each pair and each shard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from midb_ray.errors import UserError
from midb_ray.operations.estimates import Numbers, Sample
from midb_ray.runs import commit, earlier, folder, shards, storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.inputs import InputFile

JOBS: Final = ("boost", "score")
_BOOSTED: Final = ("decision", "prompt_tokens", "answer_tokens")
_TEXTS: Final = ("instruction", "input", "response")
_READERS: Final = 16  # parts read side by side


class Beat(NamedTuple):
    """One shard that an engine has brought: `when` for the order alone, how many seconds the engine was up and busy since the one
    before, what was in the shard, and how many seconds it was `inside` the engine, its notes about attempts included."""

    actor: tuple[str, str]
    when: int
    up: float
    busy: float
    rows: int
    requests: int
    tokens: int
    inside: float


@dataclass(frozen=True)
class Pilot:
    """What is known of a pilot. `prompt` and `answer` are what each pair took, in tokens if `counted`, else in characters;
    `skipped` says which pairs the gate left alone; `seconds` is how long the pool was up."""

    job: str
    settings: dict[str, Any]
    locales: str
    files: list[InputFile]
    sample: Sample
    prompt: Numbers
    answer: Numbers
    skipped: np.ndarray[Any, np.dtype[np.bool_]]
    counted: bool
    beats: list[Beat]
    figures: Figures
    seconds: float


def read(uri: str) -> Pilot:
    """The pilot in a run folder. Raises `UserError` if it is none, not complete, or tells too little."""
    run = earlier.find(uri, None, JOBS, "plan").uri
    try:
        return _read(run)
    except OSError as error:
        raise storage.explain(error, uri, "read the pilot") from None


def _read(run: str) -> Pilot:
    found, summary = earlier.still(run, "run.json"), earlier.still(run, "summary.json")
    settings = found["settings"]
    if settings.get("only"):
        raise UserError(
            f"The run in {run} tries pairs of an earlier run again; a pilot reads a part of the input itself."
        )
    number, digests = earlier.facts(run)
    with ThreadPoolExecutor(_READERS) as threads:
        parts = list(threads.map(lambda place: earlier.part(run, place, digests), range(number)))
        columns = earlier.columns(run)
        tables = list(threads.map(lambda place: _taken(run, columns, place, parts[place].figures), range(number)))
    when = {commit.shard_of(file.uri): file.version for file in storage.list_files(storage.join(run, commit.PAIRS))}
    figures = Figures()
    for part in parts:
        figures.add(part.figures)
    pairs = pa.concat_tables(tables)
    if not pairs.num_rows:
        raise UserError(f"The pilot in {run} has no pairs; give one that has boosted or scored some hundreds.")
    counted = figures.generated_tokens > 0
    known = {name: pairs.column(name).to_numpy() for name in pairs.column_names}
    if not counted:
        known["prompt"], known["answer"] = known["asked"] * known["characters"], known["told"]
    return Pilot(
        found["job"],
        settings,
        json.dumps(found["fingerprint"]["locales"], ensure_ascii=False),
        shards.planned_files(storage.join(run, folder.PLAN)),
        Sample(known["language"], known["characters"], known["shard"]),
        known["prompt"],
        known["answer"],
        known["skipped"].astype(bool),
        counted,
        [beat for place, part in enumerate(parts) for beat in _beats(part.figures, int(when.get(place, "0")))],
        figures,
        _seconds(run, summary),
    )


def _seconds(run: str, summary: dict[str, Any]) -> float:
    """How long the pool was up."""
    spent = summary.get("spent")
    hours = spent.get("hours") if isinstance(spent, dict) else None
    if isinstance(hours, bool) or not isinstance(hours, (int, float)) or not 0 <= hours < math.inf:
        raise UserError(
            f"{storage.join(run, 'summary.json')} does not say how long the pool was up: expected a number at spent.hours, found "
            f"{hours!r}; make the pilot again with this version."
        )
    return float(hours) * 3600


def _taken(run: str, schema: pa.Schema, part: int, figures: Figures) -> pa.Table:
    """What each pair of a part took. A job that counts tokens for the shard alone has them spread over its pairs by length."""
    names = set(schema.names)
    raw = [f"raw_{name}" if f"raw_{name}" in names else name for name in _TEXTS]
    wanted = {*raw, *_TEXTS, "language", *names.intersection((*_BOOSTED, "context"))}
    table = earlier.table(run, commit.PAIRS, schema, part, wanted)
    characters = _length(table, [*raw, *names.intersection(("context",))])
    boosted = "decision" in table.column_names
    skipped = np.asarray(pc.equal(table.column("decision"), "skipped")) if boosted else np.zeros(len(characters), bool)
    asked = ~skipped
    usage = figures.usage
    if "answer_tokens" in table.column_names:
        prompt, answer = (_numbers(table, name) for name in ("prompt_tokens", "answer_tokens"))
    else:
        prompt, answer = np.zeros(len(characters)), _spread(figures.generated_tokens, asked * characters)
    if not prompt.any() and usage.prompt_tokens:
        prompt = _spread(usage.prompt_tokens, asked * characters)
    return pa.table(
        {
            "language": table.column("language").cast(pa.string()),
            "characters": characters,
            "shard": np.full(len(characters), part, dtype=np.int64),
            "prompt": prompt,
            "answer": answer,
            "skipped": skipped,
            "asked": asked.astype(np.float64),
            "told": asked * _length(table, _TEXTS) if boosted else np.zeros(len(characters)),
        }
    )


def _beats(figures: Figures, when: int) -> Iterator[Beat]:
    for actor, engine in figures.engines.items():
        yield Beat(
            *(actor, when, engine.up_seconds, engine.busy_seconds),
            *(figures.rows_in, engine.rows, engine.tokens, figures.engine_seconds),
        )


def _length(table: pa.Table, names: Any) -> Numbers:
    lengths = [pc.fill_null(pc.utf8_length(table.column(name)), 0).to_numpy() for name in names]
    return np.asarray(np.sum(lengths, axis=0), dtype=np.float64)


def _numbers(table: pa.Table, name: str) -> Numbers:
    return np.asarray(pc.fill_null(table.column(name), 0).to_numpy(), dtype=np.float64)


def _spread(total: float, by: Numbers) -> Numbers:
    return by * (total / by.sum()) if by.sum() else np.zeros(len(by))
