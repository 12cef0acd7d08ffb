"""The cluster files as a user fills them in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "cluster"
CLOUDS = ("aws", "gcp", "azure")
FILES = (*CLOUDS, "local")

_BLANK = re.compile(r"!(FILL_IN_\w+)(?: FILL_IN_REGISTRY(\S+))?")
_VALUES = {
    "FILL_IN_REGION": "eu-central-1",
    "FILL_IN_STORAGE": "--volume=/mnt/share:/mnt/share",
    "FILL_IN_WORKER_ADDRESSES": "[10.0.0.2, 10.0.0.3]",
}


def text(name: str) -> str:
    """The file as it is shipped."""
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def blanks(name: str) -> list[str]:
    """What the file leaves open, in its order."""
    return [match.group(1) for match in _BLANK.finditer("\n".join(_content(text(name))))]


def filled(name: str, keep: str | None = None, **values: str) -> str:
    """The file with a value in each place but `keep`."""

    def value(match: re.Match[str]) -> str:
        blank, image = match.groups()
        if blank == keep:
            return match.group(0)
        if image:
            return f"registry.example{image}"
        return values.get(blank, _VALUES.get(blank, blank.removeprefix("FILL_IN_").lower().replace("_", "-")))

    return "\n".join(
        _BLANK.sub(value, line) if not line.lstrip().startswith("#") else line for line in text(name).splitlines()
    )


def cluster(name: str) -> dict[str, Any]:
    """The filled file, read."""
    content: dict[str, Any] = yaml.safe_load(filled(name))
    return content


def _content(whole: str) -> list[str]:
    return [line for line in whole.splitlines() if not line.lstrip().startswith("#")]
