"""The table of field names."""

from __future__ import annotations

from collections import defaultdict

import pytest

from midb_ray.formats.names import OTHER, OWN, QUALIFIERS, fold, meaning
from midb_ray.locales import load_locales


def test_every_language_has_names_and_qualifiers() -> None:
    languages = {locale.language for locale in load_locales()}
    assert set(OWN) == languages
    assert set(QUALIFIERS) == languages


def test_no_name_means_two_fields_or_two_sides() -> None:
    for tables in ((OWN, OTHER), (QUALIFIERS,)):
        columns: dict[str, set[int]] = defaultdict(set)
        for table in tables:
            for line in table.values():
                for place, names in enumerate(line.split("|")):
                    for name in names.split(","):
                        columns[fold(name)].add(place)
        assert {name: places for name, places in columns.items() if len(places) > 1} == {}
        assert "" not in columns


@pytest.mark.parametrize("language", sorted(OWN))
def test_every_name_with_every_qualifier_of_its_language_is_understood(language: str) -> None:
    raw, revised = (side.split(",") for side in QUALIFIERS[language].split("|"))
    for field, names in zip(("instruction", "input", "response"), OWN[language].split("|"), strict=True):
        for name in names.split(","):
            for side, qualifiers in (("", [""]), ("raw", raw), ("revised", revised)):
                for qualifier in qualifiers:
                    for key in (f"{qualifier} {name}", f"{name}_{qualifier}".upper()):
                        assert meaning(fold(key)) == (field, side, True), key


@pytest.mark.parametrize("key", ["", "raw", "metadata", "instruction_id", "revised", "rawraw_instruction_x", "\ud800"])
def test_other_keys_mean_nothing(key: str) -> None:
    assert meaning(fold(key)) is None
