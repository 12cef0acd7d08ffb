"""What the documentation says of scores is what the code does."""

from __future__ import annotations

from pathlib import Path

from midb_ray.quality.findings import KINDS
from midb_ray.quality.judge import CAPS
from midb_ray.quality.output import SCORED_SCHEMA

DOCS = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")


def test_every_kind_stands_there_with_its_weight_and_meaning() -> None:
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.dimension} | {kind.weight:g} | {kind.meaning} |" in DOCS


def test_every_flaw_stands_there_with_its_cap() -> None:
    for caps in CAPS.values():
        assert ", ".join(f"{flaw} {cap}" for flaw, cap in caps.items()) in DOCS


def test_every_column_of_scoring_stands_there() -> None:
    for name in SCORED_SCHEMA.names:
        assert f"`{name}`" in DOCS or name in ("judge_translation", "judge_localisation")
