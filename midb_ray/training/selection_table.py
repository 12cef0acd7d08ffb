"""What became of the revisions, by language: as figures for `selection.json`, and as plain text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from midb_ray.training.revisions import Unusable
from midb_ray.training.selection import Bools, Chosen, Ints, Selection

_COUNTS = ("rows", "unusable", "identical", "repeated", "selected", "train", "validation", "unchanged")
_MEANS = ("mean_distance", "mean_distance_selected")
_HEADINGS = ("language", *_COUNTS, "distance", "of selected")


def figures(candidates: pa.Table, selection: Selection, unusable: Iterable[Unusable]) -> list[dict[str, Any]]:
    """One entry per language, in their order, and the total (language None) last. `rows` were read, `unusable` ones by reason stand
    with the language of their file's name ("" where it states none); `train` counts repeats, and `unchanged` ones are beside
    it. Distances are means in characters over all rows that are changed and not repeated, and over the selected ones."""
    languages = np.array(candidates.column("language").to_pylist(), dtype=object)
    reasons: dict[str, Counter[str]] = {}
    for one in unusable:
        reasons.setdefault(one.language or "", Counter())[one.reason] += one.rows
    distances = candidates.column("distance").to_numpy().astype(np.int64)
    found = [
        {"language": name, **_figures(np.asarray(languages == name, bool), distances, selection, reasons.get(name))}
        for name in sorted({*languages, *reasons})
    ]
    everything = Counter[str]()
    for counter in reasons.values():
        everything.update(counter)
    total = _figures(np.ones(len(languages), bool), distances, selection, everything)
    return [*found, {"language": None, **total}]


def sources(candidates: pa.Table, chosen: Chosen) -> int:
    """The number of sources in a set."""
    return len(np.unique(candidates.column("source").to_numpy()[chosen.candidates]))


def _figures(among: Bools, distances: Ints, selection: Selection, unusable: Counter[str] | None) -> dict[str, Any]:
    train, validation = _of(selection.train, among), _of(selection.validation, among)
    reasons = dict(sorted(unusable.items())) if unusable else {}
    changed = among & ~selection.identical & ~selection.repeated
    return {
        "rows": int(among.sum()) + sum(reasons.values()),
        "unusable": reasons,
        "identical": int((among & selection.identical).sum()),
        "repeated": int((among & selection.repeated).sum()),
        "selected": int((among & selection.selected).sum()),
        "train": int((train & ~selection.train.unchanged).sum()),
        "validation": int(validation.sum()),
        "unchanged": int((train & selection.train.unchanged).sum()),
        "mean_distance": _mean(distances[changed]),
        "mean_distance_selected": _mean(distances[among & selection.selected]),
    }


def _of(chosen: Chosen, among: Bools) -> Bools:
    return np.asarray(among[chosen.candidates], bool)


def _mean(values: Ints) -> float | None:
    return round(float(values.mean()), 1) if len(values) else None


def table(result: dict[str, Any]) -> str:
    """The table of a training set (what `training_set.make` returns) as aligned lines, one a language and one for all."""
    lines: list[tuple[str, ...]] = [_HEADINGS]
    for entry in result["languages"]:
        name = "all" if entry["language"] is None else entry["language"] or "unknown"
        counts = {**entry, "unusable": sum(entry["unusable"].values())}
        means = ["–" if entry[key] is None else f"{entry[key]:,.1f}" for key in _MEANS]
        lines.append((name, *(f"{counts[key]:,}" for key in _COUNTS), *means))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{first:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)).rstrip()
        for first, *rest in lines
    )
