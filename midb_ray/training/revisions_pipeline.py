"""Make a training set as a job: check, read, choose, write."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa

from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.runs import claim, cluster, inputs, parquet, storage
from midb_ray.runs.stream import over_cluster
from midb_ray.training import revisions, training_set
from midb_ray.training.revisions_settings import RevisionsSettings
from midb_ray.training.selection_table import table

logger = logging.getLogger("midb_ray")

_SET = (training_set.TRAIN, training_set.VALIDATION, training_set.RECORD)
_BESIDE = {revisions.STAGING, claim.FILE, "lost+found"}  # what a job that was killed leaves, and what is no one's


def make(settings: RevisionsSettings) -> str:
    """Run the job; returns the table by language. Does nothing if the same set stands there already.

    Raises `UserError` for what the user can mend, before Ray starts where it can be known by then.
    """
    locales = load_locales(settings.locales)
    cluster.refuse_lost(settings.output)
    place = storage.absolute(settings.output)
    files = training_set.find(settings.revisions, place)
    inputs.check(files)
    wanted = training_set.made_of(files, settings.selection, settings.seed, locales)
    if (before := _before(place, wanted, settings.fresh)) is not None:
        logger.info("The training set in %s is finished; nothing to do.", place)
        return table(before)
    with claim.Claim(place), cluster.connected(settings.address):
        if (before := _before(place, wanted, settings.fresh)) is None:
            logger.info("Reading revisions from %d file(s)…", len(files))
            before = training_set.make(
                settings.revisions, settings.selection, settings.seed, locales, place, over_cluster
            )
    train, validation = (before["rows"][name] for name in (training_set.TRAIN, training_set.VALIDATION))
    logger.info("Training set: %s (%s rows to train on, %s to validate on)", place, f"{train:,}", f"{validation:,}")
    return table(before)


def _before(place: str, wanted: dict[str, Any], fresh: bool) -> dict[str, Any] | None:
    """The record of the same set, if it stands there finished; None if it has to be made.

    Raises `UserError` if the folder holds anything else, or another set and it is not to be made `fresh`.
    """
    if place.startswith("hf://"):
        raise UserError(f"The output {place} lies on a hub, which can only be read; give a path, s3:// or gs://.")
    try:
        if storage.info(place) is not None:
            raise UserError(f"The output {place} is a file; expected a folder, new or of an earlier training set.")
        is_set = training_set.is_set(place)
        _refuse_strangers(place, is_set)
    except OSError as error:
        raise storage.explain(error, place, "use the output folder") from None
    if not is_set or fresh:
        return None
    record = training_set.load(place)
    if differences := _differences(record["made_of"], wanted):
        shown = "; ".join(differences[:3]) + (f"; and {len(differences) - 3} more" if len(differences) > 3 else "")
        raise UserError(
            f"The output {place} holds a training set that was made otherwise: {shown}; make it anew with --fresh, or give another "
            "--output."
        )
    return record


def _refuse_strangers(place: str, is_set: bool) -> None:
    names = {*(file.uri.rpartition("/")[2] for file in storage.list_files(place)), *storage.list_folders(place)}
    for name in sorted(names - _BESIDE):
        theirs = name not in _SET or not (is_set or _is_marked(storage.join(place, name)))
        if theirs and not name.startswith("."):
            raise UserError(
                f"The output {place} holds something that is of no training set of ours ({name}); give an empty or a new folder."
            )


def _is_marked(uri: str) -> bool:
    """Whether a file is of a set that was not finished."""
    try:
        return training_set.MARK in (parquet.footer(uri).metadata or {})
    except pa.ArrowInvalid:
        return False


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """How two sets differ in what they were made of, as clauses."""
    changed = [key for key in sorted({*before, *now} - {"inputs"}) if before.get(key) != now.get(key)]
    clauses = [f"{key} was {before.get(key)}, is now {now.get(key)}" for key in changed]
    old, new = before.get("inputs", {}), now["inputs"]
    for uri in sorted({*old, *new}):
        if uri not in new:
            clauses.append(f"{uri} was read and is not given now")
        elif old.get(uri) != new[uri]:
            clauses.append(f"{uri} has changed since" if uri in old else f"{uri} was not read")
    return clauses
