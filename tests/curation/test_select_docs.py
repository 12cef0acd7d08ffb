"""The page on select names every setting of a rule and every reason."""

from __future__ import annotations

from pathlib import Path

from midb_ray import config
from midb_ray.curation.choice import REASONS
from midb_ray.curation.select_settings import SelectSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "select.md").read_text(encoding="utf-8")
OF_EVERY_JOB = {"input", "output", "fresh", "dry_run", "address", "progress_seconds"}


def test_every_reason_is_explained() -> None:
    assert [reason for reason in REASONS[1:] if f"| `{reason}` |" not in PAGE] == []


def test_every_rule_is_explained() -> None:
    rules = {key for key, _ in config.options(SelectSettings)} - OF_EVERY_JOB
    named = {key if key.startswith("diversity") else key.rpartition(".")[2] for key in rules}
    assert [key for key in sorted(named) if f"`{key}`" not in PAGE and f".{key}`" not in PAGE] == []
