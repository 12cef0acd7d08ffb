"""What scoring does around the engine: read and score a shard before it, write the rows after it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from midb_ray.corpora.corpus import Corpus, locales_of
from midb_ray.engines import requests
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import Flight, pack
from midb_ray.engines.requests import Requester
from midb_ray.pairs import TEXT, Pair, Text, heard
from midb_ray.quality import judge, measures, output, similarity, sister_tasks
from midb_ray.quality.asking import verdict
from midb_ray.quality.judge import Verdict
from midb_ray.quality.measures import Asked, Asker, Measures
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import ScoreSettings
from midb_ray.runs import shards
from midb_ray.runs.figures import Figures
from midb_ray.signals import gazetteer

_UNASKED: Final = "unasked"  # column in flight: why a model is not asked about a pair


@dataclass(frozen=True)
class ScoreWork:
    """Picklable and hashable: each process builds readers and detectors from it once and keeps them.

    `locales` are the languages' entries as JSON and `names` those that the user adds to the gazetteer, so that nodes need not have
    the user's YAML files. `loaded` is a reference to a `requests.Loaded` in Ray's store, `sisters` the folder with what pairs are
    told by theirs.
    """

    settings: ScoreSettings
    locales: str
    loaded: Any = None
    sisters: str | None = None
    names: str | None = None

    @property
    def corpus(self) -> Corpus:
        """The corpus as it is read."""
        return Corpus(self.settings, self.locales)

    def sharing(self) -> ScoreWork:
        """The same with the tokenizer of judge or measuring model in Ray's store."""
        return replace(self, loaded=requests.shared(self.settings.engine))

    def prepare(self, shard: shards.Shard) -> pa.Table:
        """Read a shard and score its pairs: one row for `flight`. Raises OSError if the shard cannot be read."""
        pairs, dead = self.corpus.read(shard)
        scorer = _scorer(self)
        told = [None] * len(pairs) if self.sisters is None else sister_tasks.read(self.sisters, shard.shard, len(pairs))
        scored = [scorer.score(pair, one) for pair, one in zip(pairs, told, strict=True)]
        columns = output.columns(*(zip(*scored, strict=True) if scored else ((), (), (), (), ())))
        asked = self._requests(pairs) if self.settings.judge.on else [None] * len(pairs)
        sources = [one.source for one in scored]
        texts = self._texts(pairs, sources) if self.settings.measures else Asked([], [None] * len(pairs))
        both = similarity.ask(pairs, sources) if self.settings.compares else similarity.Asked([], [None] * len(pairs))
        errors = [one or other for one, other in zip(texts.errors, both.errors, strict=True)]
        columns[_UNASKED] = pa.array(errors, TEXT)
        return pack(
            shard.shard,
            pairs,
            dead,
            asked,
            added=columns,
            continuations=texts.continuations,
            comparisons=both.comparisons,
        )

    def _requests(self, pairs: list[Pair]) -> list[Request | None]:
        """One request to the judge for each pair; None where the prompt is too long."""
        texts = [Text(pair.instruction, pair.input, pair.response) for pair in pairs]
        said = [heard(pair.context) for pair in pairs]
        return requests.of_pairs(_requester(self), [_heading(self, pair.language) for pair in pairs], texts, said)

    def _texts(self, pairs: list[Pair], sources: list[Text | None]) -> Asked:
        """What a model is to measure of each pair."""
        locales = locales_of(self.locales)
        return _asker(self).ask(pairs, [locales.resolve(pair.language) for pair in pairs], sources)

    def finish(self, flight: Flight, completions: list[Completion | None]) -> tuple[pa.Table, pa.Table, Figures]:
        """The rows of a shard; see `engines.actor.Work`."""
        asked = zip(flight.requests, completions, strict=True)
        judged = [judgement(request, completion) for request, completion in asked] if self.settings.judge.on else None
        pairs, found = self._found(flight)
        rows = output.rows(pairs, judged, found)
        figures = output.figures(rows, flight.dead_letters)
        figures.prompt_tokens = sum(len(one.ids or ()) for one in flight.requests if one is not None)
        figures.prompt_tokens += sum(len(one.prompt) + len(one.ids) for one in flight.continuations if one is not None)
        figures.answer_tokens = sum(one.tokens for one in completions if one is not None)
        return rows, flight.dead_letters, figures

    def _found(self, flight: Flight) -> tuple[pa.Table, list[Measures] | None]:
        """The pairs, with what follows from what models found of them, and what they found; None where none was asked."""
        settings, pairs = self.settings, flight.pairs
        if not (settings.measures or settings.compares) or not pairs.num_rows:
            return pairs, None
        errors = pairs.column(_UNASKED).to_pylist()
        found = measures.measures(flight.likelihoods, errors, settings.difficulty.on, settings.explained.on)
        texts = pairs.select(Text._fields).to_pylist()
        if settings.explained.least is not None:
            little = measures.unexplained(found, [one["response"] for one in texts], settings.explained.least)
            pairs = output.with_findings(pairs, little)
        if not settings.compares:
            return pairs, found
        near = similarity.nearness(flight.similarities)
        if settings.similarity.least is not None:
            pairs = output.with_findings(pairs, similarity.unlike(near, texts, settings.similarity.least))
        return pairs, [
            one._replace(similarity=other.cosine, error=one.error or other.error)
            for one, other in zip(found, near, strict=True)
        ]


def judgement(request: Request | None, completion: Completion | None) -> Verdict | str:
    """The verdict on a pair, or why there is none."""
    if request is None or completion is None:
        return "the prompt is too long for the judge"
    if completion.finish == "error":
        return completion.error or "the engine failed"
    return verdict(completion)


@functools.lru_cache(maxsize=2)
def _scorer(work: ScoreWork) -> Scorer:
    return Scorer(locales_of(work.locales), work.settings.source, gazetteer.load(work.names))


@functools.lru_cache(maxsize=2)
def _asker(work: ScoreWork) -> Asker:
    settings = work.settings
    loaded = requests.loaded_for(settings.engine, work.loaded)
    return Asker(loaded, settings.difficulty.on, settings.explained.on)


@functools.lru_cache(maxsize=2)
def _requester(work: ScoreWork) -> Requester:
    """The judge's; a verdict's length has nothing to do with the pair's."""
    most = work.settings.judge.tokens
    engine = work.settings.engine.model_copy(update={"max_new_tokens": most, "answer_floor": most})
    return requests.requester(engine, work.loaded)


@functools.lru_cache(maxsize=256)
def _heading(work: ScoreWork, language: str) -> str:
    """What stands before the serialised pair in the judge's prompt for a language."""
    return judge.heading(locales_of(work.locales).resolve(language))
