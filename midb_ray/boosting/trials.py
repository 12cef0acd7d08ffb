"""Trying a booster: validation rows go the way of the boost job, and what comes of each is kept."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from midb_ray import prompts
from midb_ray.boosting.guard import Guard, Verdict, parsed
from midb_ray.boosting.work import verdict
from midb_ray.engines import registry as engines
from midb_ray.engines import requests
from midb_ray.engines.base import Completion, Engine, EngineError, Request
from midb_ray.engines.requests import Requester
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError, one_line
from midb_ray.locales import Locales
from midb_ray.pairs import Text
from midb_ray.runs import storage, transfer

_RAW = tuple(f"raw_{name}" for name in Text._fields)


class Trial(NamedTuple):
    """A validation row that a booster is tried on; `language` is its BCP-47 tag."""

    language: str
    raw: Text
    expert: Text


class Outcome(NamedTuple):
    """What came of a trial: the guard's verdict, the answer if it parses, and whether it ended at the token limit."""

    verdict: Verdict
    answer: Text | None
    truncated: bool


def choose(validation: str, rows: int, locales: Locales) -> list[Trial]:
    """At most so many rows of each language, by language: those with the smallest hash (xxh3) of their `row`, so the same ones in
    any order of the file. Raises `UserError` for a file that is no validation set."""
    names = ["row", "language", *_RAW, *Text._fields]
    try:
        with storage.open_input(validation) as stream:
            file = pq.ParquetFile(stream)
            if missing := [name for name in names if name not in file.schema_arrow.names]:
                raise UserError(f"The validation set {validation} has no column {missing[0]!r}; expected revisions.")
            table = file.read(columns=names)
    except (OSError, pa.ArrowException) as error:
        raise storage.explain(error, validation, "read the validation set") from None
    for name in names:
        column = table.column(name)
        if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UserError(f"The validation set {validation} has rows without text in the column {name!r}.")
    found = [
        (locales.resolve(row["language"]).tag, xxhash.xxh3_64_intdigest(row["row"].encode()), row["row"], row)
        for row in table.to_pylist()
    ]
    taken: Counter[str] = Counter()
    chosen = []
    for language, _, _, row in sorted(found, key=lambda one: one[:3]):
        taken[language] += 1
        if taken[language] <= rows:
            raw, expert = Text(*(row[name] for name in _RAW)), Text(*(row[name] for name in Text._fields))
            chosen.append(Trial(language, raw, expert))
    return chosen


@contextlib.contextmanager
def directory(booster: str) -> Iterator[str]:
    """The booster's directory on this machine, for object stores a copy as long as the block lasts."""
    if storage.is_local(booster):
        yield storage.absolute(booster)
        return
    with tempfile.TemporaryDirectory(prefix="booster-") as scratch:
        try:
            if not storage.list_files(booster):
                raise UserError(f"There is no booster at {booster}.")
            transfer.download(booster, Path(scratch))
        except OSError as error:
            raise storage.explain(error, booster, "copy the booster from") from None
        try:
            yield scratch
        except UserError as error:
            raise UserError(str(error).replace(scratch, booster)) from None


def attempt(
    trials: Sequence[Trial], template: prompts.Template, locales: Locales, settings: EngineSettings, guard: Guard
) -> list[Outcome]:
    """What comes of the trials with the engine of `settings`. Raises `UserError` for a model that cannot be used, and `EngineError`
    where the engine is lost."""
    engines.check(settings)
    headings = {
        language: prompts.heading(template, locales.resolve(language))
        for language in {trial.language for trial in trials}
    }
    asked = requests.of_pairs(
        Requester(settings), [headings[trial.language] for trial in trials], [trial.raw for trial in trials]
    )
    engine = engines.build(settings)
    try:
        answers = iter(asyncio.run(_complete(engine, [request for request in asked if request is not None])))
    finally:
        engine.close()
    completions = [None if request is None else next(answers) for request in asked]
    return [
        Outcome(
            verdict(guard, trial.raw, trial.language, request, completion),
            None if completion is None or completion.finish == "error" else _parsed(trial.raw, completion.text),
            completion is not None and completion.finish == "length",
        )
        for trial, request, completion in zip(trials, asked, completions, strict=True)
    ]


async def _complete(engine: Engine, asked: Sequence[Request]) -> list[Completion]:
    """One completion for each request; where the engine raises for some, each goes alone."""
    try:
        return await engine.generate(asked)
    except EngineError:
        raise
    except Exception as error:
        if len(asked) == 1:
            return [Completion("", "error", 0, one_line(error))]
    return [completion for request in asked for completion in await _complete(engine, [request])]


def _parsed(raw: Text, answer: str) -> Text | None:
    """The pair in an answer as the guard reads it; None if there is none."""
    try:
        return parsed(raw, answer)
    except prompts.AnswerError:
        return None
