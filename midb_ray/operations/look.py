"""A look at the whole input: how many rows it has, and languages, lengths and repetitions in shards from all over it.

Nothing is asked of an engine, so this costs seconds, and it sees what a pilot of the first rows cannot: how long the other rows
are, and how many there are of each language.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash

from midb_ray.corpora import plan
from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.settings import CorpusSettings
from midb_ray.errors import UserError
from midb_ray.operations.estimates import Numbers, Sample
from midb_ray.pairs import Pair
from midb_ray.runs import inputs, shards
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard

_READING = ("format", "language", "shard_rows")


class Look(NamedTuple):
    """What was seen: pairs of `read` rows of `rows` that there are (`counted`: exactly), and which of them repeat another one.
    The units of the sample are places in `unit_rows`, the rows of each shard that was read; `dead` of these rows are no pairs."""

    files: list[InputFile]
    sample: Sample
    unit_rows: Numbers
    repeats: np.ndarray[Any, np.dtype[np.bool_]]
    rows: float
    read: int
    dead: int
    counted: bool

    @property
    def share(self) -> float:
        """The part of the input that was read."""
        return self.read / self.rows if self.rows else 1.0


def take(given: tuple[str, ...], pilot: dict[str, Any], locales: str, most: int, most_bytes: float) -> Look:
    """Look at the input as the pilot with these settings read its own: at least `most` rows, or all. Raises `UserError`."""
    settings = CorpusSettings.model_validate(
        {"input": given, "output": "none", **{name: pilot[name] for name in _READING if name in pilot}}
    )
    corpus = Corpus(settings, locales)
    files = inputs.find(settings.input)
    inputs.check(files)
    counted = _some(files, most_bytes)
    everywhere = str(pilot.get("pool", {}).get("deduplicate", "shard")) == "run"
    with tempfile.TemporaryDirectory(prefix="midb-plan-") as scratch:  # compressed files are unpacked there
        found = [shard for shard in shards.from_table(plan.planned(corpus, scratch, counted, 0, map)) if shard.rows]
        rows = sum(shard.rows for shard in found)
        if not rows:
            raise UserError(f"The input {' '.join(given)} has no rows, so there is nothing to forecast.")
        chosen = _spread(found, most)
        pairs, units, dead = _read(corpus, chosen)
    if not pairs:
        raise UserError(
            f"None of {sum(one.rows for one in chosen)} rows that were looked at in {' '.join(given)} is a pair."
        )
    scale = sum(file.size for file in files) / max(sum(file.size for file in counted), 1)
    return Look(
        files,
        Sample(
            np.array([pair.language for pair in pairs], dtype=object),
            np.array([_characters(pair) for pair in pairs], dtype=np.float64),
            np.array(units, dtype=np.int64),
        ),
        np.array([shard.rows for shard in chosen], dtype=np.float64),
        _repeats(pairs, [0] * len(pairs) if everywhere else units),
        rows * scale,
        sum(shard.rows for shard in chosen),
        dead,
        len(counted) == len(files),
    )


def _some(files: list[InputFile], most: float) -> list[InputFile]:
    """Files from all over the list that have so many bytes together; all of them where they have no more."""
    total = sum(file.size for file in files)
    if total <= most:
        return files
    step = total / most
    chosen, due = [], 0.0
    for place, file in enumerate(files):
        if place >= due:
            chosen.append(file)
            due += step
    return chosen


def _spread(found: Sequence[Shard], most: int) -> list[Shard]:
    """Shards at equal distances that have `most` rows together, or all."""
    rows = sum(shard.rows for shard in found)
    if rows <= most:
        return list(found)
    wanted = min(max(int(np.ceil(most * len(found) / rows)), 1), len(found))
    return [found[int((place + 0.5) * len(found) / wanted)] for place in range(wanted)]


def _read(corpus: Corpus, chosen: Sequence[Shard]) -> tuple[list[Pair], list[int], int]:
    """The pairs of these shards, the place of each pair's shard among them, and how many rows are no pairs."""
    pairs, units, dead = [], [], 0
    for place, shard in enumerate(chosen):
        with shards.explained(shard):
            found, lost = corpus.read(shard)
        pairs += found
        units += [place] * len(found)
        dead += len(lost)
    return pairs, units, dead


def _characters(pair: Pair) -> int:
    return len(pair.instruction) + len(pair.input) + len(pair.response) + len(pair.context or "")


def _repeats(pairs: Sequence[Pair], units: Sequence[int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which pairs make the prompt that another one before it in the same unit has made."""
    seen: set[tuple[int, int]] = set()
    found = np.zeros(len(pairs), dtype=bool)
    for place, (pair, unit) in enumerate(zip(pairs, units, strict=True)):
        said = json.dumps([pair.language, pair.instruction, pair.input, pair.response, pair.context])
        key = unit, xxhash.xxh3_128_intdigest(said.encode())
        found[place] = key in seen
        seen.add(key)
    return found
