"""What only boosting says at the end of a run, and before it."""

from __future__ import annotations

import logging

from midb_ray.boosting.settings import BoostSettings
from midb_ray.pairs import DECISIONS
from midb_ray.runs import folder
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")

_FAILURES = ("engine_error", "engine_crash")


def decisions(settings: BoostSettings, figures: Figures) -> list[str]:
    """The decisions that are counted aloud: skipped only where something can be."""
    return [name for name in DECISIONS if name != "skipped" or settings.gate.on or figures.total(name)]


def tell_failures(run: folder.RunFolder, figures: Figures, complete: bool) -> None:
    """An engine that fails on rows leaves the books in order: say it, or nobody looks."""
    failed = {reason: sum(counts.get(reason, 0) for counts in figures.reasons.values()) for reason in _FAILURES}
    if count := sum(failed.values()):
        only = " ".join(f"kept_original:{reason}" for reason in _FAILURES if failed[reason])
        logger.warning(
            "%s kept the original because the engine failed on it or died%s",
            "1 pair" if count == 1 else f"{count:,} pairs",
            f"; --input {run.uri} --only {only} and another --output try that again." if complete else ".",
        )


def outline(settings: BoostSettings) -> list[str]:
    """What a dry run says of boosting beside input and pool."""
    lines = []
    if settings.only:
        lines.append(f"tried again: {', '.join(settings.only)}; all other rows go over as they are")
    if settings.samples > 1:
        lines.append(f"samples: {settings.samples} answers for each pair, the first that the guard accepts is taken")
    if settings.gate.on:
        lines.append(f"gate: pairs are skipped that have {settings.gate.words()}")
    return lines
