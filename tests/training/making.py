"""Small train jobs: a tiny model from random weights, and revisions to train it on."""

from __future__ import annotations

import json
from pathlib import Path

SMALL = [
    *("--scratch.vocabulary", "600", "--scratch.hidden-size", "32", "--scratch.layers", "1", "--scratch.heads", "2"),
    *("--learning-rate", "0.02", "--dtype", "float32", "--gpus-per-worker", "0", "--max-tokens", "1024"),
    *("--selection.share", "1"),
]


def write_revisions(path: Path, count: int = 8) -> Path:
    """German revisions of as many sources."""
    rows = [
        {
            "source_id": f"s{number}",
            "language": "de",
            "raw_instruction": f"Frage {number}?",
            "raw_input": "",
            "raw_response": "Die Antwort ist das gut.",
            "instruction": f"Frage {number}?",
            "input": "",
            "response": f"Die Antwort {number} ist gut, denn sie stimmt." + " Ja." * (number % 5),
            "kinds": ["translation"],
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
