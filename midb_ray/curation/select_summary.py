"""What came of a selection, or would come of it: the books, the summary, the exit code."""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from typing import Any, Final

from midb_ray.curation import stretches
from midb_ray.curation.choice import REASONS
from midb_ray.curation.select_output import EXCLUDED, KEPT
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.curation.stretches import Source, Stretch
from midb_ray.errors import ExitCode
from midb_ray.runs import commit, folder, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")

FILE: Final = "summary.json"


def finish(run: folder.RunFolder, plan: list[Stretch], written: bool, figures: Figures) -> int:
    """Write the summary from the `figures` that all files have in their footers, and say what came of it; returns the exit code."""
    rows = sum(stretch.rows for stretch in plan)
    kept, excluded = figures.total(KEPT), figures.total(EXCLUDED)
    complete = written and kept + excluded == rows
    folder.write_json(
        run.uri,
        FILE,
        {
            "job": "select",
            "complete": complete,
            "shards": len(plan),
            "rows": rows,
            "rows_in": kept + excluded,
            "rows_out": kept,
            "excluded": excluded,
            "dead_letters": 0,
            "languages": _by_language(figures),
            "reasons": {reason: count for reason in REASONS if (count := _total(figures, reason))},
        },
    )
    reasons = ", ".join(f"{count:,} {reason}" for reason in REASONS if (count := _total(figures, reason)))
    logger.info(
        "%s pairs in = %s kept + %s excluded%s. Output: %s",
        f"{rows:,}",
        f"{kept:,}",
        f"{excluded:,}",
        f" ({reasons})" if reasons else "",
        storage.join(run.uri, commit.PAIRS),
    )
    if not rows:
        logger.info("The runs have no pairs: the selection is empty.")
    elif not kept:
        logger.warning(
            "Nothing is left: no pair passed; see the column `reason` in %s.", storage.join(run.uri, EXCLUDED)
        )
    if complete:
        return ExitCode.OK
    logger.error("The books do not balance: %s pairs were read, %s are accounted for.", rows, kept + excluded)
    return ExitCode.ROWS_LOST


def describe(settings: SelectSettings, runs: list[Source], goes_on: bool) -> int:
    """Say what would be read and by which rules it would be chosen."""
    logger.info(
        "Dry run: %d run(s); output %s%s.",
        len(runs),
        settings.output,
        ", where an earlier run would go on" if goes_on else "",
    )
    for run in runs:
        told = stretches.languages([run])
        shown = ", ".join(f"{count:,} {language}" for language, count in sorted(told.items())) or "none"
        logger.info("  %s: %s pairs (%s)", run.name, f"{sum(told.values()):,}", shown)
    for line in rules(settings):
        logger.info("  %s", line)
    return ExitCode.OK


def tell_unknown(settings: SelectSettings, runs: list[Source]) -> None:
    """Warn of kinds of findings that no pair has: one of them may be misspelt."""
    seen = {kind for run in runs for counts in stretches.told(run, "reasons").values() for kind in counts}
    for kind in sorted(set(settings.without) - seen):
        near = difflib.get_close_matches(kind, sorted(seen), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"found were {', '.join(sorted(seen)) or 'none'}."
        logger.warning("without: no pair of these runs has a finding %r; %s", kind, hint)


def rules(settings: SelectSettings) -> list[str]:
    """The rules that are on, in the order in which they are applied."""
    diversity = settings.diversity
    near = f"alike to {settings.near_duplicates:g} or more" if settings.near_duplicates is not None else "the same"
    most = [f"{diversity.share:.1%}"] if diversity.share is not None else []
    most += [f"{diversity.pairs:,} pairs"] if diversity.pairs is not None else []
    rules = [f"{name} at least {value:g}" for name, value in settings.lowest.items()]
    rules += [f"without {' '.join(sorted(set(settings.without)))}"] if settings.without else []
    rules += [f"of pairs that are {near} the best by {settings.by}"] if settings.finds_duplicates else []
    rules += [f"of a cluster at most {' and '.join(most)} of a language"] if diversity.on else []
    rules += [f"of each language the best {settings.keep:.1%} by {settings.by}"] if settings.keep < 1 else []
    rules += [f"of each language at most {settings.limit:,} pairs"] if settings.limit is not None else []
    return rules or ["every pair is kept"]


def _by_language(figures: Figures) -> dict[str, Any]:
    """For each language its pairs, those kept, those excluded, and why."""
    return {
        language: {
            "rows": counts[KEPT] + counts[EXCLUDED],
            KEPT: counts[KEPT],
            EXCLUDED: counts[EXCLUDED],
            "reasons": dict(sorted(figures.reasons.get(language, Counter()).items())),
        }
        for language, counts in sorted(figures.decisions.items())
    }


def _total(figures: Figures, reason: str) -> int:
    return sum(counts[reason] for counts in figures.reasons.values())
