"""Storage on this machine's file tree, and what names mean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import folder, storage

LIMIT = 1 << 20  # bytes that a file may have in `on_a_full_disk`


def on_a_full_disk(program: str, *arguments: object) -> str:
    """What a program prints in a process whose files may not grow beyond `LIMIT`: writes fail as on a full disk."""
    limited = f"import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))\n{program}"
    command = [sys.executable, "-c", limited, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def everything(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def test_what_is_written_is_read_listed_replaced_and_deleted(tmp_path: Path) -> None:
    for name in ("run/a", "run/b c/ü [1]#?%20+&=.x", "run/b c/empty.gz", "runs/other"):
        storage.write_bytes(f"{tmp_path}/{name}", name.encode() if "empty" not in name else b"")
    assert [(file.uri, file.size) for file in storage.list_files(f"{tmp_path}/run", recursive=True)] == [
        (f"{tmp_path}/run/a", 5),
        (f"{tmp_path}/run/b c/empty.gz", 0),
        (f"{tmp_path}/run/b c/ü [1]#?%20+&=.x", 24),
    ]
    assert [file.uri for file in storage.list_files(f"{tmp_path}/run/")] == [f"{tmp_path}/run/a"]
    assert storage.list_folders(f"{tmp_path}/run") == ["b c"]
    assert storage.is_folder(f"{tmp_path}/run")
    assert not storage.is_folder(f"{tmp_path}/run/a")
    storage.write_bytes(f"{tmp_path}/run/a", b"longer than before")
    assert storage.read_bytes(f"file://{tmp_path}/run/a", 7, 4) == b"than"
    storage.delete(f"{tmp_path}/run/a")
    storage.delete_folder(f"{tmp_path}/run/b c")
    assert everything(tmp_path) == ["run", "runs", "runs/other"]


def test_what_is_absent_is_no_error_but_to_readers(tmp_path: Path) -> None:
    absent = f"{tmp_path}/nothing"
    assert storage.info(absent) is None
    assert storage.list_files(absent) == storage.list_folders(absent) == []
    storage.delete(absent)
    storage.delete_folder(absent)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(absent)


def test_the_version_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/a", b"one")
    before = storage.info(f"{tmp_path}/a")
    assert storage.info(f"{tmp_path}/a") == before == storage.list_files(str(tmp_path))[0]
    storage.write_bytes(f"{tmp_path}/a", b"two")
    assert storage.info(f"{tmp_path}/a") != before


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    program = """
from midb_ray.runs import storage
try:
    storage.write_bytes(sys.argv[1], bytes(2 << 20))
except OSError as error:
    print(storage.explain(error, sys.argv[1], "write"))
"""
    place = tmp_path / "pairs" / "part"
    assert on_a_full_disk(program, place) == f"Cannot write {place}: File too large."
    assert everything(tmp_path) == ["pairs"]
    place.write_bytes(b"old")
    assert on_a_full_disk(program, place) == f"Cannot write {place}: File too large."
    assert (everything(tmp_path), place.read_bytes()) == (["pairs", "pairs/part"], b"old")


def test_a_file_in_place_of_a_folder_or_a_folder_in_place_of_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for output in ("file", "file/run"):
        with pytest.raises(
            UserError, match=rf"^(Cannot use the output folder|The output) {tmp_path}/{output}\b.*[^.]\.$"
        ):
            folder.open_run(f"{tmp_path}/{output}", "boost", {}, {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        storage.write_bytes(f"{tmp_path}/folder", b"")
    with pytest.raises(OSError, match="is a directory"):
        storage.read_bytes(f"{tmp_path}/folder")
    assert everything(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ftp://host/a", "unknown kind of storage 'ftp'; expected a path or s3://, gs:// or hf://"),
        ("s3a://bucket/a", "unknown kind of storage 's3a'"),
        ("s3:/bucket/a", "did you mean s3://bucket/a?"),
        ("s3://", "names no place in a bucket"),
        ("s3:///a", "names no place in a bucket"),
        ("gs://bucket//a", "without empty parts"),
        ("a\0b", "is not UTF-8 text"),
        ("a\udcffb", "is not UTF-8 text"),
    ],
)
def test_what_cannot_name_a_file_is_one_sentence(uri: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        storage.resolve(uri)
    assert expected in str(caught.value)
    str(caught.value).encode()


def test_absolute_places_do_not_depend_on_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a/../run") == f"{tmp_path}/run"
    assert storage.absolute(f"file://{tmp_path}/run") == f"{tmp_path}/run"
    assert storage.absolute("s3://bucket/run") == "s3://bucket/run"


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    (tmp_path / "data" / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked").symlink_to(tmp_path / "data" / "a")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data" / "circle")
    os.mkfifo(tmp_path / "pipe")
    found = [file.uri for file in storage.list_files(f"{tmp_path}/data", recursive=True)]
    assert found == [f"{tmp_path}/data/a", f"{tmp_path}/data/up/linked"]
    listed = storage.list_files(f"{tmp_path}/data", recursive=True, broken_links=True)
    assert [file.uri for file in listed if file.version == storage.BROKEN_LINK] == [
        f"{tmp_path}/data/broken",
        f"{tmp_path}/data/circle",
    ]
