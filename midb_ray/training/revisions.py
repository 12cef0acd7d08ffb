"""Expert revisions, read from any of the formats that have a revised side."""

from __future__ import annotations

import logging
from collections import Counter

from midb_ray.errors import UserError
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import detect
from midb_ray.locales import Locales
from midb_ray.pairs import Revision
from midb_ray.runs import inputs, planning, shards

logger = logging.getLogger("midb_ray")


def read(paths: tuple[str, ...], locales: Locales) -> list[Revision]:
    """All revisions in the files, in their order. Rows without a usable revision are counted and told by reason.

    Raises `UserError` for files that cannot be read or have no revised side, and when nothing is left.
    """
    revisions: list[Revision] = []
    left_out: Counter[str] = Counter()
    for file in inputs.find(paths):
        layout, compression = inputs.layout(file)
        if compression != "none":
            raise UserError(f"{file.name} is compressed; unpack the revisions first.")
        rows = inputs.first_rows(file.uri, layout)
        if not rows:
            continue
        form = detect(rows)
        if form.revised is None:
            raise UserError(f"{file.name} holds {form.name} rows without a revised side; expected expert revisions.")
        reader = Reader(form, locales)
        tasks = planning.scans(file, file.uri, layout, form.name, 10_000, 1.0, None)
        for shard in planning.assemble(tasks, map(planning.scan, tasks)):
            for position, line, offset, raw in shards.read(shard):
                outcome = reader.revision(Record(f"{file.name}:{position}", file.name, line, offset, raw))
                if isinstance(outcome, Revision):
                    revisions.append(outcome)
                else:
                    left_out[outcome.reason] += 1
    if left_out:
        logger.warning("%d rows left out: %s", left_out.total(), ", ".join(f"{n} {why}" for why, n in left_out.items()))
    if not revisions:
        raise UserError(f"No revisions in {', '.join(paths)}; expected rows with a raw and a revised side.")
    return revisions
