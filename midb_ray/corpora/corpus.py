"""A corpus as shards of pairs: what a shard of outside input holds, read the same way in every process."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass

from midb_ray.corpora.settings import CorpusSettings
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import Locales
from midb_ray.pairs import DeadLetter, Pair
from midb_ray.runs import shards
from midb_ray.signals.language import Identifier

TRUNCATED_FILE = "truncated_file"


@dataclass(frozen=True)
class Corpus:
    """Picklable and hashable: each process builds readers from it once and keeps them. `locales` are the languages' entries as
    JSON, so that nodes need not have the user's YAML file."""

    settings: CorpusSettings
    locales: str

    def read(self, shard: shards.Shard) -> tuple[list[Pair], list[DeadLetter]]:
        """The pairs and dead letters of a shard. Raises OSError if it cannot be read."""
        pairs: list[Pair] = []
        dead: list[DeadLetter] = []
        if shard.error is not None:
            row = f"{shard.file}:end"
            dead.append(DeadLetter(row, shard.file, shard.line + 1, None, TRUNCATED_FILE, shard.error, b""))
        for outcome in self._outcomes(shard):
            if isinstance(outcome, DeadLetter):
                dead.append(outcome)
            else:
                pairs += outcome
        return pairs, dead

    def languages(self, shard: shards.Shard) -> list[str | None]:
        """The language of each selected row of a shard, None for dead letters: what `limit` counts by. Raises `UserError` if the
        file cannot be read."""
        with shards.explained(shard):
            return [
                None if isinstance(outcome, DeadLetter) else outcome[0].language for outcome in self._outcomes(shard)
            ]

    def _outcomes(self, shard: shards.Shard) -> Iterator[list[Pair] | DeadLetter]:
        reader = _reader(self, shard.format)
        for position, line, offset, raw in shards.read(shard):
            yield reader.pairs(Record(f"{shard.file}:{position}", shard.file, line, offset, raw))


@functools.lru_cache(maxsize=4)
def locales_of(locales: str) -> Locales:
    """The languages that a run knows."""
    return Locales(json.loads(locales))


@functools.lru_cache(maxsize=8)
def _reader(corpus: Corpus, form: str) -> Reader:
    locales = locales_of(corpus.locales)
    return Reader(FORMATS[form], locales, corpus.settings.language, Identifier(locales).identify)
