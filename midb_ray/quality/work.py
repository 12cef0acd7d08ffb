"""What scoring does around the engine: read and score a shard before it, write the rows after it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pyarrow as pa

from midb_ray.corpora.corpus import Corpus, locales_of
from midb_ray.engines.base import Completion
from midb_ray.engines.flight import Flight, pack
from midb_ray.quality import output
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import ScoreSettings
from midb_ray.runs import shards
from midb_ray.runs.figures import Figures


@dataclass(frozen=True)
class ScoreWork:
    """Picklable and hashable: each process builds readers and detectors from it once and keeps them. `locales` are the languages'
    entries as JSON, so that nodes need not have the user's YAML file."""

    settings: ScoreSettings
    locales: str

    @property
    def corpus(self) -> Corpus:
        """The corpus as it is read."""
        return Corpus(self.settings, self.locales)

    def prepare(self, shard: shards.Shard) -> pa.Table:
        """Read a shard and score its pairs: one row for `flight`. Raises OSError if the shard cannot be read."""
        pairs, dead = self.corpus.read(shard)
        scorer = _scorer(self)
        scored = [scorer.score(pair) for pair in pairs]
        columns = output.columns(*zip(*scored, strict=True)) if scored else {}
        return pack(shard.shard, pairs, dead, [None] * len(pairs), added=columns)

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """The rows of a shard; see `engines.actor.Work`."""
        rows = output.rows(flight.pairs)
        return rows, flight.dead_letters, output.figures(rows, flight.dead_letters)


@functools.lru_cache(maxsize=2)
def _scorer(work: ScoreWork) -> Scorer:
    return Scorer(locales_of(work.locales), work.settings.source)
