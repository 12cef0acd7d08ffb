"""Whether scores tell what an expert made of a pair from the pair itself, beside the length of the response alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import fault_rows
import numpy as np
import numpy.typing as npt
from fault_rows import Half

from midb_ray.locales import Locales, load_locales
from midb_ray.pairs import Text
from midb_ray.quality.richness import richness
from midb_ray.quality.scores import enriched, scores
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import SourceSettings

ALIKE: Final = (0.9, 1.1)
"""Response lengths of the revised side by that of the raw one, between which length says nothing."""

_SIDES: Final = ("Raw", "Revised")
_BINS: Final = 5

Column = npt.NDArray[np.float64]


class Sides(NamedTuple):
    """The scores of the raw and of the revised side of each row by name, and which rows have responses of like length."""

    raw: dict[str, Column]
    revised: dict[str, Column]
    alike: npt.NDArray[np.bool_]


def sides(folder: Path, half: Half, stride: int = 1) -> Sides:
    """Both sides of every row in every language but English. Raises FileNotFoundError without English.json."""
    locales = load_locales()
    english = {row["source_index"]: row for row in json.loads((folder / "English.json").read_text(encoding="utf-8"))}
    scorer = Scorer(locales, SourceSettings())
    found: list[list[dict[str, float]]] = [[], []]
    for row, language in _rows(folder, half, stride):
        both = [
            _scores(scorer, locales, _text(row, side), language, _text(english[row["source_index"]], side))
            for side in _SIDES
        ]
        for one, other in zip(found, both, strict=True):
            one.append(other)
    raw, revised = ({name: np.array([one[name] for one in each]) for name in each[0]} for each in found)
    ratio = revised["length"] / np.maximum(raw["length"], 1)
    return Sides(raw, revised, (ratio >= ALIKE[0]) & (ratio <= ALIKE[1]))


def _rows(folder: Path, half: Half, stride: int) -> Iterator[tuple[dict[str, object], str]]:
    for path in sorted(folder.glob("*.json")):
        locale = load_locales().find(path.stem)
        if locale is None or locale.language == "en":
            continue
        for row in json.loads(path.read_text(encoding="utf-8"))[::stride]:
            if "Raw Response" in row and fault_rows.half(row["source_index"]) == half:
                raw, revised = (_text(row, side) for side in _SIDES)
                if raw != revised and raw.response and revised.response:
                    yield row, locale.language


def _text(row: dict[str, object], side: str) -> Text:
    return Text(*(str(row.get(f"{side} {name}") or "") for name in ("Instruction", "Input", "Response")))


def _scores(scorer: Scorer, locales: Locales, text: Text, language: str, source: Text) -> dict[str, float]:
    rich = richness(text)
    found = scores(scorer.findings(text, locales.resolve(language), source))
    found = found._replace(content=enriched(found.content, rich).as_py())
    return {**found._asdict(), "overall": found.overall, "richness": rich, "length": float(len(text.response))}


def report(found: Sides) -> None:
    """Print shares and areas under the curve, and how well richness is calibrated."""
    print(f"raw beside revised: {len(found.alike):,} rows, {found.alike.sum():,} with responses of like length")
    print(
        f"{'':14}{'revised higher':>16}{'alike':>8}{'lower':>8}{'AUC':>8}  | like length: {'higher':>8}{'lower':>8}{'AUC':>8}"
    )
    for name in found.raw:
        told = []
        for rows in (np.ones_like(found.alike), found.alike):
            raw, revised = found.raw[name][rows], found.revised[name][rows]
            told.append(((revised > raw).mean(), (revised == raw).mean(), (revised < raw).mean(), auc(revised, raw)))
        (higher, same, lower, area), (near_higher, _, near_lower, near) = told
        print(
            f"{name:14}{higher:16.3f}{same:8.3f}{lower:8.3f}{area:8.3f}  | {'':13}{near_higher:8.3f}{near_lower:8.3f}{near:8.3f}"
        )
    both = np.concatenate([found.raw["richness"], found.revised["richness"]])
    real = np.repeat([0.0, 1.0], len(found.alike))
    bins = np.minimum((both * _BINS).astype(int), _BINS - 1)
    calibrated = ", ".join(
        f"{both[bins == one].mean():.2f} → {real[bins == one].mean():.2f}"
        for one in range(_BINS)
        if (bins == one).any()
    )
    print(f"richness → share that is revised: {calibrated}")


def auc(high: Column, low: Column) -> float:
    """The probability that one of `high` is above one of `low`, ties counted half (Mann and Whitney 1947)."""
    _, inverse, counts = np.unique(np.concatenate([high, low]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))
