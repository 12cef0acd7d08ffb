"""What boosting does around the engine: read and render a shard before it, judge the answers after it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from midb_ray import prompts
from midb_ray.boosting import again, output
from midb_ray.boosting.gate import Gate
from midb_ray.boosting.guard import Guard, Verdict, ordered
from midb_ray.boosting.settings import BoostSettings
from midb_ray.corpora.corpus import Corpus, locales_of
from midb_ray.engines import requests
from midb_ray.engines.actor import ENGINE_CRASH
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import NOTHING_FINISHED, Flight, pack
from midb_ray.engines.requests import Requester
from midb_ray.pairs import DeadLetter, Pair, Text, heard
from midb_ray.runs import shards
from midb_ray.runs.figures import Figures


@dataclass(frozen=True)
class BoostWork:
    """Picklable and hashable: each process builds readers, tokenizer and guard from it once and keeps them.

    `locales` are the languages' entries as JSON, so that nodes need not have the user's YAML file. `loaded` is a reference to a
    `requests.Loaded` in Ray's store.
    """

    settings: BoostSettings
    locales: str
    loaded: Any = None

    @property
    def corpus(self) -> Corpus:
        """The corpus as it is read."""
        return Corpus(self.settings, self.locales)

    def sharing(self) -> BoostWork:
        """The same with the tokenizer in Ray's store."""
        return replace(self, loaded=requests.shared(self.settings.engine))

    def prepare(self, shard: shards.Shard) -> pa.Table:
        """Read a shard, set aside what the gate skips, render and tokenise the prompts: one row for `flight`. Raises OSError if the
        shard cannot be read."""
        pairs, dead, finished = taken(self, shard)
        if self.settings.gate.on:
            pairs, finished = _gated(_gate(self), pairs, finished)
        texts = [Text(pair.instruction, pair.input, pair.response) for pair in pairs]
        headings = {language: _heading(self, language) for language in {pair.language for pair in pairs}}
        said = [heard(pair.context) for pair in pairs]
        found = requests.of_pairs(_requester(self), [headings[pair.language] for pair in pairs], texts, said)
        if (samples := self.settings.samples) > 1:
            found = [request and request._replace(sample=number) for request in found for number in range(samples)]
        return pack(shard.shard, pairs, dead, found, finished)

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """Judge every answer; see `engines.actor.Work`."""
        guard, table, samples = _guard(self), flight.pairs, self.settings.samples
        languages = table.column("language").to_pylist()
        texts = map(Text, *(table.column(name).to_pylist() for name in Text._fields))
        answers = list(zip(flight.requests, completions, strict=True))
        verdicts = [
            chosen(guard, text, language, answers[place * samples : (place + 1) * samples])
            for place, (text, language) in enumerate(zip(texts, languages, strict=True))
        ]
        prompt_tokens, answer_tokens = output.tokens(flight.requests, completions, samples)
        figures = output.figures(table, verdicts, flight.finished, flight.dead_letters)
        figures.prompt_tokens = sum(count or 0 for count in prompt_tokens)
        figures.answer_tokens = sum(count or 0 for count in answer_tokens)
        rows = output.judged(table, verdicts, prompt_tokens, answer_tokens)
        return output.merged(rows, flight.finished), flight.dead_letters, figures


def chosen(
    guard: Guard, raw: Text, language: str, answers: Sequence[tuple[Request | None, Completion | None]]
) -> Verdict:
    """What becomes of one pair: the first of its answers that the guard accepts, else the original with every reason for which
    one was refused."""
    refused = []
    for request, completion in answers:
        found = verdict(guard, raw, language, request, completion)
        if found.decision != "kept_original":
            return found
        refused.append(found)
    if len(refused) == 1:
        return found
    return found._replace(reasons=ordered([reason for one in refused for reason in one.reasons]))


def verdict(guard: Guard, raw: Text, language: str, request: Request | None, completion: Completion | None) -> Verdict:
    """What becomes of one pair with one answer. `request` or `completion` is None where the engine was not asked."""
    if request is None or completion is None:
        return Verdict("kept_original", ("prompt_too_long",), raw, 0)
    if completion.finish == "error":
        reason = ENGINE_CRASH if completion.error == ENGINE_CRASH else "engine_error"
        return Verdict("kept_original", (reason,), raw, 0)
    return guard.judge(raw, language, completion.text, completion.finish)


def taken(work: BoostWork, shard: shards.Shard) -> tuple[list[Pair], list[DeadLetter], pa.Table]:
    """The pairs of a shard that need an answer, its dead letters, and its other rows (with `FINISHED_SCHEMA`)."""
    if shard.layout == shards.PARTS:
        return again.read(work.settings, shard)
    return *work.corpus.read(shard), NOTHING_FINISHED


def _gated(gate: Gate, pairs: list[Pair], finished: pa.Table) -> tuple[list[Pair], pa.Table]:
    """The pairs that go on to the engine, and the finished rows with those that the gate skips among them."""
    before = set(finished.column("place").to_pylist())
    places = [place for place in range(len(pairs) + len(before)) if place not in before]
    skips = [gate.skips(pair) for pair in pairs]
    left = output.skipped(list(itertools.compress(pairs, skips)), list(itertools.compress(places, skips)))
    rest = [pair for pair, skip in zip(pairs, skips, strict=True) if not skip]
    return rest, pa.concat_tables([finished, left])


@functools.lru_cache(maxsize=2)
def _requester(work: BoostWork) -> Requester:
    return requests.requester(work.settings.engine, work.loaded)


@functools.lru_cache(maxsize=256)
def _heading(work: BoostWork, language: str) -> str:
    """What stands before the serialised pair in the prompt of a language."""
    return prompts.heading(work.settings.template, locales_of(work.locales).resolve(language))


@functools.lru_cache(maxsize=2)
def _guard(work: BoostWork) -> Guard:
    return Guard(work.settings.guard, locales_of(work.locales))


@functools.lru_cache(maxsize=2)
def _gate(work: BoostWork) -> Gate:
    return Gate(work.settings.gate, work.settings.guard, locales_of(work.locales))
