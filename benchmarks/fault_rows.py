"""Clean pairs for the benchmark of faults: what experts made of a pair, and the English it was translated from.

The files are those of the expert revisions: one JSON list per language, the same `source_index` for the same English row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from midb_ray.locales import load_locales
from midb_ray.pairs import Text

Half = Literal["choose", "measure"]
Section = Literal["instruction", "input", "response"]
SECTIONS: tuple[Section, ...] = ("instruction", "input", "response")

_KEYS = ("Revised Instruction", "Revised Input", "Revised Response")
_ENGLISH = re.compile(r"\b(?:the|and|of|is|are|was|to|with|this|that|it|by|from|can)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_MOST_ENGLISH = 0.10  # share of such words above which a text counts as not translated; English prose has 0.2 and more


class Clean(NamedTuple):
    """A pair without known faults and its English source; `language` is an ISO 639-1 code."""

    language: str
    source_index: int
    source: Text
    pair: Text


def half(source_index: int) -> Half:
    """The half of the data in which a source row is, in every language: limits are chosen on one and measured on the other."""
    return "choose" if hashlib.blake2b(str(source_index).encode(), digest_size=1).digest()[0] % 2 else "measure"


def read(folder: Path) -> dict[str, dict[int, Clean]]:
    """The clean pairs of each language but English, by source row.

    Left out are rows without instruction or response, rows that are not translated, and rows whose source is missing.
    Raises `FileNotFoundError` where `folder` has no English.json.
    """
    english = dict(_texts(folder / "English.json"))
    locales = load_locales(None)
    rows: dict[str, dict[int, Clean]] = {}
    for path in sorted(folder.glob("*.json")):
        locale = locales.find(path.stem)
        if locale is None or locale.language == "en":
            continue
        rows[locale.language] = {
            index: Clean(locale.language, index, english[index], pair)
            for index, pair in _texts(path)
            if index in english and _is_translated(english[index], pair)
        }
    return rows


def _texts(path: Path) -> Iterator[tuple[int, Text]]:
    for row in json.loads(path.read_text(encoding="utf-8")):
        text = revised(row)
        if text is not None and text.instruction and text.response:
            yield int(row["source_index"]), text


def revised(row: dict[str, Any]) -> Text | None:
    """The revised side of a row. Where keys are translated too, their order still tells which is which."""
    if all(key in row for key in _KEYS):
        values = [row[key] for key in _KEYS]
    else:
        values = [value for value in row.values() if isinstance(value, str)][3:6]
    if len(values) != 3 or "source_index" not in row:
        return None
    return Text(*(str(value or "").strip() for value in values))


def _is_translated(source: Text, pair: Text) -> bool:
    """Whether instruction and response are in another language than English, as far as its commonest words tell."""
    if pair.instruction == source.instruction:
        return False
    if pair.response == source.response and len(_WORD.findall(pair.response)) > 3:
        return False
    words = _WORD.findall(pair.response)
    return len(_ENGLISH.findall(pair.response)) <= _MOST_ENGLISH * len(words) + 1
