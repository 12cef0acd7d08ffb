"""Score a corpus: check the settings, then run the job over its shards."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from midb_ray.corpora import job, plan
from midb_ray.corpora.plan import Plan
from midb_ray.engines import comparing
from midb_ray.engines import registry as engines
from midb_ray.engines.actor import EngineBuilder
from midb_ray.engines.base import Engine
from midb_ray.engines.idle import IdleEngine
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.settings import EngineSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import UNJUDGED, UNMEASURED
from midb_ray.quality import sister_join, sister_tasks
from midb_ray.quality.asking import AskingEngine
from midb_ray.quality.output import FLAWED, SOUND
from midb_ray.quality.settings import ScoreSettings, fingerprint
from midb_ray.quality.work import ScoreWork
from midb_ray.runs import cluster, commit, folder, inputs, storage
from midb_ray.runs.figures import Figures
from midb_ray.runs.stream import Spread
from midb_ray.signals import gazetteer

logger = logging.getLogger("midb_ray")

_IDLE: Final = {"cpus_per_replica": 0.1, "cpus_per_task": 0.9}  # the preparing tasks do all the work

_MISSING: Final = {
    UNJUDGED: "The judge gave no verdict on %s of %s pairs; why stands in the column judge_error.",
    UNMEASURED: "A model did not measure %s of %s pairs; why stands in the column measure_error.",
}


def score(settings: ScoreSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend."""
    locales = load_locales(settings.locales)
    for name in (settings.language, settings.source.language):
        if name is not None:
            locales.resolve(name)
    cluster.refuse_lost(settings.output)
    files = inputs.find(settings.input, leave_out=settings.output)
    job.checked(settings.output, files)
    identity: dict[str, Any] = {}
    encoder: dict[str, Any] | None = None
    if settings.needs_engine:
        engine = engines.pinned(settings.engine, engines.check(settings.engine))
        settings, identity = settings.model_copy(update={"engine": engine}), engines.identity(engine)
    if settings.compares:
        similarity = comparing.pinned(settings.similarity)
        settings, encoder = settings.model_copy(update={"similarity": similarity}), comparing.identity(similarity)
    names = gazetteer.read(settings.gazetteer) if settings.gazetteer else {}
    work = ScoreWork(
        settings,
        json.dumps(locales.fingerprint(), ensure_ascii=False),
        names=json.dumps(names, ensure_ascii=False) if names else None,
    )
    return job.run(ScoreJob(work, fingerprint(settings, identity, locales.fingerprint(), names, encoder)), files)


@dataclass(frozen=True)
class ScoreJob:
    """See `corpora.job.Job`."""

    work: ScoreWork
    fingerprint: dict[str, Any]
    name: str = "score"
    watched: str = SOUND

    @property
    def settings(self) -> ScoreSettings:
        return self.work.settings

    @property
    def engine(self) -> str:
        if self.settings.needs_engine:
            return self.settings.engine.kind
        return "no but the encoder's" if self.settings.compares else "no"

    @property
    def rows_at_once(self) -> int:
        return engines.rows_at_once(self.settings.engine)

    @property
    def pool(self) -> PoolSettings:
        """Without a model one actor that only commits, and as many preparing tasks as there are CPUs."""
        if self.settings.needs_pool:
            return self.settings.pool
        return self.settings.pool.model_copy(update={**_IDLE, "replicas": (1,), "gpus_per_replica": 0})

    @property
    def build(self) -> EngineBuilder:
        settings = self.settings
        alone: EngineBuilder = IdleEngine
        if settings.judge.on:
            alone = functools.partial(build_judge, settings.engine, settings.judge.tries)
        elif settings.measures:
            alone = functools.partial(build_measuring, settings.engine)
        return comparing.beside(alone, settings.similarity) if settings.compares else alone

    def shared(self, run: folder.RunFolder, plan: Plan, done: npt.NDArray[np.bool_]) -> ScoreWork:
        work = self.work.sharing()
        if not self.settings.sisters.on:
            return work
        patience = self.settings.pool.storage_patience
        spread = functools.partial(cluster.map_remotely, nodes=self.pool.nodes)
        sister_join.join(run, plan, done, work.corpus, self.settings.source, patience, spread)
        return replace(work, sisters=sister_tasks.parts_of(run.uri))

    def files(self, output: str) -> list[inputs.InputFile]:
        return inputs.find(self.settings.input, leave_out=output)

    def planned(self, place: str, files: list[inputs.InputFile], first: int, spread: Spread) -> list[pa.Table]:
        return [plan.planned(self.work.corpus, place, files, first, spread)]

    def outline(self) -> list[str]:
        settings = self.settings
        told = {
            f"judge: asked up to {settings.judge.tries} times about each pair": settings.judge.on,
            "sisters: pairs with the same source_id are brought together first": settings.sisters.on,
            "difficulty: each response measured with and without its instruction": settings.difficulty.on,
            "explained: each pair that has a source measured with and without it": settings.explained.on,
            f"similarity: each pair that has a source compared with it by {settings.similarity.model}": settings.compares,
        }
        return [line for line, is_on in told.items() if is_on]

    def decisions(self, figures: Figures) -> Sequence[str]:
        return (SOUND, FLAWED)

    def facts(self, run: folder.RunFolder) -> dict[str, Any]:
        found = sister_join.counted(run.uri) if self.settings.sisters.on else None
        return {} if found is None else {"sisters": found._asdict()}

    def tell(self, run: folder.RunFolder, figures: Figures, complete: bool) -> None:
        if complete:
            sister_join.tidy(run.uri)
        found = sister_join.counted(run.uri) if self.settings.sisters.on else None
        if found is not None and sister_join.look_strange(found, figures):
            logger.warning(
                "Very many pairs lack sentences of their sisters: does the same source_id stand for the same source in all "
                "languages? If not, score without sisters.on."
            )
        if not self.settings.sisters.on and has_source_ids(run.uri):
            logger.info("Rows have a source_id: --sisters.on compares the translations of one source with each other.")
        for reason, sentence in _MISSING.items():
            if pairs := sum(counts[reason] for counts in figures.reasons.values()):
                logger.warning(sentence, f"{pairs:,}", f"{figures.rows_out:,}")


def has_source_ids(run: str) -> bool:
    """Whether there is a `source_id` and no source in the rows of the first part of a run. Raises OSError."""
    try:
        with storage.open_input(commit.part_uri(run, commit.PAIRS, 0)) as stream:
            table = pq.read_table(stream, columns=["source_id", "has_source"])
    except FileNotFoundError:
        return False
    alone = table.filter(pc.invert(table.column("has_source"))).column("source_id")
    return bool(len(alone) > alone.null_count)


def build_judge(settings: EngineSettings, tries: int) -> Engine:
    """The judge's engine, its weights loaded. Raises `UserError` when that fails."""
    return AskingEngine(engines.build(settings), tries)


def build_measuring(settings: EngineSettings) -> Engine:
    """An engine that only measures, its weights loaded: nothing is generated, so no room for that is taken. Raises `UserError` when
    that fails."""
    if settings.kind == "transformers" and settings.batching == "auto":
        settings = settings.model_copy(update={"batching": "static"})
    return engines.build(settings)
