"""The settings of the export job, and which of them its output depends on."""

from __future__ import annotations

from typing import Any, Final, Literal

import pydantic

from midb_ray.config import Settings
from midb_ray.pairs import Decision
from midb_ray.runs.inputs import InputFile

VERSION: Final = 1  # raised by hand whenever the same settings would give another output

Form = Literal["messages", "sharegpt", "alpaca", "preference"]


class ExportSettings(Settings):
    """Write what trainers read from a finished run: rows of one form, a folder for each language, and a data card."""

    input: str = pydantic.Field(min_length=1)
    """Folder of a finished boost, score or select run: a path, s3://, gs:// or hf://."""
    output: str = pydantic.Field(min_length=1)
    """Folder of the data set, new or of an export that goes on: a path that every node sees, s3:// or gs://."""
    form: Form = "messages"
    """Form of the rows: conversations as OpenAI or ShareGPT has them, Alpaca, or preference pairs for DPO (chosen: what the booster
    made of the response, rejected: the raw one)."""
    files: Literal["jsonl", "parquet"] = "jsonl"
    """Kind of the files."""
    decisions: tuple[Decision, ...] = ()
    """Write pairs with these decisions of the booster alone; none: all. A preference needs a boosted pair whatever stands here."""
    same_prompt: bool = False
    """Of preferences only those whose instruction and input the booster left as they were."""
    extra: Literal["none", "column", "keys"] = "none"
    """The rest of the input rows: left out; kept as JSON in one column, `extra`; or kept under its own keys, in JSON lines."""
    file_rows: int = pydantic.Field(200_000, ge=1)
    """Rows of a file at most."""
    file_megabytes: float = pydantic.Field(256, gt=0)
    """Size of a file at most, unless one row alone is larger."""
    fresh: bool = False
    """Delete the earlier export in the output folder and start over."""
    dry_run: bool = False
    """Check settings, run and output, say what would be done, and stop."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""

    @pydantic.field_validator("same_prompt")
    @classmethod
    def _prompts_are_of_preferences(cls, same_prompt: bool, info: pydantic.ValidationInfo) -> bool:
        if same_prompt and info.data.get("form") != "preference":
            raise ValueError("only preferences have a raw answer to the same prompt; set form to preference")
        return same_prompt

    @pydantic.field_validator("extra")
    @classmethod
    def _keys_are_of_lines(cls, extra: str, info: pydantic.ValidationInfo) -> str:
        if extra == "keys" and info.data.get("files") == "parquet":
            raise ValueError("rows with keys of their own fit no Parquet file; give column, or files jsonl")
        return extra

    @property
    def file_bytes(self) -> int:
        return max(int(self.file_megabytes * 1e6), 1)


def fingerprint(settings: ExportSettings, run: InputFile) -> dict[str, Any]:
    """What an export depends on: flat keys, plain values. The run counts by its content, wherever it lies."""
    kept = ("form", "files", "same_prompt", "extra", "file_rows", "file_megabytes")
    found = settings.model_dump(mode="json")
    named = {key: found[key] for key in kept}
    return {"input": run.version, **named, "decisions": sorted(settings.decisions), "version": VERSION}
