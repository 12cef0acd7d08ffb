"""Names that belong to one country, and what stands for them elsewhere: data in `gazetteer.yaml`, which a file can extend."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

import babel
import yaml

from midb_ray import yaml_file
from midb_ray.errors import UserError

_KEYS: Final = {"region", "forms", "local"}
_JOINED: Final = re.compile(r"[A-Za-z\d-]")


class Reference(NamedTuple):
    """A name at `start` to `end` of a text, and its counterpart in another region where there is an honest one."""

    start: int
    end: int
    local: str | None


@dataclass(frozen=True)
class Gazetteer:
    """Names by region, found in one pass."""

    patterns: Mapping[str, re.Pattern[str]]
    local: Mapping[str, Mapping[str, str]]

    def references(self, text: str, region: str) -> Iterator[Reference]:
        """The names in `text` that belong to another region than `region`."""
        for home, pattern in self.patterns.items():
            if home != region:
                for match in pattern.finditer(text):
                    before = text[match.start() - 1 : match.start()]
                    if _JOINED.match(before):  # looked at here, which keeps the scan fast
                        continue
                    yield Reference(*match.span(), self.local[match[0]].get(region))


@lru_cache(maxsize=8)
def load(added: str | None = None) -> Gazetteer:
    """The built-in names and those that `read` found in a file, as JSON."""
    text = resources.files("midb_ray.signals").joinpath("gazetteer.yaml").read_text(encoding="utf-8")
    entries: dict[str, Any] = {**yaml.safe_load(text), **(json.loads(added) if added else {})}
    forms: dict[str, list[str]] = {}
    local: dict[str, dict[str, str]] = {}
    for entry in entries.values():
        forms.setdefault(entry["region"], []).extend(entry["forms"])
        local.update({form: entry.get("local") or {} for form in entry["forms"]})
    return Gazetteer({region: _pattern(names) for region, names in forms.items()}, local)


def read(path: str) -> dict[str, Any]:
    """The names in a YAML file of the form of `gazetteer.yaml`; one that is built in is replaced. Raises `UserError` for a file of
    another form."""
    added = yaml_file.read(path, "names in")
    if not isinstance(added, dict):
        raise UserError(f"{path}: expected a mapping from names to entries like those in gazetteer.yaml; write one.")
    for name, entry in added.items():
        if not isinstance(entry, dict) or set(entry) - _KEYS or not {"region", "forms"} <= set(entry):
            raise UserError(f"{path}: {name!r}: expected region, forms and maybe local; correct the entry.")
        forms = entry["forms"]
        if (
            not isinstance(forms, list)
            or not forms
            or not all(isinstance(form, str) and form.strip() for form in forms)
        ):
            raise UserError(f"{path}: {name!r}: forms are expected to be a list of texts, at least one; quote each.")
        local = entry.get("local") or {}
        if not isinstance(local, dict) or not all(isinstance(one, str) for pair in local.items() for one in pair):
            raise UserError(f"{path}: {name!r}: local is expected to be a mapping from regions to names; correct it.")
        if not isinstance(name, str) or not isinstance(entry["region"], str):
            raise UserError(f"{path}: {name!r}: names and regions are expected to be texts; quote them.")
        if unknown := {entry["region"], *local} - _regions():
            raise UserError(f"{path}: {name!r}: {min(unknown)!r} is no region; expected an ISO 3166 code such as DE.")
    return added


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    """All ISO 3166 codes; CLDR has groups and an unknown region besides."""
    return frozenset(code for code in babel.Locale("en").territories if len(code) == 2 and code != "ZZ")


def _pattern(names: list[str]) -> re.Pattern[str]:
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.compile(rf"(?:{'|'.join(longest_first)})(?![A-Za-z\d])")
