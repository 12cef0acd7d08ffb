"""What clusters of like instructions must not be made of: n-grams that a tenth of a language's instructions have ("please write",
the ending of a verb). They are counted in a sample, chosen by a hash of each row, so that the order of runs changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from midb_ray.curation import stretches, units
from midb_ray.curation.stretches import CONVERSATION, Stretch
from midb_ray.curation.units import Work
from midb_ray.signals import minhash
from midb_ray.signals.minhash import Hashes

_SAMPLE: Final = 4_096  # instructions of a language
_COMMON: Final = 0.1  # share of them above which an n-gram says nothing
_FEW: Final = 16  # instructions that may always share one


class Counted(NamedTuple):
    """How many instructions of a language were looked at, and how many of them have each n-gram."""

    texts: int
    grams: Hashes
    counts: npt.NDArray[np.int64]


def shares(languages: dict[str, int]) -> dict[str, float]:
    """The share of each language's pairs to look at, from their numbers."""
    return {language: min(_SAMPLE / max(count, 1), 1.0) for language, count in languages.items()}


def count(work: Work, wanted: dict[str, float], stretch: Stretch) -> dict[str, Counted]:
    """The n-grams of a stretch's sample, by language; of conversations the first instruction counts. Raises OSError and
    `UserError`."""
    names = {"row", "language", "instruction", CONVERSATION}
    table = stretches.read(stretch, work.columns[stretch.run], names)
    table = table.take(pa.array(units.starts(table)))
    found: dict[str, list[Hashes]] = defaultdict(list)
    columns = (table.column(name).to_pylist() for name in ("row", "language", "instruction"))
    for row, language, instruction in zip(*columns, strict=True):
        if xxhash.xxh3_64_intdigest(row.encode()) < wanted.get(language, 1.0) * 2.0**64:
            found[language].append(minhash.grams(instruction))
    return {
        language: _counted([Counted(1, one, np.ones(len(one), np.int64)) for one in some])
        for language, some in found.items()
    }


def common(samples: Iterable[dict[str, Counted]]) -> dict[str, Hashes]:
    """The n-grams that are too common in each language, sorted."""
    total: dict[str, Counted] = {}
    for sample in samples:
        for language, some in sample.items():
            total[language] = _counted([total[language], some]) if language in total else some
    return {
        language: some.grams[some.counts > max(_COMMON * some.texts, _FEW)] for language, some in sorted(total.items())
    }


def _counted(some: list[Counted]) -> Counted:
    grams, places = np.unique(np.concatenate([one.grams for one in some]), return_inverse=True)
    counts = np.bincount(places, np.concatenate([one.counts for one in some])).astype(np.int64)
    return Counted(sum(one.texts for one in some), grams, counts)
