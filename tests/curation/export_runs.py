"""What the tests of the export share: finished runs, made without a cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from midb_ray.pairs import BOOSTED_SCHEMA, DEAD_LETTER_SCHEMA, PAIR_SCHEMA, TURN_COLUMNS, DeadLetter, rows_to_table
from midb_ray.runs import commit, folder
from midb_ray.runs.figures import Figures

SCORED_SCHEMA = pa.schema(
    [
        *PAIR_SCHEMA,
        *(
            pa.field(name, pa.float32(), nullable=False)
            for name in ("content", "translation", "localisation", "overall")
        ),
        pa.field("has_source", pa.bool_(), nullable=False),
    ]
)
DECISIONS = ("boosted", "unchanged", "kept_original", "boosted")
LANGUAGES = ("de", "fr", "ja")


def boosted_row(number: int, **changed: Any) -> dict[str, Any]:
    """An output row of boost. Of the boosted ones every other has the raw response still, and another instruction."""
    decision = DECISIONS[number % len(DECISIONS)]
    raw = {
        "instruction": f"Frage {number}?",
        "input": "Text" if number % 5 == 0 else "",
        "response": f"Roh {number} ü😀",
    }
    final = dict(raw)
    if decision == "boosted":
        final["response" if number % 8 < 4 or number % 4 == 0 else "instruction"] += " besser"
    return {
        "row": f"corpus.jsonl:{number + 1}",
        "id": f"id-{number}" if number % 3 else None,
        "source_id": None,
        "language": LANGUAGES[number % len(LANGUAGES)],
        **final,
        **{f"raw_{name}": text for name, text in raw.items()},
        "decision": decision,
        "reasons": [],
        "distance": 0,
        "prompt_tokens": None,
        "answer_tokens": None,
        "repairs": [],
        "extra": json.dumps({"topic": number}),
        **dict.fromkeys(TURN_COLUMNS),
        **changed,
    }


def scored_row(number: int, **changed: Any) -> dict[str, Any]:
    """An output row of score, whose pair came from an earlier boost."""
    boosted = boosted_row(number)
    previous = {
        key: one for key, one in boosted.items() if key.startswith("raw_") or key in ("row", "decision", "distance")
    }
    scores = {name: float(50 + number % 50) for name in ("content", "translation", "localisation", "overall")}
    kept = {key: one for key, one in boosted.items() if key in PAIR_SCHEMA.names}
    extra = json.dumps({"topic": number, "previous": previous})
    return {**kept, **scores, "has_source": False, "row": f"boosted:{number}", "extra": extra, **changed}


def finished(
    place: Path, rows: Sequence[dict[str, Any]], job: str = "boost", part_rows: int = 7, **settings: Any
) -> Path:
    """A complete run with these rows; its first part has a dead letter."""
    locales = {"locales": settings.pop("locales")} if "locales" in settings else {}
    run = folder.open_run(str(place), job, locales, {"input": ["corpus.jsonl"], **settings})
    whole = Figures()
    schema = BOOSTED_SCHEMA if job == "boost" else SCORED_SCHEMA
    parts = [rows[start : start + part_rows] for start in range(0, len(rows), part_rows)] or [[]]
    for part, found in enumerate(parts):
        letter = DeadLetter("dead.jsonl:1", "dead.jsonl", 1, 7, "invalid_json", "no JSON", b"{")
        dead = rows_to_table([letter] if part == 0 else [], DEAD_LETTER_SCHEMA)
        table = pa.Table.from_pylist(list(found), schema=schema)
        figures = Figures.of([table], dead)
        for row in found:
            figures.count(row["language"], row.get("decision", "sound"), ())
        commit.commit(run.uri, part, run.digest, table, dead, figures)
        whole.add(figures)
    folder.write_json(run.uri, "summary.json", {"complete": True, "shards": len(parts), **whole.to_dict()})
    return place


def turns_of(number: int, answers: Sequence[str], **changed: Any) -> list[dict[str, Any]]:
    """The output rows of a conversation that begins with a system turn, one for each answer."""
    said: list[dict[str, Any]] = [{"role": "system", "content": "Sois bref."}]
    for _ in answers:
        said += [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    frame = {"turns": said, "answers": list(range(2, len(said), 2))}
    rows = []
    for turn, answer in enumerate(answers, start=1):
        row = boosted_row(number, row=f"talk.jsonl:{number}#{turn}", source_row=f"talk.jsonl:{number}", turn=turn)
        texts = {"instruction": f"Question {turn} ?", "input": "", "response": answer, "raw_response": f"brut {turn}"}
        row.update(
            texts, language="fr", decision="boosted", extra=None, raw_instruction=texts["instruction"], raw_input=""
        )
        rows.append({**row, **changed})
    rows[0]["extra"] = json.dumps({"messages": frame, "topic": "talk"})
    return rows
