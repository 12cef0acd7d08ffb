"""What a selection writes: for each stretch the pairs that stay, as scoring wrote them, and those that were left out, with why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.curation import choice, stretches, units
from midb_ray.curation.stretches import Stretch
from midb_ray.curation.units import Work
from midb_ray.pairs import DEAD_LETTER_SCHEMA, TEXT
from midb_ray.runs import commit, folder, storage
from midb_ray.runs.figures import Figures

EXCLUDED: Final = "excluded"
"""The folder, and the decision, of pairs that were left out."""

KEPT: Final = "kept"

WHY: Final = (
    pa.field("reason", TEXT, nullable=False),
    pa.field("detail", TEXT),
    pa.field("duplicate_of", TEXT),
)
"""The columns of a pair that was left out, behind its own: a word of `choice.REASONS`; the scores that are too low, or the kinds of
findings; the row of the pair, or of the conversation, that stays in its place."""

_READERS: Final = 32


class Verdicts(NamedTuple):
    """What was decided on the units of a stretch: a verdict each, and the row of what stays in its place, null for most."""

    stretch: Stretch
    verdict: npt.NDArray[np.uint8]
    duplicate_of: pa.Array


def write(work: Work, columns: pa.Schema, verdicts: Verdicts) -> None:
    """Write a stretch of the selection: what is left out first, so that the part is done when its pairs are there. Raises OSError
    and `UserError`."""
    folder.prove_shared(work.run.uri, work.run.nonce)
    stretch = verdicts.stretch
    table = stretches.read(stretch, work.columns[stretch.run])
    unit = np.repeat(np.arange(len(verdicts.verdict)), units.sizes(table, units.starts(table)))
    verdict = verdicts.verdict[unit]
    out = verdict != choice.KEPT
    details = _details(work, table, unit)
    left = stretches.aligned(table, columns).filter(pa.array(out))
    places = pa.array(unit[out])
    reasons = pa.array(choice.REASONS).take(pa.array(verdict[out].astype(np.int64)))
    why = [
        reasons.cast(TEXT),
        pa.array(
            [details.get((one, of)) for one, of in zip(unit[out].tolist(), verdict[out].tolist(), strict=True)], TEXT
        ),
        verdicts.duplicate_of.take(places),
    ]
    excluded = pa.Table.from_arrays([*left.columns, *why], schema=pa.schema([*columns, *WHY]))
    kept = stretches.aligned(table.filter(pa.array(~out)), columns)
    commit.write(work.run.uri, EXCLUDED, stretch.number, work.run.digest, excluded, _figures(excluded, EXCLUDED))
    figures = _figures(kept, KEPT)
    commit.commit(work.run.uri, stretch.number, work.run.digest, kept, DEAD_LETTER_SCHEMA.empty_table(), figures)


def done(run: folder.RunFolder, plan: list[Stretch]) -> tuple[npt.NDArray[np.bool_], Figures]:
    """Which stretches are written, and their figures, from the footers of their files: both are there, are of this run's settings,
    and count between them the rows that were planned. Raises OSError."""
    found = np.zeros(len(plan), bool)
    total = Figures()
    written = {commit.shard_of(file.uri) for file in storage.list_files(storage.join(run.uri, commit.PAIRS))}
    numbers = [stretch.number for stretch in plan if stretch.number in written]
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        for number, both in zip(numbers, threads.map(lambda number: _footers(run, number), numbers), strict=True):
            if None not in both and sum(one.rows_out for one in both if one) == plan[number].rows:
                found[number] = True
                for one in both:
                    total.add(one or Figures())
    return found, total


def _details(work: Work, table: pa.Table, unit: npt.NDArray[np.int64]) -> dict[tuple[int, int], str]:
    """By unit and verdict: the scores that are below the lowest, and the kinds of findings that exclude."""
    settings = work.settings
    told: dict[tuple[int, int], str] = {}
    causes = [(choice.THRESHOLD, name, units.below(table, settings, name)) for name in sorted(settings.lowest)]
    causes += [(choice.FINDING, kind, units.found(table, [kind])) for kind in sorted(set(settings.without))]
    for verdict, name, rows in causes:
        for one in np.unique(unit[rows]).tolist():
            told[one, verdict] = f"{told[one, verdict]} {name}" if (one, verdict) in told else name
    return told


def _figures(table: pa.Table, decision: str) -> Figures:
    """The counts of one file: pairs by language, and of those that were left out the reasons."""
    found = Figures.of([table], DEAD_LETTER_SCHEMA.empty_table())
    languages = table.column("language").to_pylist()
    reasons = table.column("reason").to_pylist() if decision == EXCLUDED else [None] * table.num_rows
    for language, reason in zip(languages, reasons, strict=True):
        found.count(language, decision, () if reason is None else (reason,))
    return found


def _footers(run: folder.RunFolder, number: int) -> list[Figures | None]:
    return [_footer(run, name, number) for name in (commit.PAIRS, EXCLUDED)]


def _footer(run: folder.RunFolder, name: str, number: int) -> Figures | None:
    """What a file counts, if it is whole, of this run's settings, and has as many rows as it counts. Raises OSError."""
    found = commit.read_part(run.uri, number, name)
    is_ours = found is not None and found.digest == run.digest and found.figures.rows_out == found.rows
    return found.figures if found is not None and is_ours else None
