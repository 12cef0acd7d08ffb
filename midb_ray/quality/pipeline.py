"""Score a corpus: check the settings, then run the job over its shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from midb_ray.corpora import job, plan
from midb_ray.engines.actor import EngineBuilder
from midb_ray.engines.idle import IdleEngine
from midb_ray.engines.pool_settings import ROWS_AT_ONCE, PoolSettings
from midb_ray.locales import load_locales
from midb_ray.quality.output import FLAWED, SOUND
from midb_ray.quality.settings import ScoreSettings, fingerprint
from midb_ray.quality.work import ScoreWork
from midb_ray.runs import cluster, folder, inputs
from midb_ray.runs.figures import Figures
from midb_ray.runs.stream import Spread

_IDLE: Final = {"cpus_per_replica": 0.1, "cpus_per_task": 0.9}  # the preparing tasks do all the work


def score(settings: ScoreSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend."""
    locales = load_locales(settings.locales)
    for name in (settings.language, settings.source.language):
        if name is not None:
            locales.resolve(name)
    cluster.refuse_lost(settings.output)
    files = inputs.find(settings.input, leave_out=settings.output)
    job.checked(settings.output, files)
    work = ScoreWork(settings, json.dumps(locales.fingerprint(), ensure_ascii=False))
    return job.run(ScoreJob(work, fingerprint(settings, locales.fingerprint())), files)


@dataclass(frozen=True)
class ScoreJob:
    """See `corpora.job.Job`."""

    work: ScoreWork
    fingerprint: dict[str, Any]
    name: str = "score"
    watched: str = SOUND
    engine: str = "no"
    rows_at_once: int = ROWS_AT_ONCE

    @property
    def settings(self) -> ScoreSettings:
        return self.work.settings

    @property
    def pool(self) -> PoolSettings:
        """One actor that only commits, and as many preparing tasks as there are CPUs."""
        return self.settings.pool.model_copy(update={**_IDLE, "replicas": (1,), "gpus_per_replica": 0})

    @property
    def build(self) -> EngineBuilder:
        return IdleEngine

    def shared(self) -> ScoreWork:
        return self.work

    def files(self, output: str) -> list[inputs.InputFile]:
        return inputs.find(self.settings.input, leave_out=output)

    def planned(self, place: str, files: list[inputs.InputFile], first: int, spread: Spread) -> list[pa.Table]:
        return [plan.planned(self.work.corpus, place, files, first, spread)]

    def outline(self) -> list[str]:
        return []

    def decisions(self, figures: Figures) -> Sequence[str]:
        return (SOUND, FLAWED)

    def facts(self) -> dict[str, Any]:
        return {}

    def tell(self, run: folder.RunFolder, figures: Figures, complete: bool) -> None:
        pass
