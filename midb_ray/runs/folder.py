"""The run folder: whose it is, what made it, and whether a run may go on in it.

run.json          settings, fingerprint, versions        plan.parquet   the shards
pairs/            committed output, a file per shard     dead_letters/  rows that could not become pairs
attempts/         shards that took an engine down        staging/       input that had to be unpacked
progress.json     rewritten every few seconds            metrics.jsonl  the same over time
summary.json      totals, written at the end             driver.json    who is at work, while somebody is
nonce             proof that storage is shared           spent.json     time that engines were up, for the caps
halt              says that no shard begins any more     report.html    made at the end
excluded/         rows that a selection left out         buckets/       rows on their way to others, while a run lasts
sisters/          what translations of one source tell of each other, while a run lasts, and how many there were
"""

from __future__ import annotations

import datetime
import json
import platform
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import midb_ray
from midb_ray.errors import UserError
from midb_ray.runs import claim, storage
from midb_ray.runs.fingerprint import PLANNING, Fingerprint, complete, digest_of, refuse_changed, refuse_unknown

PLAN = "plan.parquet"
_RUN = "run.json"
_OURS = (
    _RUN,
    claim.FILE,
    PLAN,
    "progress.json",
    "metrics.jsonl",
    "summary.json",
    "nonce",
    "spent.json",
    "halt",
    "report.html",
    "deepspeed.json",
)
_FOLDERS = ("pairs", "excluded", "dead_letters", "attempts", "buckets", "sisters", "staging")
_TRAINING = ("revisions", "examples", "start", "checkpoints", "booster", "adapter", "tensorboard")

_KEYS = {"job": str, "fingerprint": dict, "digests": list, "nonce": str}


@dataclass(frozen=True)
class RunFolder:
    """An open run folder. `digests` are those of all fingerprints whose parts count as done; `digest` is the present one."""

    uri: str
    digest: str
    nonce: str
    digests: frozenset[str] = field(default_factory=frozenset)
    resumed: bool = False


def examine(
    uri: str,
    job: str,
    fingerprint: Fingerprint,
    accept: tuple[str, ...] = (),
    fresh: bool = False,
    fixed: Collection[str] = PLANNING,
) -> dict[str, Any] | None:
    """What run.json says of the run that would go on at `uri`; None if one would begin. Writes nothing. Settings that are `fixed`
    cannot change in a run.

    Raises `UserError` if the folder belongs to something else, to another job, or to a run with another fingerprint (the
    difference is shown) that `accept` does not cover, and for keys in `accept` that no fingerprint has.
    """
    uri, fingerprint = storage.absolute(uri), complete(fingerprint)
    if uri.startswith("hf://"):
        raise UserError(f"The output {uri} lies on a hub, which can only be read; give a path, s3:// or gs://.")
    try:
        if storage.info(uri) is not None:
            raise UserError(f"The output {uri} is a file; expected a folder, new or of an earlier run.")
        found = _read(uri, fresh)
        if found is None:
            _refuse_strangers(uri, fresh)
        elif found["job"] != job:
            raise UserError(f"The output {uri} belongs to a {found['job']} run; give this {job} run another --output.")
        goes_on = found is not None and not fresh and _has_begun(uri, found["fingerprint"] == fingerprint)
    except OSError as error:
        raise storage.explain(error, uri, "use the output folder") from None
    before = found["fingerprint"] if found else {}
    refuse_unknown(accept, {*before, *fingerprint})
    if goes_on:
        refuse_changed(uri, before, fingerprint, accept, fixed)
    return found if goes_on else None


def open_run(
    uri: str, job: str, fingerprint: Fingerprint, settings: dict[str, Any], found: dict[str, Any] | None = None
) -> RunFolder:
    """Go on in the run folder that `examine` has `found`, or make one where it found none. The folder's own `uri` is absolute: any
    process finds it. Raises `UserError` if nothing can be written there."""
    uri, fingerprint = storage.absolute(uri), complete(fingerprint)
    try:
        if found is not None:
            return _resume(uri, fingerprint, settings, found)
        _clear(uri)
        return _create(uri, job, fingerprint, settings)
    except OSError as error:
        raise storage.explain(error, uri, "use the output folder") from None


def is_run(content: object) -> bool:
    """Whether the content of a run.json is of one of our runs."""
    return isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in _KEYS.items())


def prove_shared(uri: str, nonce: str) -> None:
    """Raise `UserError` unless this process sees the run folder that the driver made; OSError if storage refuses to say."""
    try:
        seen = storage.read_bytes(storage.join(uri, "nonce")).decode()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        seen = ""
    if seen != nonce:
        raise UserError(
            f"The output {uri} is not shared storage: node {platform.node()} does not see what the driver wrote there. "
            "Give an s3:// or gs:// URI, or a path that is mounted on every node."
        )


def write_json(uri: str, name: str, content: dict[str, Any]) -> None:
    """Write one of the folder's JSON files."""
    storage.write_bytes(storage.join(uri, name), json.dumps(content, ensure_ascii=False, indent=1).encode())


def sweep(uri: str) -> None:
    """Delete what processes that were killed in the middle of a local write have left in the folder."""
    if storage.is_local(uri):
        for path in Path(storage.resolve(uri)[1]).rglob(".*.tmp"):
            path.unlink(missing_ok=True)


def _read(uri: str, fresh: bool) -> dict[str, Any] | None:
    """What run.json says; None if there is none, or if it says nothing and is not needed."""
    path = storage.join(uri, _RUN)
    try:
        content = json.loads(storage.read_bytes(path))
    except FileNotFoundError:
        return None
    except ValueError:
        if fresh:
            return None
        raise UserError(f"{path} is not valid JSON; give another --output, or start over with --fresh.") from None
    if not is_run(content):
        ours = storage.info(storage.join(uri, "nonce")) is not None
        if ours and fresh:
            return None
        advice = " or start over with --fresh" if ours else ""
        raise UserError(f"{path} is no run file of midb_ray; give another --output{advice}.")
    found: dict[str, Any] = content
    return found


def _has_begun(uri: str, unchanged: bool) -> bool:
    """Whether anything was planned or done; if not, the run may begin anew with whatever settings. A training set alone can be used
    while nothing has changed, and binds nobody."""
    folders = ("pairs", "checkpoints", "booster", *(("revisions",) if unchanged else ()))
    if any(storage.is_folder(storage.join(uri, name)) for name in folders):
        return True
    return any(storage.info(storage.join(uri, name)) is not None for name in (PLAN, "examples/facts.json"))


def _refuse_strangers(uri: str, fresh: bool) -> None:
    """Raise `UserError` if a folder without run.json holds anything but hidden files; what runs write may be there if `fresh`."""
    found = {*(file.uri.rpartition("/")[2] for file in storage.list_files(uri)), *storage.list_folders(uri)}
    ours = {*_OURS, *_FOLDERS, *_TRAINING}
    for name in sorted(found - ours - {"lost+found"}):
        if not name.startswith("."):
            raise UserError(
                f"The output {uri} holds something that is of no run ({name}); give an empty or a new folder."
            )
    if found & ours - {"nonce", "staging", claim.FILE} and not fresh:
        raise UserError(
            f"The output {uri} holds parts of a run but not its run.json; start over with --fresh, or give another --output."
        )


def _create(uri: str, job: str, fingerprint: Fingerprint, settings: dict[str, Any]) -> RunFolder:
    nonce = secrets.token_hex(16)
    digest = digest_of(fingerprint, nonce)
    storage.write_bytes(storage.join(uri, "nonce"), nonce.encode())
    content = {
        "job": job,
        "created": _now(),
        "fingerprint": fingerprint,
        "digests": [digest],
        "nonce": nonce,
        "settings": settings,
        "versions": _versions(),
    }
    write_json(uri, _RUN, content)
    return RunFolder(uri, digest, nonce, frozenset([digest]))


def _resume(uri: str, fingerprint: Fingerprint, settings: dict[str, Any], found: dict[str, Any]) -> RunFolder:
    digest = digest_of(fingerprint, found["nonce"])
    digests = list(dict.fromkeys([*found["digests"], digest]))
    if found["fingerprint"] != fingerprint:
        found = {**found, "fingerprint": fingerprint, "digests": digests, "settings": settings, "changed": _now()}
        write_json(uri, _RUN, found)
    return RunFolder(uri, digest, found["nonce"], frozenset(digests), resumed=True)


def _clear(uri: str) -> None:
    """Delete what a run has written, and nothing else; what is staged has been planned already and is read next."""
    for folder in (*_FOLDERS, *_TRAINING):
        if folder == "staging":
            continue
        storage.delete_folder(storage.join(uri, folder))
    for name in reversed(_OURS):  # run.json last: until then the folder is still that run's
        if name != claim.FILE:
            storage.delete(storage.join(uri, name))


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    names = ("ray", "torch", "transformers", "pyarrow", "deepspeed")
    installed = {name: metadata.version(name) for name in names if _is_installed(name)}
    return {"midb_ray": midb_ray.__version__, "python": platform.python_version(), **installed}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
