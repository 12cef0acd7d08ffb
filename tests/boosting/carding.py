"""What the tests of booster cards share: pairs that the echo engine mends as an expert would, and cards of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.boosting.card import CardTask
from midb_ray.engines.settings import EngineSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text

ECHO = EngineSettings(kind="echo")
LOCALES = load_locales()


def pair(number: int, end: str = "") -> Text:
    """A German pair; echo mends a missing full stop."""
    asked = f"Erkläre in einem Satz, was Regel Nummer {number} bedeutet."
    return Text(
        asked, "", f"Die Regel {number} besagt, dass man im Haus leise sein und auf die Nachbarn achten soll{end}"
    )


def row(number: int, raw: Text, expert: Text, language: str = "de") -> dict[str, Any]:
    sides = {**{f"raw_{name}": text for name, text in raw._asdict().items()}, **expert._asdict()}
    return {"row": f"a.jsonl:{number}", "language": language, **sides}


def write_set(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def task(folder: Path, content: Sequence[dict[str, Any]], **changes: Any) -> CardTask:
    """A card of 16 rows with echo for the booster."""
    booster = folder / "booster"
    booster.mkdir(exist_ok=True)
    values = {
        "booster": str(booster),
        "validation": write_set(folder / "validation.parquet", content),
        "rows": 16,
        "template": "locale",
        "locales": LOCALES,
        "engine": ECHO,
    }
    return CardTask(**{**values, **changes})


def mended(count: int, language: str = "de", first: int = 0) -> list[dict[str, Any]]:
    """Rows of which echo makes what the expert made."""
    return [row(number, pair(number), pair(number, "."), language) for number in range(first, first + count)]
