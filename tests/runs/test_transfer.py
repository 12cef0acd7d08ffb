"""Whole folders between this machine and storage: the same files, the telling one last, nothing half-written under its name."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from midb_ray.runs import storage, transfer

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 99, "a/b/deep.txt": b"deep", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).write_bytes(content)
    return tmp_path / "from"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies lie that processes share."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"midb-{os.getuid()}"


@pytest.fixture(params=["disk", "store"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "to") if request.param == "disk" else f"{request.getfixturevalue('s3')}/to"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_uploaded_is_downloaded(folder: Path, target: str, tmp_path: Path) -> None:
    transfer.upload(folder, target)
    transfer.download(target, tmp_path / "back")
    assert content(tmp_path / "back") == FILES


def test_uploaded_files_replace_those_of_their_name_and_leave_others(folder: Path, target: str) -> None:
    storage.write_bytes(f"{target}/config.json", b"old")
    storage.write_bytes(f"{target}/other", b"other")
    transfer.upload(folder, target)
    assert storage.read_bytes(f"{target}/config.json") == b"{}"
    assert storage.read_bytes(f"{target}/other") == b"other"


def test_a_large_file_goes_in_blocks(
    folder: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_BLOCK", 1000)
    transfer.upload(folder, target)
    transfer.download(target, tmp_path / "back")
    assert content(tmp_path / "back") == FILES


def test_what_says_that_the_rest_is_there_comes_last(folder: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = storage.open_output

    def record(uri: str) -> Any:
        opened.append(uri.removeprefix(f"{s3}/to/"))
        return real(uri)

    monkeypatch.setattr(storage, "open_output", record)
    transfer.upload(folder, f"{s3}/to", last=lambda name: name == "config.json")
    assert opened == ["a/b/deep.txt", "empty", "model.safetensors", "config.json"]


def test_an_upload_that_breaks_off_has_not_written_what_comes_last(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "to" / "model.safetensors").mkdir(parents=True)  # cannot be replaced by a file
    with pytest.raises(OSError, match=r"model\.safetensors"):
        transfer.upload(folder, str(tmp_path / "to"), last=lambda name: name == "config.json")
    assert content(tmp_path / "to") == {name: FILES[name] for name in ("a/b/deep.txt", "empty")}


def test_a_store_that_is_gone_is_an_oserror(folder: Path, s3: str, wire: Any) -> None:
    wire.cut()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the store's affair
        transfer.upload(folder, f"{s3}/to")


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    assert transfer.local(str(tmp_path)) == tmp_path
    assert transfer.local(f"file://{tmp_path}") == tmp_path


def test_a_folder_elsewhere_is_copied_once(folder: Path, s3: str, cache: Path, wire: Any) -> None:
    transfer.upload(folder, f"{s3}/to")
    place = transfer.local(f"{s3}/to")
    assert content(place) == FILES
    assert place.parent == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (place / "empty").write_bytes(b"marked")
    assert transfer.local(f"{s3}/to") == place
    assert (place / "empty").read_bytes() == b"marked"
    assert [path.name for path in cache.iterdir()] == [place.name]


def test_copies_that_nobody_asked_for_in_a_week_are_deleted(folder: Path, s3: str, cache: Path) -> None:
    transfer.upload(folder, f"{s3}/to")
    old, used = cache / "old", cache / "used"
    before = transfer.local(f"{s3}/to")
    week = time.time() - 8 * 86400
    for place in (old, used):
        place.mkdir()
    for place in (old, before):
        os.utime(place, (week, week))
    assert transfer.local(f"{s3}/to") == before  # now it is in use again
    storage.write_bytes(f"{s3}/to/config.json", b"[1]")
    after = transfer.local(f"{s3}/to")
    assert {path.name for path in cache.iterdir()} == {used.name, before.name, after.name}


def test_a_folder_that_changes_is_copied_again(folder: Path, s3: str, cache: Path) -> None:
    transfer.upload(folder, f"{s3}/to")
    before = transfer.local(f"{s3}/to")
    storage.write_bytes(f"{s3}/to/config.json", b"[1]")
    after = transfer.local(f"{s3}/to")
    assert after != before
    assert content(after) == {**FILES, "config.json": b"[1]"}
    assert content(before) == FILES  # whoever reads it goes on


def test_processes_at_the_same_time_share_one_copy(folder: Path, s3: str, cache: Path) -> None:
    transfer.upload(folder, f"{s3}/to")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(transfer.local(f"{s3}/to"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert content(found[0]) == FILES
    assert [path.name for path in cache.iterdir()] == [found[0].name]


def test_a_download_that_breaks_off_leaves_no_copy(folder: Path, s3: str, cache: Path, wire: Any) -> None:
    transfer.upload(folder, f"{s3}/to")
    wire.down = 3000  # the listing comes through
    with pytest.raises(OSError):  # noqa: PT011 - which one is the store's affair
        transfer.local(f"{s3}/to")
    assert not cache.exists() or list(cache.iterdir()) == []
    wire.mend()
    assert content(transfer.local(f"{s3}/to")) == FILES


def test_a_cache_that_is_somebody_elses_is_not_used(
    folder: Path, s3: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.upload(folder, f"{s3}/to")
    cache.mkdir()
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    cache.rename(cache.with_name(f"midb-{real + 1}"))
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        transfer.local(f"{s3}/to")
