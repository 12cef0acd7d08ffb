"""Where the pairs of a run come from: the run that is exported, the run that it read, and so on up to the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import commit, earlier, folder, shards, storage

_LONGEST: Final = 16  # runs in a line, should their inputs ever go in a circle
_PAIRS: Final = "/pairs"


class Origin(NamedTuple):
    """A run, as a data card tells it: the job and when it began, the files that it read as they were named, the model that wrote or
    judged (None without one), the number of rows that it read, its decisions by language, and what became no pair of its output by
    reason: dead letters, and pairs that a selection excluded."""

    job: str
    created: str
    sources: tuple[str, ...]
    model: str | None
    rows: int
    decisions: dict[str, dict[str, int]]
    dead_letters: dict[str, int]
    excluded: dict[str, int]


def trace(run: str) -> list[Origin]:
    """The run at a URI, then those that it goes back to, as far as they can still be found."""
    origins: list[Origin] = []
    seen: set[str] = set()
    waiting = [storage.absolute(run).rstrip("/")]
    while waiting and len(origins) < _LONGEST:
        uri = waiting.pop(0)
        found = None if uri in seen else _json(uri, "run.json")
        seen.add(uri)
        if found is None or not folder.is_run(found):
            continue
        settings = _mapping(found.get("settings"))
        given = [one for one in _listed(settings.get("input")) if isinstance(one, str)]
        origins.append(_origin(uri, found, settings, given))
        waiting += dict.fromkeys(_runs(given))
    return origins


def _origin(uri: str, found: Mapping[str, Any], settings: Mapping[str, Any], given: Iterable[str]) -> Origin:
    summary = _json(uri, "summary.json") or {}
    rows, decisions = summary.get("rows_in"), summary.get("languages", summary.get("decisions"))
    return Origin(
        found["job"],
        str(found.get("created", ""))[:40],
        tuple(dict.fromkeys(map(_source, _planned(uri) or given))),
        _model(found["job"], settings),
        rows if isinstance(rows, int) else 0,
        {str(language): _decisions(counts) for language, counts in _mapping(decisions).items()},
        _counts(summary.get("dead_letter_reasons")),
        _counts(summary.get("reasons")) if found["job"] == "select" else {},
    )


def _source(name: str) -> str:
    """A file as it is told; the parts of a run are told together, by their folder."""
    return name if commit.shard_of(name) is None else name.rpartition("/")[0]


def _planned(uri: str) -> list[str]:
    """The files that a run has planned; nothing if its plan is gone."""
    try:
        return [file.name for file in shards.planned_files(storage.join(uri, folder.PLAN))]
    except (OSError, UserError):
        return []


def _model(job: str, settings: Mapping[str, Any]) -> str | None:
    """The model that a run has asked; None if it had none."""
    engine = _mapping(settings.get("engine"))
    if job == "score" and _mapping(settings.get("judge")).get("on") is not True:
        return None
    if job not in ("boost", "score") or engine.get("kind") in (None, "echo"):
        return None
    revision = engine.get("revision")
    return f"{engine.get('model')}{f' @ {revision}' if revision else ''} ({engine['kind']})"


def _runs(given: Iterable[str]) -> Iterator[str]:
    """The folders that may be those of the runs behind some inputs."""
    for one in given:
        try:
            uri = storage.absolute(one).rstrip("/")
        except UserError:
            continue
        above, separator, below = uri.rpartition(_PAIRS)
        yield above if separator and below[:1] in ("", "/") else uri


def _json(uri: str, name: str) -> dict[str, Any] | None:
    try:
        return earlier.described(uri, name)
    except (OSError, UserError):
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _decisions(value: Any) -> dict[str, int]:
    """How many pairs of a language were decided how; a selection tells their sum beside it."""
    return {name: count for name, count in _counts(value).items() if name != "rows"}


def _counts(value: Any) -> dict[str, int]:
    return {str(key): count for key, count in _mapping(value).items() if isinstance(count, int)}
