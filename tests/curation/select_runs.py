"""What the tests of selection share: scored runs, made without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from midb_ray.curation import select_output, stretches, units
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.curation.units import Work
from midb_ray.pairs import DEAD_LETTER_SCHEMA
from midb_ray.quality.output import SCORED_SCHEMA
from midb_ray.runs import commit, folder
from midb_ray.runs.figures import Figures

WORDS = ("river", "mountain", "bread", "window", "garden", "letter", "market", "winter", "bridge", "island", "doctor")


def text(number: int, length: int = 12) -> str:
    """A text that is unlike those of other numbers."""
    return " ".join(
        f"{WORDS[(number * 7 + place * place * 3) % len(WORDS)]}{number + place}" for place in range(length)
    )


def row(
    number: int, language: str = "de", score: float = 100, kinds: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """A scored pair."""
    findings = [
        {"kind": kind, "section": "response", "start": 0, "end": 1, "text": "x", "suggestion": None} for kind in kinds
    ]
    return {
        "row": f"corpus.jsonl:{number}",
        "language": language,
        "instruction": f"Describe {text(number, 4)}",
        "input": "",
        "response": text(number),
        **dict.fromkeys(("content", "translation", "localisation", "overall"), score),
        "findings": findings,
        **more,
    }


def turns(number: int, scores: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    """The pairs of one conversation."""
    return [
        row(
            100 * number + turn,
            score=score,
            **{"row": f"talk.jsonl:{number}#{turn}", "source_row": f"talk.jsonl:{number}", "turn": turn, **more},
        )
        for turn, score in enumerate(scores, 1)
    ]


def table(rows: Sequence[dict[str, Any]], schema: pa.Schema = SCORED_SCHEMA) -> pa.Table:
    """Rows with all columns, empty where nothing is given."""

    def empty(field: pa.Field) -> Any:
        if field.nullable:
            return None
        if pa.types.is_list(field.type):
            return []
        return "" if pa.types.is_large_string(field.type) else pa.scalar(0).cast(field.type).as_py()

    return pa.Table.from_pylist(
        [{field.name: one.get(field.name, empty(field)) for field in schema} for one in rows], schema=schema
    )


def scored(
    place: Path | str, rows: Sequence[dict[str, Any]], part_rows: int = 5, schema: pa.Schema = SCORED_SCHEMA
) -> str:
    """A finished run of the score job with these rows."""
    run = folder.open_run(str(place), "score", {}, {"input": ["corpus.jsonl"]})
    parts = [rows[start : start + part_rows] for start in range(0, len(rows), part_rows)] or [[]]
    total = Figures()
    for number, some in enumerate(parts):
        dead, pairs = DEAD_LETTER_SCHEMA.empty_table(), table(some, schema)
        figures = Figures.of([pairs], dead)
        for one in some:
            figures.count(one["language"], "sound", tuple({finding["kind"] for finding in one["findings"]}))
        commit.commit(run.uri, number, run.digest, pairs, dead, figures)
        total.add(figures)
    folder.write_json(
        run.uri, "summary.json", {"job": "score", "complete": True, "shards": len(parts), **total.to_dict()}
    )
    return str(place)


def work(tmp_path: Path, runs: Sequence[str], **settings: Any) -> tuple[Work, list[stretches.Stretch]]:
    """What tasks know of a selection from these runs, and its plan."""
    chosen = SelectSettings(input=tuple(runs), output=str(tmp_path / "selected"), **settings)
    found = stretches.sources(chosen.input, chosen.output)
    run = folder.open_run(chosen.output, "select", {}, {})
    columns = {one.uri: one.schema for one in found}
    return Work(chosen, columns, run, str(tmp_path / "scratch"), 3), stretches.plan(found, map)


def known(tmp_path: Path, runs: Sequence[str], **settings: Any) -> units.Units:
    """What is known of all units of these runs."""
    found, plan = work(tmp_path, runs, **settings)
    for stretch in plan:
        units.examine(found, stretch)
    return units.load(found, len(plan))


def read(run: Path | str, name: str = "pairs") -> list[dict[str, Any]]:
    """The rows of a selection that stay, or that were left out, in order."""
    plan = stretches.load(f"{run}/plan.parquet")
    found = [pa.parquet.read_table(commit.part_uri(str(run), name, stretch.number)) for stretch in plan]
    return [one for table in found for one in table.to_pylist()]


EXCLUDED = select_output.EXCLUDED
