"""What an output depends on: which settings, how two runs differ in them, and which differences a run can live with."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from typing import Any

import xxhash

from midb_ray.errors import UserError

SEMANTICS_VERSION = 3  # raised by hand whenever the same settings would give another output
PLANNING = ("format", "limit", "only", "sample", "shard_rows")
"""Settings that made the plan: what is planned stays, so they cannot change while a run goes on."""
_ANEW = "start over with --fresh, or give another --output."

Fingerprint = dict[str, Any]


def complete(fingerprint: Fingerprint) -> Fingerprint:
    """The fingerprint as it comes back from JSON, and the version of what settings mean."""
    found: Fingerprint = json.loads(json.dumps({**fingerprint, "semantics_version": SEMANTICS_VERSION}))
    return found


def digest_of(fingerprint: Fingerprint, nonce: str) -> str:
    """A short name for a fingerprint in this run: with the nonce in it, what actors of a run before `--fresh` commit late is
    never taken for this one's."""
    text = json.dumps([nonce, fingerprint], sort_keys=True, ensure_ascii=False)
    return xxhash.xxh3_128_hexdigest(text.encode())


def refuse_unknown(accept: tuple[str, ...], known: set[str]) -> None:
    """Raise `UserError` for a setting that cannot be accepted: unknown, or one that made the plan."""
    for key in accept:
        if key in PLANNING:
            raise UserError(f"--accept {key}: {key} made the plan of the run and cannot change in it; {_ANEW}")
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}."
            raise UserError(f"--accept {key}: no output depends on a setting of this name; {hint}")


def refuse_changed(
    uri: str, before: Fingerprint, now: Fingerprint, accept: tuple[str, ...], fixed: Collection[str] = PLANNING
) -> None:
    """Raise `UserError` that shows how the run at `uri` differs in settings that `accept` does not name. Those that are `fixed`,
    by their first word, cannot be accepted."""
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    refused = [key for key in changed if key not in accept]
    if refused:
        shown = "; ".join(f"{key} was {_short(before, key)}, is now {_short(now, key)}" for key in refused)
        accepting = " ".join(f"--accept {key}" for key in refused)
        advice = (
            _ANEW
            if any(key.partition(".")[0] in fixed for key in refused)
            else f"go on knowingly with {accepting}, {_ANEW}"
        )
        raise UserError(f"The output {uri} was made with other settings: {shown}; {advice}")


def _short(values: Fingerprint, key: str) -> str:
    if key not in values:
        return "the default"  # those are left out, so that a new setting leaves old runs as they are
    text = json.dumps(values[key], ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"
