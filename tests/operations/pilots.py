"""Folders of pilots, made without a cluster: what a boost run over some rows of a corpus would have left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.locales import load_locales
from midb_ray.pairs import BOOSTED_SCHEMA, DEAD_LETTER_SCHEMA, TURN_COLUMNS
from midb_ray.runs import commit, folder, inputs, shards
from midb_ray.runs.figures import EngineFigures, Figures

FRAME = 40  # tokens of a prompt beside its pair
SECONDS = 0.01  # of the engine for each token that it generates
START = 25.0  # seconds until it is at work


def corpus(place: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    place.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return place


def row(number: int, language: str = "de", length: int = 100) -> dict[str, Any]:
    """A row with so many characters in its three texts."""
    start = f"Frage {number}: "
    return {"instruction": start, "input": "", "output": "a" * (length - len(start)), "language": language}


def tokens(row: dict[str, Any]) -> tuple[int, int]:
    """Of the prompt and of the answer: exactly a quarter, in Japanese the whole, of the characters."""
    characters = len(row["instruction"]) + len(row["output"])
    pair = characters if row["language"] == "ja" else characters // 4
    return FRAME + pair, pair


def make(
    place: Path, given: Path, rows: Sequence[dict[str, Any]], shard_rows: int = 10, skip: Any = None, **settings: Any
) -> Path:
    """The run folder of a pilot over `rows` of the corpus `given`; `skip` says which rows the gate leaves alone."""
    engine = {"kind": "transformers", "model": "nowhere/booster"}
    chosen = BoostSettings.model_validate(
        {"input": [str(given)], "output": str(place), "engine": engine, "shard_rows": shard_rows, **settings}
    )
    identity = {"kind": "transformers"}
    printed = fingerprint(chosen, identity, load_locales(None).fingerprint())
    run = folder.open_run(str(place), "boost", printed, chosen.model_dump(mode="json"))
    shards.write_plan(f"{place}/{folder.PLAN}", [], inputs.find((str(given),)))
    up, number = 0.0, 0
    for first in range(0, len(rows), shard_rows):
        up += _commit(run, number, rows[first : first + shard_rows], skip)
        number += 1
    summary = {"complete": True, "shards": number, "spent": {"hours": (START + up) / 3600}}
    folder.write_json(run.uri, "summary.json", summary)
    return place


def _commit(run: folder.RunFolder, number: int, rows: Sequence[dict[str, Any]], skip: Any) -> float:
    """Commit a shard; the seconds that its engine took."""
    figures, found = Figures(rows_in=len(rows)), []
    engine = EngineFigures(shards=1)
    for place, row in enumerate(rows):
        skipped = skip is not None and skip(row)
        prompt, answer = tokens(row)
        decision = "skipped" if skipped else "boosted"
        figures.count(row["language"], decision, ())
        found.append(_output(f"{number}:{place}", row, decision, None if skipped else (prompt, answer)))
        if not skipped:
            figures.prompt_tokens, figures.answer_tokens = (
                figures.prompt_tokens + prompt,
                figures.answer_tokens + answer,
            )
            engine.rows, engine.tokens = engine.rows + 1, engine.tokens + answer
    engine.up_seconds = engine.busy_seconds = engine.tokens * SECONDS
    figures.engines = {("node", "actor"): engine}
    table = DEAD_LETTER_SCHEMA.empty_table()
    pairs = BOOSTED_SCHEMA.empty_table().from_pylist(found, schema=BOOSTED_SCHEMA)
    commit.commit(run.uri, number, run.digest, pairs, table, figures)
    return engine.up_seconds


def _output(name: str, row: dict[str, Any], decision: str, counts: tuple[int, int] | None) -> dict[str, Any]:
    texts = {"instruction": row["instruction"], "input": row["input"], "response": row["output"]}
    return {
        "row": f"corpus:{name}",
        "id": None,
        "source_id": None,
        "language": row["language"],
        **texts,
        **{f"raw_{key}": text for key, text in texts.items()},
        "decision": decision,
        "reasons": [],
        "distance": None,
        "repairs": [],
        "extra": None,
        "prompt_tokens": counts and counts[0],
        "answer_tokens": counts and counts[1],
        **dict.fromkeys(TURN_COLUMNS),
    }
