"""What boosting does around the engine: read and render a shard before it, judge the answers after it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
from midb_ray.pairs import BOOSTED_SCHEMA, DeadLetter, Pair, Text
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
        headings = {language: _heading(self, language) for language in {pair.language for pair in pairs}}
        found = requests(_requester(self), [headings[pair.language] for pair in pairs], texts)
        return pack(shard.shard, pairs, dead, found)

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """Judge every answer; see `engines.actor.Work`."""
        guard, table = _guard(self), flight.pairs
        languages = table.column("language").to_pylist()
        texts = map(Text, *(table.column(name).to_pylist() for name in Text._fields))
        judged = zip(texts, languages, flight.requests, completions, strict=True)
        verdicts = [verdict(guard, *one) for one in judged]
        prompt_tokens = [
            None if request is None or request.ids is None else len(request.ids) for request in flight.requests
        ]
        answer_tokens = [None if completion is None else completion.tokens for completion in completions]
        figures = Figures(rows_in=len(verdicts) + flight.dead_letters.num_rows)
        for language, found in zip(languages, verdicts, strict=True):
            figures.count(language, found.decision, found.reasons)
        figures.prompt_tokens = sum(count or 0 for count in prompt_tokens)
        figures.answer_tokens = sum(count or 0 for count in answer_tokens)
        figures.dead_letters = flight.dead_letters.num_rows
        figures.dead_letter_reasons.update(flight.dead_letters.column("reason").to_pylist())
        return _output(table, verdicts, prompt_tokens, answer_tokens), flight.dead_letters, figures


def requests(requester: Requester, headings: list[str], texts: list[Text]) -> list[Request | None]:
    """One request for each pair, under the heading of its language; None where the prompt is too long."""
    serialised = [prompts.serialise(text) for text in texts]
    rendered = [f"{heading}{text}" for heading, text in zip(headings, serialised, strict=True)]
    return requester.requests(rendered, serialised)


def verdict(guard: Guard, raw: Text, language: str, request: Request | None, completion: Completion | None) -> Verdict:
    """What becomes of one pair. `request` or `completion` is None where the engine was not asked."""
    if request is None or completion is None:
        return Verdict("kept_original", ("prompt_too_long",), raw, 0)
    if completion.finish == "error":
        reason = ENGINE_CRASH if completion.error == ENGINE_CRASH else "engine_error"
        return Verdict("kept_original", (reason,), raw, 0)
    return guard.judge(raw, language, completion.text, completion.finish)


def read(work: BoostWork, shard: shards.Shard) -> tuple[list[Pair], list[DeadLetter]]:
    """The pairs and dead letters of a shard."""
    pairs: list[Pair] = []
    dead: list[DeadLetter] = []
    if shard.error is not None:
        row = f"{shard.file}:end"
        dead.append(DeadLetter(row, shard.file, shard.line + 1, None, TRUNCATED_FILE, shard.error, b""))
    for outcome in _outcomes(work, shard):
        if isinstance(outcome, Pair):
            pairs.append(outcome)
        else:
            dead.append(outcome)
    return pairs, dead


def languages(work: BoostWork, shard: shards.Shard) -> list[str | None]:
    """The language of each selected row of a shard, None for dead letters: what `limit` counts by."""
    return [outcome.language if isinstance(outcome, Pair) else None for outcome in _outcomes(work, shard)]


def _outcomes(work: BoostWork, shard: shards.Shard) -> Iterator[Pair | DeadLetter]:
    reader = _reader(work, shard.format)
    for position, line, offset, raw in shards.read(shard):
        yield reader.pair(Record(f"{shard.file}:{position}", shard.file, line, offset, raw))


def _output(
    pairs: pa.Table, verdicts: list[Verdict], prompt_tokens: list[int | None], answer_tokens: list[int | None]
) -> pa.Table:
    """The table of `BOOSTED_SCHEMA`; columns that nothing changes are those of `pairs`."""
    decisions, reasons, final, distances = zip(*verdicts, strict=True) if verdicts else ((), (), (), ())
    columns: dict[str, Any] = {
        **{name: pairs.column(name) for name in ("row", "id", "source_id", "language", "repairs", "extra")},
        **{f"raw_{name}": pairs.column(name) for name in Text._fields},
        **dict(zip(Text._fields, zip(*final, strict=True) if final else ((), (), ()), strict=True)),
        "decision": decisions,
        "reasons": reasons,
        "distance": distances,
        "prompt_tokens": prompt_tokens,
        "answer_tokens": answer_tokens,
    }
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, type=field.type)
        for field in BOOSTED_SCHEMA
        for column in [columns[field.name]]
    ]
    return pa.Table.from_arrays(arrays, schema=BOOSTED_SCHEMA)


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
