"""Lines of the log: plain, or with MIDB_RAY_LOG=json one JSON object each, for whatever collects logs."""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from midb_ray.errors import UserError

VARIABLE: Final = "MIDB_RAY_LOG"
_FORMS: Final = ("plain", "json")
_FIGURES: Final = "figures"


class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, message, host, process, the traceback of an `error`, and the `figures` that
    the message is made of, where it has some."""

    def format(self, record: logging.LogRecord) -> str:
        told = getattr(record, _FIGURES, None)
        found: dict[str, Any] = {} if told is None else {_FIGURES: told}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return _object(record.created, record.levelname, record.getMessage(), process=record.process, **found)


def is_json() -> bool:
    """Whether lines are JSON objects. Raises `UserError` for a form that does not exist."""
    form = os.environ.get(VARIABLE) or _FORMS[0]
    if form not in _FORMS:
        raise UserError(f"{VARIABLE} is {form!r}; expected {' or '.join(_FORMS)}.")
    return form == "json"


def handler(stream: TextIO | None = None) -> logging.Handler:
    """A handler to stderr, or another stream, that writes lines in the form that was asked for."""
    made = logging.StreamHandler(stream or sys.stderr)
    made.setFormatter(JsonLines() if is_json() else logging.Formatter("%(message)s"))
    return made


def environment() -> dict[str, str]:
    """What other processes of a job need to write the same form."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` of a record: what stands beside its message in a JSON object."""
    return {_FIGURES: dict(found)}


def line(text: str, level: str = "error") -> str:
    """A sentence that goes to stderr without a logger."""
    return _object(None, level, text, process=os.getpid()) if is_json() else text


def relayed(text: str, source: str, process: object, host: object) -> str:
    """A line that Ray brings from another process: our own objects with their source, anything else as the message of one."""
    try:
        found = json.loads(text)
        if isinstance(found, dict) and {"time", "level", "message"} <= found.keys():
            return _written({**found, "source": source})
    except (ValueError, RecursionError):  # the latter for brackets a thousand deep
        pass
    return _object(None, "info", text, process=process, host=host, source=source)


def _object(created: float | None, level: str, message: str, **more: Any) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = now if created is None else datetime.datetime.fromtimestamp(created, datetime.timezone.utc)
    found = {
        "time": moment.isoformat(timespec="milliseconds"),
        "level": level.lower(),
        "message": message,
        "host": platform.node(),
    }
    return _written({**found, **more})


def _written(found: Mapping[str, Any]) -> str:
    try:
        return json.dumps(found, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:  # JSON has no word for what is no number: null
        return json.dumps(_finite(found), ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
