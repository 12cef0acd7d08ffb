"""Input files of a run that goes on: new ones are found, changed and absent ones refused, other spellings understood."""

from __future__ import annotations

import pytest

from midb_ray.errors import UserError
from midb_ray.runs.coverage import new_files
from midb_ray.runs.inputs import InputFile

A, B = InputFile("in/a.jsonl", "/data/in/a.jsonl", 100, "1"), InputFile("in/b.jsonl", "/data/in/b.jsonl", 200, "2")


def test_only_files_that_were_not_planned_are_new() -> None:
    assert new_files("run", [A], [A, B]) == [B]
    assert new_files("run", [A, B], [B, A]) == []


def test_the_same_file_by_another_spelling_is_not_new() -> None:
    assert new_files("run", [A], [A._replace(name="/data/in/a.jsonl")]) == []


def test_a_storage_that_is_mounted_elsewhere_is_known_by_names() -> None:
    assert new_files("run", [A, B], [A._replace(uri="/mnt/in/a.jsonl"), B._replace(uri="/mnt/in/b.jsonl")]) == []


@pytest.mark.parametrize("changed", [B._replace(size=201), B._replace(version="3")])
def test_a_changed_file_is_refused(changed: InputFile) -> None:
    with pytest.raises(UserError, match=r"Input 'in/b.jsonl' has changed since the run in out began .*had 200 bytes"):
        new_files("out", [A, B], [A, changed])


def test_an_absent_file_is_refused() -> None:
    with pytest.raises(UserError, match=r"'in/b.jsonl', which is no longer among the inputs"):
        new_files("out", [A, B], [A])
