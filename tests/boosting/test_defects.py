"""Which defects of a raw pair signals see."""

from __future__ import annotations

import pytest

from midb_ray.boosting.defects import Defects
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text

LOCALES = load_locales()
SEEN = Defects(GuardSettings(), LOCALES)
ASKED = "Warum geht die Sonne im Osten auf?"
GOOD = "Die Sonne geht im Osten auf, weil sich die Erde von Westen nach Osten um sich selbst dreht."


def found(instruction: str = ASKED, given: str = "", response: str = GOOD) -> list[str]:
    return SEEN.found(Text(instruction, given, response), LOCALES.resolve("de"))


def test_a_sound_pair_has_none() -> None:
    assert found() == []
    assert found(given="The sun rises in the east because the earth turns from west to east.") == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"response": "The sun rises in the east because the earth turns from west to east."}, "language"),
        ({"instruction": "Почему солнце восходит на востоке, а не на западе?"}, "language"),
        ({"response": "Die Sonne geht im Osten auf. " * 8}, "repetition"),
        ({"response": f"{GOOD}<|eot_id|>"}, "marker"),
        ({"response": f"{GOOD}\nUser: Und warum?"}, "marker"),
        ({"response": f"Response: {GOOD}"}, "marker"),
        ({"response": GOOD.replace("Osten", "Os\u200bten")}, "character"),
        ({"response": f"{GOOD}\n```python\nprint(1)"}, "open_fence"),
        ({"given": "<noinput>"}, "placeholder_input"),
        ({"response": "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen."}, "refusal"),
        ({"response": f"{GOOD}\n\nHinweis: Ich habe die Antwort verbessert."}, "remark"),
        ({"response": ASKED}, "echo"),
    ],
)
def test_each_defect_is_seen(changes: dict[str, str], name: str) -> None:
    assert name in found(**changes)
