"""Input files of a run that goes on: new ones are found, changed and absent ones refused, other spellings understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs.coverage import compare
from midb_ray.runs.inputs import InputFile

A, B = InputFile("in/a.jsonl", "/data/in/a.jsonl", 100, "1"), InputFile("in/b.jsonl", "/data/in/b.jsonl", 200, "2")


def test_only_files_that_were_not_planned_are_new() -> None:
    assert compare("run", [A], [A, B]) == ([B], {})
    assert compare("run", [A, B], [B, A]) == ([], {})


def test_the_same_file_by_another_spelling_is_not_new(tmp_path: Path) -> None:
    assert compare("run", [A], [A._replace(name="/data/in/a.jsonl")]) == ([], {})
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    here = A._replace(uri=f"{tmp_path}/in/a.jsonl")
    assert compare("run", [here], [A._replace(name="link/a.jsonl", uri=f"{tmp_path}/link/a.jsonl")]) == ([], {})


def test_a_storage_that_is_mounted_elsewhere_is_known_by_names_and_read_there() -> None:
    there = [A._replace(uri="/mnt/in/a.jsonl"), B._replace(uri="/mnt/in/b.jsonl")]
    moved = {A.uri: "/mnt/in/a.jsonl", B.uri: "/mnt/in/b.jsonl"}
    assert compare("run", [A, B], there) == ([], moved)


def test_a_new_file_with_the_name_of_another_is_refused_as_their_rows_could_not_be_told_apart() -> None:
    twin = A._replace(uri="/elsewhere/in/a.jsonl", size=7)
    with pytest.raises(
        UserError, match=r"has the name of another file that the run in out has read; give it by its absolute"
    ):
        compare("out", [A], [A._replace(name="/data/in/a.jsonl"), twin])


@pytest.mark.parametrize("changed", [B._replace(size=201), B._replace(version="3")])
def test_a_changed_file_is_refused(changed: InputFile) -> None:
    with pytest.raises(UserError, match=r"Input 'in/b.jsonl' has changed since the run in out began .*had 200 bytes"):
        compare("out", [A, B], [A, changed])


def test_an_absent_file_is_refused() -> None:
    with pytest.raises(UserError, match=r"'in/b.jsonl', which is no longer among the inputs"):
        compare("out", [A, B], [A])
