"""The shards of a boost run: of a corpus, or of an earlier run of which some pairs are tried again."""

from __future__ import annotations

import json
import logging

import pyarrow as pa

from midb_ray.boosting import again, gate
from midb_ray.boosting.work import BoostWork, taken
from midb_ray.corpora import plan
from midb_ray.corpora.corpus import locales_of
from midb_ray.errors import UserError
from midb_ray.formats.records import keys_found
from midb_ray.runs import shards, storage
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.stream import Spread

logger = logging.getLogger("midb_ray")

_LOOKED_AT = 8  # shards in which a column is looked for


def planned(work: BoostWork, place: str, files: list[InputFile], first: int, spread: Spread) -> list[pa.Table]:
    """The shards of these files, or of the one earlier run among them; see `corpora.plan.Planner`."""
    table = (
        _again(work, files[0], spread) if work.settings.only else plan.planned(work.corpus, place, files, first, spread)
    )
    _refuse_blind_gate(work, table)
    return [table]


def _again(work: BoostWork, run: InputFile, spread: Spread) -> pa.Table:
    """The shards of a run that tries pairs of an earlier one again. Raises `UserError` for languages that are not known here."""
    logger.info("Looking for %s in %s…", " or ".join(work.settings.only), run.name)
    parts = (part for some in spread(again.look, again.stretches(run, work.settings)) for part in some)
    return shards.to_table(again.plan(run, parts, work.settings, locales_of(work.locales)))


def _refuse_blind_gate(work: BoostWork, table: pa.Table) -> None:
    """Raise `UserError` if the gate compares a column that seems not to exist: it would skip nothing, and nobody would know."""
    column = work.settings.gate.column
    if column is None:
        return
    keys: dict[str, None] = {}
    looked_at = 0
    for place in range(0, table.num_rows, max(table.num_rows // _LOOKED_AT, 1)):
        (shard,) = shards.from_table(table.slice(place, 1))
        try:
            pairs = taken(work, shard)[0] if shard.rows else []
        except OSError as error:
            raise storage.explain(error, shard.uri, "read") from None
        for pair in pairs:
            if gate.number(pair.extra, column) is not None:
                return
            looked_at += 1
            keys.update(dict.fromkeys(json.loads(pair.extra or "{}")))
    if looked_at:
        raise UserError(
            f"None of {looked_at} rows that were looked at has a number in the column {column!r} (gate.column); {keys_found(keys)}."
        )
