"""What boosting does around the engine: read and render a shard before it, judge the answers after it."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import pyarrow as pa

from midb_ray import prompts
from midb_ray.boosting.guard import Guard, Verdict
from midb_ray.boosting.settings import BoostSettings
from midb_ray.engines.actor import ENGINE_CRASH
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import Flight, pack
from midb_ray.engines.requests import Requester
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import Locales
from midb_ray.pairs import BOOSTED_SCHEMA, Boosted, DeadLetter, Pair, Text, rows_to_table
from midb_ray.runs import shards
from midb_ray.runs.figures import Figures
from midb_ray.signals.language import Identifier

TRUNCATED_FILE = "truncated_file"


@dataclass(frozen=True)
class BoostWork:
    """Picklable and hashable: each process builds readers, tokenizer and guard from it once and keeps them.

    `locales` are the languages' entries as JSON, so that nodes need not have the user's YAML file.
    """

    settings: BoostSettings
    locales: str

    def prepare(self, shard: shards.Shard) -> pa.Table:
        """Read a shard, render and tokenise its prompts: one row for `flight`. Raises OSError if it cannot be read."""
        pairs, dead = read(self, shard)
        texts = [Text(pair.instruction, pair.input, pair.response) for pair in pairs]
        serialised = [prompts.serialise(text) for text in texts]
        headings = {language: _heading(self, language) for language in {pair.language for pair in pairs}}
        rendered = [f"{headings[pair.language]}{text}" for pair, text in zip(pairs, serialised, strict=True)]
        return pack(shard.shard, pairs, dead, _requester(self).requests(rendered, serialised))

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """Judge every answer; see `engines.actor.Work`."""
        guard = _guard(self)
        figures = Figures(rows_in=len(flight.pairs) + flight.dead_letters.num_rows)
        rows = []
        for pair, request, completion in zip(flight.pairs, flight.requests, completions, strict=True):
            row = _boosted(guard, pair, request, completion)
            figures.count(row.language, row.decision, row.reasons)
            figures.prompt_tokens += row.prompt_tokens or 0
            figures.answer_tokens += row.answer_tokens or 0
            rows.append(row)
        figures.dead_letters = flight.dead_letters.num_rows
        figures.dead_letter_reasons.update(flight.dead_letters.column("reason").to_pylist())
        return rows_to_table(rows, BOOSTED_SCHEMA), flight.dead_letters, figures


def read(work: BoostWork, shard: shards.Shard) -> tuple[list[Pair], list[DeadLetter]]:
    """The pairs and dead letters of a shard."""
    reader = _reader(work, shard.format)
    pairs: list[Pair] = []
    dead: list[DeadLetter] = []
    if shard.error is not None:
        row = f"{shard.file}:end"
        dead.append(DeadLetter(row, shard.file, shard.line + 1, None, TRUNCATED_FILE, shard.error, b""))
    for position, line, offset, raw in shards.read(shard):
        outcome = reader.pair(Record(f"{shard.file}:{position}", shard.file, line, offset, raw))
        if isinstance(outcome, Pair):
            pairs.append(outcome)
        else:
            dead.append(outcome)
    return pairs, dead


def languages(work: BoostWork, shard: shards.Shard) -> list[str | None]:
    """The language of each selected row of a shard, None for dead letters: what `limit` counts by."""
    reader = _reader(work, shard.format)
    found: list[str | None] = []
    for position, line, offset, raw in shards.read(shard):
        outcome = reader.pair(Record(f"{shard.file}:{position}", shard.file, line, offset, raw))
        found.append(outcome.language if isinstance(outcome, Pair) else None)
    return found


def _boosted(guard: Guard, pair: Pair, request: Request | None, completion: Completion | None) -> Boosted:
    """What becomes of one pair."""
    raw = Text(pair.instruction, pair.input, pair.response)
    verdict = Verdict("kept_original", (), raw, 0)
    if request is None or completion is None:
        verdict = verdict._replace(reasons=("prompt_too_long",))
    elif completion.finish == "error":
        verdict = verdict._replace(reasons=(ENGINE_CRASH if completion.error == ENGINE_CRASH else "engine_error",))
    else:
        verdict = guard.judge(pair, completion.text, completion.finish)
    return Boosted(
        *(pair.row, pair.id, pair.source_id, pair.language),
        *verdict.text,
        *raw,
        verdict.decision,
        verdict.reasons,
        verdict.distance,
        len(request.ids) if request is not None and request.ids is not None else None,
        completion.tokens if completion is not None else None,
        pair.repairs,
        pair.extra,
    )


@functools.lru_cache(maxsize=2)
def _locales(work: BoostWork) -> Locales:
    return Locales(json.loads(work.locales))


@functools.lru_cache(maxsize=8)
def _reader(work: BoostWork, form: str) -> Reader:
    identifier = Identifier(_locales(work))
    return Reader(FORMATS[form], _locales(work), work.settings.language, identifier.identify)


@functools.lru_cache(maxsize=2)
def _requester(work: BoostWork) -> Requester:
    return Requester(work.settings.engine)


@functools.lru_cache(maxsize=256)
def _heading(work: BoostWork, language: str) -> str:
    """What stands before the serialised pair in the prompt of a language."""
    return prompts.heading(work.settings.template, _locales(work).resolve(language))


@functools.lru_cache(maxsize=2)
def _guard(work: BoostWork) -> Guard:
    return Guard(work.settings.guard, _locales(work))
