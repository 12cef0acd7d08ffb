"""What came of a run over a corpus, or would come of it: the summary, the books, the exit code."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from midb_ray.corpora.settings import PoolJobSettings
from midb_ray.engines.caps import Account
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import ExitCode
from midb_ray.runs import attempts, commit, folder, inputs, progress, shards, storage
from midb_ray.runs.figures import Figures

logger = logging.getLogger("midb_ray")

FILE = "summary.json"


class Told(Protocol):
    """What a summary has to know of a job."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> PoolJobSettings: ...

    @property
    def engine(self) -> str:
        """The engine as a dry run names it."""
        ...

    @property
    def watched(self) -> str:
        """The decision of which progress tells the share."""
        ...

    @property
    def pool(self) -> PoolSettings:
        """The pool as the job needs it."""
        ...

    def decisions(self, figures: Figures) -> Sequence[str]:
        """The decisions that are counted aloud at the end."""
        ...

    def facts(self, run: folder.RunFolder) -> dict[str, Any]:
        """What summary.json says of the job beside figures."""
        ...

    def tell(self, run: folder.RunFolder, figures: Figures, complete: bool) -> None:
        """Say what of the outcome a user might overlook."""
        ...


def finish(run: folder.RunFolder, job: Told, total: int, rows: int, figures: Figures, account: Account) -> int:
    """Write the summary, check the books, say what came of it; returns the exit code."""
    settings = job.settings
    folder.sweep(run.uri)
    complete = figures.balanced and figures.rows_in == rows
    if complete:  # an actor that died between a commit and its tidying leaves a record that means nothing any more
        storage.delete_folder(storage.join(run.uri, attempts.FOLDER))
    share = figures.dead_letter_share
    errors, requests = figures.engine_errors
    failing = errors > settings.caps.engine_errors * requests
    within = share <= settings.max_dead_letters and not failing
    stopped = None if complete else account.reached
    spent = {key: value if value is None else round(value, 6) for key, value in account.spent._asdict().items()}
    folder.write_json(
        run.uri,
        FILE,
        {
            "job": job.name,
            "complete": complete,
            **({} if stopped is None else {"stopped": stopped}),
            "within_error_budget": within,
            "shards": total,
            "rows": rows,
            **job.facts(run),
            **figures.to_dict(),
            "spent": spent,
            "generated_tokens": figures.generated_tokens,
            "engines": engines(figures),
        },
    )
    counts = ", ".join(f"{figures.total(decision):,} {decision}" for decision in job.decisions(figures))
    logger.info(
        "%s rows in%s = %s pairs out (%s) + %s dead letters. Output: %s",
        f"{figures.rows_in:,}",
        f" + {figures.later_turns:,} later turns of conversations" if figures.later_turns else "",
        f"{figures.rows_out:,}",
        counts,
        f"{figures.dead_letters:,}",
        storage.join(run.uri, commit.PAIRS),
    )
    if figures.duplicates:
        logger.info("%s of the prompts repeated another one and were not generated again.", f"{figures.duplicates:,}")
    job.tell(run, figures, complete)
    if not rows:
        logger.info("The input has no rows: the output is empty.")
    if stopped is not None:
        progress.tell_stopped(run.uri, stopped)
        logger.warning(
            "Stopped at a cap: %s; %s of %s rows are done. The same command with a higher cap, or with what failed mended, goes on "
            "from here.",
            stopped,
            f"{figures.rows_in:,}",
            f"{rows:,}",
        )
        return ExitCode.CAPPED
    if not complete:
        logger.error("The books do not balance: %s rows were planned, %s are accounted for.", rows, figures.rows_in)
        return ExitCode.ROWS_LOST
    if share > settings.max_dead_letters:
        logger.error(
            "%.2f %% of the rows are dead letters, more than max_dead_letters (%.2f %%); see %s.",
            100 * share,
            100 * settings.max_dead_letters,
            storage.join(run.uri, commit.DEAD_LETTERS),
        )
    if failing:
        logger.error(
            "The engine failed on %s of %s requests, more than caps.engine_errors (%g) allows.",
            f"{errors:,}",
            f"{requests:,}",
            settings.caps.engine_errors,
        )
    return ExitCode.ROWS_LOST if failing or share > settings.max_dead_letters else ExitCode.OK


def engines(figures: Figures) -> list[dict[str, Any]]:
    """What each engine has done, by node and actor; `busy` is the share of its time with at least one shard at it."""
    found = []
    for told, engine in zip(figures.to_dict()["engines"], dict(sorted(figures.engines.items())).values(), strict=True):
        tokens = engine.tokens / engine.up_seconds if engine.up_seconds else 0.0
        found.append({**told, "tokens_per_second": round(tokens, 1), "busy": round(engine.busy, 4)})
    return found


def describe(
    job: Told,
    files: list[inputs.InputFile],
    tables: list[pa.Table],
    before: list[inputs.InputFile],
    outline: Sequence[str],
) -> int:
    """Say what a run would do with `files` and their plan, and that it would go on where `before` has been planned already."""
    settings = job.settings
    found = [shard for table in tables for shard in shards.from_table(table) if shard.rows]
    logger.info(
        "Dry run: %d file(s), %d shards, %s rows; %s engine in a pool of %s; output %s%s.",
        len(files),
        len(found),
        f"{sum(shard.rows for shard in found):,}",
        job.engine,
        " to ".join(map(str, job.pool.replicas)),
        settings.output,
        f", where an earlier run of {len(before)} file(s) would go on" if before else "",
    )
    for file in files:
        mine = [shard for shard in found if shard.file == file.name]
        form = mine[0].format if mine else "–"
        logger.info("  %s: %s, %d shards, %s rows", file.name, form, len(mine), f"{sum(s.rows for s in mine):,}")
    for line in outline:
        logger.info("  %s", line)
    if caps_set := settings.caps.words():
        logger.info("  caps: %s", caps_set)
    return ExitCode.OK
