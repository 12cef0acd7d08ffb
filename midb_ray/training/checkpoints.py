"""The checkpoints of a run as they lie in its folder, beside what Ray Train believes of them.

Ray Train keeps a list of its checkpoints and goes on from the latest. A list that a dying process did not finish, or a checkpoint
that storage has damaged, would stop the run at every start; and what workers wrote before Ray Train heard of it would stay
for ever.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from midb_ray.runs import storage, tensors
from midb_ray.training.state import POSITION

logger = logging.getLogger("midb_ray")

FOLDER = "checkpoints"
_LIST = "checkpoint_manager_snapshot.json"
_PREFIX = "checkpoint_"


def mend(run: str) -> str | None:
    """Make the folder one that Ray Train can go on in. Returns the checkpoint to begin with where Ray Train cannot know it: the
    newest whole one, when its list or its latest is damaged. Deletes what is on no list and not needed. Raises OSError."""
    place = storage.join(run, FOLDER)
    names = [name for name in storage.list_folders(place) if name.startswith(_PREFIX)]
    known, latest = _listed(place)
    if latest is not None and is_whole(storage.join(place, latest)):
        _delete(place, set(names) - known)
        return None
    whole = next((name for name in sorted(names, reverse=True) if is_whole(storage.join(place, name))), None)
    storage.delete(storage.join(place, _LIST))
    _delete(place, set(names) - {whole})
    if whole is None:
        if latest is not None:
            logger.warning("No checkpoint in %s is whole: training begins anew.", place)
        return None
    if latest is not None:
        logger.warning("The checkpoint %s is damaged: training goes on from %s.", latest, whole)
    return storage.join(place, whole)


def is_whole(uri: str) -> bool:
    """Whether a checkpoint has its position and every worker's file, as long as it says of itself. Raises OSError."""
    files = {file.uri.rpartition("/")[2]: file for file in storage.list_files(uri)}
    states = [name for name in files if name.startswith("state-") and name.endswith(".safetensors")]
    if POSITION not in files or not states:
        return False
    if any(int(name.removesuffix(".safetensors").rpartition("-")[2]) != len(states) for name in states):
        return False
    return all(_has_its_length(files[name]) for name in states)


def _has_its_length(found: storage.FileInfo) -> bool:
    try:
        with storage.open_input(found.uri) as file:
            return tensors.length(file) == found.size
    except ValueError:
        return False


def _listed(place: str) -> tuple[set[str], str | None]:
    """The checkpoints on Ray Train's list, and the latest; none and None without a list that can be read."""
    try:
        found: Any = json.loads(storage.read_bytes(storage.join(place, _LIST)))
        latest = found["latest_checkpoint_result"]
        names = {str(one["checkpoint_dir_name"]) for one in found["checkpoint_results"]}
        return (
            (names | {str(latest["checkpoint_dir_name"])}, str(latest["checkpoint_dir_name"]))
            if latest
            else (names, None)
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set(), None


def _delete(place: str, names: set[str]) -> None:
    for name in names:
        storage.delete_folder(storage.join(place, name))
