"""The languages as data: which there are, how they are written, and the conventions of the places where they are spoken.

`locales.yaml` beside this file names the languages; number, date and currency conventions come from CLDR through Babel.
A `Locales` registry resolves names, ISO codes and BCP-47 tags ("French", "fra", "fr", "fr-CA") to a `Locale`.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

import babel
import yaml
from babel import dates, numbers

from midb_ray import yaml_file
from midb_ray.errors import UserError

_SUBTAG = re.compile("[a-z]{2}|[a-z]{4}|[a-z0-9]{5,8}|[0-9]{3}|[0-9][a-z0-9]{3}")  # region, script, variant (RFC 5646)
_SAMPLE_DATE = datetime.date(2024, 12, 25)
_SAMPLE_TIME = datetime.time(15, 30)
_KEYS = {"codes", "region", "scripts", "group", "quotes", "units", "marks", "names"}


@dataclass(frozen=True)
class Locale:
    """A language as written in one region.

    `language` is its ISO 639-1 code, `region` an ISO 3166 code, `tag` the canonical BCP-47 tag ("fr", or "fr-CA" when the
    region is not the default one), `scripts` Unicode script names with the main one first. Languages with the same
    `group` count as one wherever text is identified. `marks` are Western punctuation marks, each with the one that takes its place.
    """

    language: str
    region: str
    tag: str
    scripts: tuple[str, ...]
    group: str
    quotes: tuple[str, str]
    units: str
    marks: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _cldr(self) -> babel.Locale:
        return babel.Locale.parse(f"{self.language}_{self.region}")

    @cached_property
    def name(self) -> str:
        """The English name of the language."""
        return str(babel.Locale("en").languages[self.language])

    @cached_property
    def native_name(self) -> str:
        return str(self._cldr.languages.get(self.language, self.name))

    @cached_property
    def region_name(self) -> str:
        """The English name of the region."""
        return str(babel.Locale("en").territories[self.region])

    @cached_property
    def decimal(self) -> str:
        """The decimal separator."""
        return str(numbers.get_decimal_symbol(self._cldr))

    @cached_property
    def grouping(self) -> str:
        """The separator between thousands."""
        return str(numbers.get_group_symbol(self._cldr))

    @cached_property
    def currency(self) -> str:
        """ISO 4217 code of the region's currency."""
        return str(numbers.get_territory_currencies(self.region)[0])

    @cached_property
    def counts_24_hours(self) -> bool:
        """Whether times of day are counted to 24, and not twice to twelve."""
        return "H" in str(dates.get_time_format("short", locale=self._cldr).pattern)

    @cached_property
    def conventions_text(self) -> str:
        """The conventions that matter in running text, as one English clause for prompts: what culture scoring looks for."""
        number = numbers.format_decimal(1234567.5, locale=self._cldr)
        short = dates.format_date(_SAMPLE_DATE, "short", locale=self._cldr)
        long = dates.format_date(_SAMPLE_DATE, "long", locale=self._cldr)
        price = numbers.format_currency(1234.5, self.currency, locale=self._cldr)
        time = dates.format_time(_SAMPLE_TIME, "short", locale=self._cldr)
        opening, closing = self.quotes
        marks = f", punctuation {' '.join(local for _, local in self.marks)}" if self.marks else ""
        return (
            f"numbers as in {number}, dates as in {short} or {long}, times as in {time}, prices as in {price}, "
            f"{self.units} units, quotation marks {opening}…{closing}{marks}"
        )


class Locales:
    """The languages known to a run. `resolve` accepts whatever people call a language."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._entries = dict(entries)
        self._by_name: dict[str, str] = {}
        for code, entry in self._entries.items():
            locale = self._locale(code, entry["region"])
            for name in (code, *entry.get("codes", ()), *entry.get("names", ()), locale.name, locale.native_name):
                self._by_name[str(name).casefold()] = code
        self._resolved: dict[str, Locale | None] = {}

    def __iter__(self) -> Iterator[Locale]:
        """Each language with its default region."""
        return (self._locale(code, entry["region"]) for code, entry in self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Locale | None:
        """The locale called `name`, or None."""
        if name not in self._resolved:
            if len(self._resolved) > 10_000:  # names come from data: the memory of them is bounded
                self._resolved.clear()
            self._resolved[name] = self._find(name)
        return self._resolved[name]

    def resolve(self, name: str) -> Locale:
        """The locale called `name`. Raises `UserError` that names the nearest known language."""
        locale = self.find(name)
        if locale is None:
            near = difflib.get_close_matches(name.casefold(), self._by_name, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UserError(
                f"Unknown language {name!r}{hint} Known are {', '.join(sorted(self._entries))}; "
                "a YAML file given as `locales` adds others."
            )
        return locale

    def fingerprint(self) -> dict[str, Any]:
        """What of these entries changes an output: all of them, as plain data."""
        return {code: dict(entry) for code, entry in sorted(self._entries.items())}

    def _find(self, name: str) -> Locale | None:
        wanted = name.strip().casefold()
        if wanted in self._by_name:
            code = self._by_name[wanted]
            return self._locale(code, self._entries[code]["region"])
        subtags = wanted.replace("_", "-").split("-")
        code = self._by_name.get(subtags[0], "")
        if not code or len(subtags[0]) > 3 or not all(_SUBTAG.fullmatch(subtag) for subtag in subtags[1:]):
            return None
        regions = [subtag.upper() for subtag in subtags[1:] if len(subtag) == 2]
        region = regions[0] if regions else self._entries[code]["region"]
        try:
            return self._locale(code, region)
        except (babel.UnknownLocaleError, ValueError):
            return None

    def _locale(self, code: str, region: str) -> Locale:
        entry = self._entries[code]
        babel.Locale.parse(f"{code}_{region}")  # raises for a region that CLDR does not know with this language
        return Locale(
            language=code,
            region=region,
            tag=code if region == entry["region"] else f"{code}-{region}",
            scripts=tuple(entry["scripts"]),
            group=entry.get("group", code),
            quotes=(entry["quotes"][0], entry["quotes"][-1]),
            units=entry["units"],
            marks=tuple((entry.get("marks") or {}).items()),
        )


@lru_cache(maxsize=8)
def load_locales(extra: str | None = None) -> Locales:
    """The built-in languages and those of the YAML file `extra`. Raises `UserError` for a file of another form."""
    text = resources.files("midb_ray").joinpath("locales.yaml").read_text(encoding="utf-8")
    entries: dict[str, Any] = yaml.safe_load(text)
    if extra is not None:
        entries = {**entries, **_read_extra(extra)}
    return Locales(entries)


def _read_extra(path: str) -> dict[str, Any]:
    added = yaml_file.read(path, "languages in")
    if not isinstance(added, dict):
        raise UserError(
            f"{path}: expected a mapping from language codes to entries like those in locales.yaml, "
            f"found {type(added).__name__}."
        )
    for code, entry in added.items():
        problem = _problem(code, entry)
        if problem:
            raise UserError(f"{path}: language {code!r}: {problem}.")
    return added


def _problem(code: object, entry: object) -> str | None:
    """What is wrong with one entry, as a clause, or None."""
    if not isinstance(code, str):
        return "YAML reads this code as something else than text; quote it"
    if not isinstance(entry, dict):
        return f"expected a mapping with region, scripts, quotes and units, found {type(entry).__name__}"
    if unknown := set(entry) - _KEYS:
        return f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(_KEYS))}"
    if missing := {"region", "scripts", "quotes", "units"} - set(entry):
        return f"{sorted(missing)[0]!r} is missing"
    if entry["units"] not in ("metric", "imperial"):
        return f"units is {entry['units']!r}, expected metric or imperial"
    if not isinstance(entry["quotes"], str) or len(entry["quotes"]) != 2:
        return f"quotes is {entry['quotes']!r}, expected two characters"
    marks = entry.get("marks") or {}
    if not isinstance(marks, dict) or not all(
        isinstance(one, str) and len(one) == 1 for pair in marks.items() for one in pair
    ):
        return f"marks is {marks!r}, expected a mapping from one mark to another"
    if not isinstance(entry["region"], str):
        return "YAML reads this region as something else than text; quote it"
    try:
        babel.Locale.parse(f"{code}_{entry['region']}")
    except (babel.UnknownLocaleError, ValueError):
        return f"CLDR does not know it in region {entry['region']!r}; expected ISO 639-1 and ISO 3166 codes"
    return None
