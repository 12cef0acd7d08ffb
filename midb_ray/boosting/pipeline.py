"""Boost a corpus: check the settings, then run the job over its shards."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.boosting import again, card_record, plan, summary
from midb_ray.boosting.gate import Gate
from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.boosting.work import BoostWork
from midb_ray.corpora import job
from midb_ray.corpora.plan import Plan
from midb_ray.engines import registry as engines
from midb_ray.engines.actor import EngineBuilder
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.locales import Locales, load_locales
from midb_ray.runs import cluster, folder, inputs
from midb_ray.runs.figures import Figures
from midb_ray.runs.stream import Spread

logger = logging.getLogger("midb_ray")


def boost(settings: BoostSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend, before any GPU is taken where it can
    be known by then."""
    locales = load_locales(settings.locales)
    settings, files = _checked(settings, locales)
    identity = engines.identity(settings.engine)
    card_record.tell(settings.engine, identity, settings.template)
    work = BoostWork(settings, json.dumps(locales.fingerprint(), ensure_ascii=False))
    return job.run(BoostJob(work, fingerprint(settings, identity, locales.fingerprint())), files)


def _checked(settings: BoostSettings, locales: Locales) -> tuple[BoostSettings, list[inputs.InputFile]]:
    """The settings as every process can use them, and the input files; what can be known to be wrong by now is refused."""
    if settings.language is not None:
        locales.resolve(settings.language)
    Gate(settings.gate, settings.guard, locales)  # refuses languages that nobody knows
    if settings.gate.blunt:
        logger.warning(
            "gate.no_defects by itself skips nearly every pair, those that experts would revise among them: docs/boosting.md."
        )
    cluster.refuse_lost(settings.output)
    engine = engines.pinned(settings.engine, engines.check(settings.engine))
    files = _files(settings, settings.output)
    if not settings.only:
        job.checked(settings.output, files)
    return settings.model_copy(update={"engine": engine}), files


def _files(settings: BoostSettings, output: str) -> list[inputs.InputFile]:
    """The input files; an earlier run that is tried again counts as one."""
    return [again.find(settings)] if settings.only else inputs.find(settings.input, leave_out=output)


@dataclass(frozen=True)
class BoostJob:
    """See `corpora.job.Job`."""

    work: BoostWork
    fingerprint: dict[str, Any]
    name: str = "boost"
    watched: str = "boosted"

    @property
    def settings(self) -> BoostSettings:
        return self.work.settings

    @property
    def pool(self) -> PoolSettings:
        return self.settings.pool

    @property
    def engine(self) -> str:
        return self.settings.engine.kind

    @property
    def rows_at_once(self) -> int:
        return engines.rows_at_once(self.settings.engine)

    @property
    def build(self) -> EngineBuilder:
        return functools.partial(engines.build, self.settings.engine)

    def shared(self, run: folder.RunFolder, plan: Plan, done: npt.NDArray[np.bool_]) -> BoostWork:
        return self.work.sharing()

    def files(self, output: str) -> list[inputs.InputFile]:
        return _files(self.settings, output)

    def planned(self, place: str, files: list[inputs.InputFile], first: int, spread: Spread) -> list[pa.Table]:
        return plan.planned(self.work, place, files, first, spread)

    def outline(self) -> list[str]:
        return summary.outline(self.settings)

    def decisions(self, figures: Figures) -> Sequence[str]:
        return summary.decisions(self.settings, figures)

    def facts(self, run: folder.RunFolder) -> dict[str, Any]:
        settings = self.settings
        return {"again": {"run": settings.input[0], "only": list(settings.only)}} if settings.only else {}

    def tell(self, run: folder.RunFolder, figures: Figures, complete: bool) -> None:
        summary.tell_failures(run, figures, complete)
