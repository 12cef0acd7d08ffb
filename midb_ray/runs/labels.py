"""Which nodes of a cluster do which work: by label, so that no job makes an autoscaler start machines that are meant for others.

The files in cluster/ label their machines `midb-ray/work`: boost, train or cpu. A node without the label does any work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from midb_ray.mappings import mapping

WORK = "midb-ray/work"

_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_KEY = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_VALUE = re.compile(rf"!?(?:{_NAME}|in\({_NAME}(?:, ?{_NAME})*\))")


def but(*works: str) -> dict[str, str]:
    """The selector of all nodes but those that are labelled for these works."""
    return {WORK: f"!in({','.join(works)})"}


ELSE = but("boost", "train")
"""The selector of the nodes for what needs no GPU."""


def allow(selector: Mapping[str, str], node: Mapping[str, str]) -> bool:
    """Whether a node with these labels may do what a selector is for; as Ray understands it: `!` also means without the label."""
    return all(_holds(wanted, node.get(key)) for key, wanted in selector.items())


def _holds(wanted: str, there: str | None) -> bool:
    positive = wanted.removeprefix("!")
    named = positive[3:-1].replace(" ", "").split(",") if positive.startswith("in(") else [positive]
    return (there in named) != wanted.startswith("!")


def _checked(value: dict[str, str] | None) -> dict[str, str] | None:
    for key, wanted in (value or {}).items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(wanted):
            raise ValueError(
                "expected labels of nodes with what they are, are not (!spot) or are one of (in(a,b)), found "
                f"{json.dumps({key: wanted})}"
            )
    return value


Selector = Annotated[dict[str, str] | None, BeforeValidator(mapping), AfterValidator(_checked)]
"""A setting's type: labels of nodes as Ray's label selectors have them, as JSON on the command line."""
