"""The folder of an export: nobody else's is touched, a finished one is known, --fresh deletes what an export wrote alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midb_ray.curation import export_folder
from midb_ray.errors import UserError

MADE_OF = {"form": "messages", "files": "jsonl"}


def examine(place: Path, **more: object) -> object:
    return export_folder.examine(str(place), {**MADE_OF, **more}, False)


def test_an_empty_or_a_new_folder_can_be_used(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("")
    assert examine(tmp_path) is None
    assert examine(tmp_path / "new") is None


@pytest.mark.parametrize("name", ["notes.txt", "run.json", "fr/part.jsonl"])
def test_what_is_not_an_exports_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="something that is of no export"):
        examine(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        examine(tmp_path / name)


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"complete": true}', "[" * 100_000])
def test_an_export_json_of_somebody_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(UserError, match="is no file of an export"):
        examine(tmp_path)


def test_an_export_goes_on_with_the_same_settings_alone(tmp_path: Path) -> None:
    export_folder.begin(str(tmp_path), MADE_OF, False)
    (tmp_path / "pieces").mkdir()
    export_folder.begin(str(tmp_path), MADE_OF, False)
    assert examine(tmp_path) == {"complete": False, "fingerprint": MADE_OF}
    assert (tmp_path / "pieces").exists()
    with pytest.raises(UserError, match='form was "messages", is now "alpaca"; start over with --fresh'):
        examine(tmp_path, form="alpaca")


def test_starting_over_deletes_what_an_export_wrote_and_nothing_else(tmp_path: Path) -> None:
    export_folder.begin(str(tmp_path), MADE_OF, False)
    theirs = [tmp_path / "fr" / "notes.txt", tmp_path / "mine" / "train.jsonl", tmp_path / "LICENSE"]
    ours = [
        tmp_path / "fr" / "train-00000-of-00001.jsonl",
        tmp_path / "de" / "train-00000-of-00001.parquet",
        tmp_path / "pieces" / "group-00000.json",
        tmp_path / "README.md",
    ]
    for path in (*theirs, *ours):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    export_folder.begin(str(tmp_path), {**MADE_OF, "form": "alpaca"}, True)
    assert all(path.exists() for path in theirs)
    assert not any(path.exists() for path in ours)
    assert not (tmp_path / "de").exists()
    assert json.loads((tmp_path / "export.json").read_text())["fingerprint"]["form"] == "alpaca"


def test_what_is_only_there_at_work_is_tidied_up(tmp_path: Path) -> None:
    export_folder.begin(str(tmp_path), MADE_OF, False)
    (tmp_path / "pieces").mkdir()
    (tmp_path / ".a.tmp").write_text("")
    export_folder.tidy(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json"]
