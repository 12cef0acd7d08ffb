"""What the tests of the guard share: pairs about tea, the package's own revisions, and what the guard says to an answer."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise

LOCALES = load_locales()
GUARD = Guard(GuardSettings(), LOCALES)

GERMAN = Text(
    "Erkläre in 3 Sätzen, wie man Tee kocht.",
    "Sorte: Grüntee, 80 Grad",
    "Man erhitzt das Wasser auf 80 Grad. Dann gießt man es über die Blätter. Nach 2 Minuten nimmt man das Sieb heraus.",
)
REVISED = "Erhitze das Wasser auf 80 Grad und gieße es über die Blätter. Lass den Tee 2 Minuten ziehen. Nimm dann das Sieb heraus."
ENGLISH = "Heat the water to 80 degrees and pour it over the leaves. Let the tea steep for 2 minutes. Then take out the strainer."
THAI = "ต้มน้ำให้ได้ 80 องศาแล้วเทลงบนใบชา ทิ้งไว้ 2 นาที จากนั้นนำที่กรองออก"
PLAIN = GERMAN._replace(input="")
TEA = Text(
    "Explain how tea is made.",
    "",
    "Tea is made by heating water to 80 degrees and pouring it over the leaves. Wait two minutes.",
)


def reasons(raw: Text, revised: Text, language: str = "de", guard: Guard = GUARD) -> tuple[str, ...]:
    """Why the guard refuses the answer `revised`; nothing where it accepts it."""
    verdict = guard.judge(raw, language, serialise(revised), "stop")
    assert verdict.text == (revised if verdict.decision == "boosted" else raw)
    assert (verdict.decision == "kept_original") == bool(verdict.reasons)
    return verdict.reasons


def with_response(response: str, raw: Text = GERMAN) -> Text:
    return raw._replace(response=response)


def samples() -> dict[str, dict[str, dict[str, Any]]]:
    """The package's own revisions: by source, then by language."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for file in (resources.files("midb_ray") / "samples" / "revisions").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["source_id"], {})[row["language"]] = row
    return found


def raw_and_revised(row: dict[str, Any]) -> tuple[Text, Text]:
    raw = Text(row["raw_instruction"], row["raw_input"], row["raw_response"])
    return raw, Text(row["instruction"], row["input"], row["response"])
