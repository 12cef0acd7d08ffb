"""A cluster's token: where it is found, and what may be one. No message shows it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from midb_ray.errors import UserError

_TOKEN = re.compile(r"[!-~]+\Z")


def find() -> tuple[str, str] | None:
    """The token in reach and where it was found, looked for where Ray looks. Raises `UserError` for one that is none."""
    if inline := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _checked(inline, "RAY_AUTH_TOKEN"), "RAY_AUTH_TOKEN"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if not named and not path.is_file():
        return None
    return read(path), str(path)


def read(path: Path) -> str:
    """The token in a file. Raises `UserError` for one that is none."""
    try:
        found = path.read_bytes().decode("latin-1").strip()
    except OSError as error:
        raise UserError(f"The token in {path} cannot be read: {error.strerror}.") from None
    return _checked(found, f"the file {path}")


def _checked(found: str, source: str) -> str:
    if not found:
        raise UserError(f"The token in {source} is empty; put the cluster's token there.")
    if not _TOKEN.match(found):
        raise UserError(
            f"What {source} holds is no token: expected one line of ASCII without spaces; put the cluster's token there."
        )
    return found
