"""How many pairs a core scores in a second with all signals, beside datatrove's filters over the same texts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fault_rows import revised

from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Text
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import SourceSettings

PASSES = 3


def pairs(folder: Path, stride: int) -> list[Pair]:
    """The revised sides of all files, each with its English source in the rest of its row."""
    rows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    english = {row["source_index"]: _text(row) for row in rows["English"]}
    locales = load_locales()
    found = []
    for name, listed in rows.items():
        locale = locales.resolve(name)
        for place, row in enumerate(listed[::stride]):
            source = english.get(row["source_index"])
            rest = dict(zip(("source_instruction", "source_input", "source_response"), source or (), strict=False))
            extra = json.dumps(rest, ensure_ascii=False) if rest else None
            found.append(Pair(f"{name}:{place}", None, None, locale.tag, *_text(row), extra=extra))
    return found


def _text(row: dict[str, Any]) -> Text:
    return revised(row) or Text("", "", "")


def measure(folder: Path, peer: str | None, stride: int) -> None:
    """Print pairs a second of ours and of the peer, each alone on one core, pass by pass in turn."""
    found = pairs(folder, stride)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch) / "texts.jsonl"
        with texts.open("w", encoding="utf-8") as file:
            for pair in found:
                text = "\n".join(filter(None, (pair.instruction, pair.input, pair.response)))
                print(json.dumps({"language": pair.language.partition("-")[0], "text": text}), file=file)
        ours, theirs = [], []
        score(found[:: max(len(found) // 200, 1)])
        for _ in range(PASSES):
            ours.append(len(found) / score(found))
            if peer is not None:
                command = [peer, str(Path(__file__).with_name("quality_peer.py")), str(texts)]
                told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                theirs.append(told["documents"] / told["seconds"])
    print(f"{len(found):,} pairs, one core, all signals: {_told(ours)} pairs/s")
    if theirs:
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        print(
            f"datatrove, language, repetition and length: {_told(theirs)} documents/s; ours is {ratio:.2f} times that"
        )


def score(found: Sequence[Pair]) -> float:
    """Seconds in which one core scores the pairs."""
    scorer = Scorer(load_locales(), SourceSettings())
    begun = time.perf_counter()
    for pair in found:
        scorer.score(pair)
    return time.perf_counter() - begun


def _told(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({', '.join(f'{rate:,.0f}' for rate in rates)})"
