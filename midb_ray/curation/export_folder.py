"""The folder of an export: whose it is, whether an export may begin or go on in it, and what is deleted when.

fr/train-00000-of-00002.jsonl    the rows of one language
README.md                        the data card
export.json                      settings and counts; `complete` when all of it is there
pieces/, nonce, driver.json      while an export is at work
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Final

from midb_ray.errors import UserError
from midb_ray.runs import claim, folder, storage
from midb_ray.runs.fingerprint import Fingerprint, refuse_changed

FILE: Final = "export.json"
CARD: Final = "README.md"
PIECES: Final = "pieces"
NONCE: Final = "nonce"
_ROWS: Final = re.compile(r"train-\d{5,}-of-\d{5,}\.(jsonl|parquet)")


def examine(place: str, made_of: Fingerprint, fresh: bool) -> dict[str, Any] | None:
    """What export.json says of the export that would go on at `place`; None if one would begin.

    Raises `UserError` for a folder of something else, or of an export with other settings, and OSError.
    """
    if place.startswith("hf://"):
        raise UserError(f"The output {place} lies on a hub, which can only be read; give a path, s3:// or gs://.")
    if storage.info(place) is not None:
        raise UserError(f"The output {place} is a file; expected a folder, new or of an earlier export.")
    found = _read(place)
    if found is None:
        _refuse_strangers(place)
    if found is None or fresh:
        return None
    refuse_changed(place, found["fingerprint"], made_of, (), made_of.keys())
    return found


def begin(place: str, made_of: Fingerprint, fresh: bool) -> str:
    """Make the folder of an export that begins, or leave the one that goes on; returns its nonce. Raises like `examine`."""
    if examine(place, made_of, fresh) is None:
        _clear(place)
        folder.write_json(place, FILE, {"complete": False, "fingerprint": made_of})
    nonce = secrets.token_hex(16)
    storage.write_bytes(storage.join(place, NONCE), nonce.encode())
    return nonce


def tidy(place: str) -> None:
    """Delete what is only there while an export is at work."""
    folder.sweep(place)
    storage.delete_folder(storage.join(place, PIECES))
    storage.delete(storage.join(place, NONCE))


def sizes(place: str, languages: set[str]) -> dict[str, int]:
    """The files of rows in the folders of languages, by their place below the folder, and their sizes."""
    found = [file for language in languages for file in storage.list_files(storage.join(place, language))]
    return {file.uri.removeprefix(f"{place}/"): file.size for file in found}


def _clear(place: str) -> None:
    """Delete what an export has written, and nothing else."""
    tidy(place)
    for name in storage.list_folders(place):
        there = storage.list_files(storage.join(place, name))
        ours = [file for file in there if _ROWS.fullmatch(file.uri.rpartition("/")[2])]
        if ours and len(ours) == len(there) and not storage.list_folders(storage.join(place, name)):
            storage.delete_folder(storage.join(place, name))
            continue
        for file in ours:
            storage.delete(file.uri)
    for name in (CARD, FILE):  # export.json last: until then the folder is still an export's
        storage.delete(storage.join(place, name))


def _refuse_strangers(place: str) -> None:
    names = {*(file.uri.rpartition("/")[2] for file in storage.list_files(place)), *storage.list_folders(place)}
    for name in sorted(names - {claim.FILE, NONCE, "lost+found"}):
        if not name.startswith("."):
            raise UserError(
                f"The output {place} holds something that is of no export ({name}); give an empty or a new folder."
            )


def _read(place: str) -> dict[str, Any] | None:
    """What export.json says; None if there is none. Raises `UserError` for one that is not ours."""
    path = storage.join(place, FILE)
    try:
        found = json.loads(storage.read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (RecursionError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("fingerprint"), dict):
        raise UserError(f"{path} is no file of an export; give another --output.")
    return found
