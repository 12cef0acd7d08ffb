"""What the tests of trying again share: a finished run, made without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from midb_ray.pairs import BOOSTED_SCHEMA, DEAD_LETTER_SCHEMA, TURN_COLUMNS, DeadLetter, rows_to_table
from midb_ray.runs import commit, folder
from midb_ray.runs.figures import Figures

KINDS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("boosted", ()),
    ("kept_original", ("truncated",)),
    ("unchanged", ()),
    ("kept_original", ("lost_number", "truncated")),
    ("kept_original", ("engine_error",)),
    ("skipped", ()),
)
"""Decision and reasons of one row after the other, from the first on again."""


def output_row(number: int, language: str = "de") -> dict[str, Any]:
    """An output row; a boosted one has an exclamation mark more than its raw pair."""
    decision, reasons = KINDS[number % len(KINDS)]
    raw = (
        f"Erkläre in einem Satz, was Regel Nummer {number} bedeutet.",
        "",
        f"Die Regel {number} besagt,  dass man  im Haus leise sein und auf die Nachbarn achten soll",
    )
    names = ("instruction", "input", "response")
    final = (*raw[:2], f"{raw[2]}!") if decision == "boosted" else raw
    return {
        "row": f"corpus.jsonl:{number + 1}",
        "id": f"id-{number}",
        "source_id": None,
        "language": language,
        **dict(zip(names, final, strict=True)),
        **{f"raw_{name}": text for name, text in zip(names, raw, strict=True)},
        "decision": decision,
        "reasons": list(reasons),
        "distance": 1 if decision == "boosted" else None if decision == "skipped" else 0,
        "prompt_tokens": 100 + number,
        "answer_tokens": 10 + number,
        "repairs": ["response: NUL removed"] if number % 7 == 0 else [],
        "extra": f'{{"topic": {number}}}',
        **dict.fromkeys(TURN_COLUMNS),
    }


def finished_run(
    place: Path, rows: int, shard_rows: int, dead_every: int = 0, languages: Sequence[str] = ("de",)
) -> Path:
    """A complete boost run with so many pairs; each `dead_every`th shard has a dead letter too."""
    run = folder.open_run(str(place), "boost", {}, {})
    whole = Figures()
    starts = range(0, rows, shard_rows)
    for shard, start in enumerate(starts):
        found = [output_row(n, languages[n % len(languages)]) for n in range(start, min(start + shard_rows, rows))]
        letter = DeadLetter(f"dead.jsonl:{shard}", "dead.jsonl", shard, 7, "invalid_json", "no JSON", b"\xff{")
        dead = [letter] if dead_every and shard % dead_every == 0 else []
        figures = Figures(rows_in=len(found) + len(dead), dead_letters=len(dead))
        for row in found:
            figures.count(row["language"], row["decision"], tuple(row["reasons"]))
        tables = (pa.Table.from_pylist(found, schema=BOOSTED_SCHEMA), rows_to_table(dead, DEAD_LETTER_SCHEMA))
        commit.commit(run.uri, shard, run.digest, *tables, figures)
        whole.add(figures)
    folder.write_json(run.uri, "summary.json", {"complete": True, "shards": len(starts), **whole.to_dict()})
    return place
