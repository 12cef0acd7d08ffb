"""Names that belong to one country, those that are built in and those of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.signals.gazetteer import load, read


def found(text: str, region: str, added: str | None = None) -> list[tuple[str, str | None]]:
    return [(text[one.start : one.end], one.local) for one in load(added).references(text, region)]


def test_a_name_is_foreign_everywhere_but_at_home() -> None:
    assert found("Ask the IRS.", "DE") == [("IRS", "Finanzamt")]
    assert found("Ask the IRS.", "US") == []


def test_a_name_within_a_word_is_none() -> None:
    assert found("FIRST, AIRS and IRSX", "DE") == []


def test_a_file_adds_names_and_replaces_built_in_ones(tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    path.write_text("hmrc: {region: GB, forms: [HMRC], local: {DE: Finanzamt}}\nirs: {region: US, forms: [IRS]}\n")
    added = json.dumps(read(str(path)))
    assert set(found("HMRC and IRS", "DE", added)) == {("HMRC", "Finanzamt"), ("IRS", None)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a\n- b\n", "expected a mapping from names"),
        ("x: {forms: [A]}\n", "expected region, forms and maybe local"),
        ("x: {region: GB, forms: HMRC}\n", "forms are expected to be a list"),
        ("x: {region: GB, forms: [HMRC], local: {DE: 1}}\n", "local is expected to be a mapping"),
        ("x: {region: GB, forms: []}\n", "at least one"),
        ("x: {region: ZZ, forms: [HMRC]}\n", "'ZZ' is no region"),
        ("x: {region: gb, forms: [HMRC]}\n", "'gb' is no region"),
        ("x: {region: GB, forms: [HMRC], local: {xx: A}}\n", "'xx' is no region"),
        ("x: {region: 44, forms: [HMRC]}\n", "quote them"),
        ("x: {region: GB, forms: [HMRC], locale: {}}\n", "expected region, forms and maybe local"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        read(str(path))
