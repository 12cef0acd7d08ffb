"""Numerals: how languages write numbers, what a numeral may mean, and the words that go with it."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from midb_ray.locales import load_locales

NUMERAL = re.compile(r"\d+(?:[.,\u00a0\u202f '٫٬]\d{3}(?!\d))*(?:[.,٫]\d+)?")


@cache
def words() -> dict[str, dict[str, Any]]:
    """The words of each language, from the YAML file beside this one."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("fault_words.yaml").read_text("utf-8"))
    return loaded


@lru_cache(maxsize=1 << 16)
def values(numeral: str, language: str) -> tuple[float, ...]:
    """What a numeral may mean: as the language writes numbers, and as English does."""
    locale = load_locales(None).resolve(language)
    plain = "".join(str(unicodedata.digit(sign)) if sign.isdigit() else sign for sign in numeral)
    readings: list[float] = []
    for grouping, decimal in ((locale.grouping, locale.decimal), (",", "."), ("٬", "٫"), (" ", ",")):
        group = r"[\u00a0\u202f ]" if grouping.isspace() else re.escape(grouping)
        if re.fullmatch(rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)(?:{re.escape(decimal)}\d+)?", plain):
            value = float(re.sub(group, "", plain).replace(decimal, "."))
            if value not in readings:
                readings.append(value)
    return tuple(readings)
