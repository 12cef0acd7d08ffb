"""The page on the export names what there is."""

from __future__ import annotations

import typing
from pathlib import Path

from midb_ray import config
from midb_ray.curation.export_rows import REASONS
from midb_ray.curation.export_settings import ExportSettings, Form

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def test_every_reason_and_form_is_on_the_page() -> None:
    assert [reason for reason in REASONS if f"`{reason}`" not in PAGE] == []
    assert [form for form in typing.get_args(Form) if f"| `{form}` |" not in PAGE] == []


def test_every_setting_of_what_is_written_is_described() -> None:
    keys = [key for key, field in config.options(ExportSettings) if not field.description]
    assert keys == []
    flags = ("files", "file-rows", "file-megabytes", "decisions", "extra", "same-prompt", "fresh")
    assert [flag for flag in flags if f"`--{flag}" not in PAGE] == []
