"""What a model reports of its revision: "The response has been revised for clarity.", "No changes needed.", "Changes made:" with a
list. The phrases are data, in `reports.yaml` beside this file, by language; English is looked for in every language.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

from midb_ray.signals.remarks import folded

TAIL: Final = 1_000
"""Characters at the end of a text in which a list of changes can begin."""

_SENTENCE: Final = 240  # characters of a report in a sentence of its own
_NOTHING: Final = 80  # characters of a text that says no more than that nothing was changed
_ITEM: Final = r"[ \t]*\n+[ \t]{0,8}(?:[-*+–—•・·]|\(?\d{1,2}[.)）．、])"


class Phrases(NamedTuple):
    """The reports of one language and of English: patterns that match a casefolded text."""

    done: re.Pattern[str]
    nothing: re.Pattern[str]
    listed: re.Pattern[str]


def says_done(text: str, language: str) -> bool:
    """Whether the first or the last line of `text` begins with a report that a part of the pair was revised."""
    done = _phrases(language).done
    head, end = text[:_SENTENCE].lstrip(), text[-_SENTENCE:].rstrip().rpartition("\n")[2]
    return bool(done.match(folded(head)) or done.match(folded(end)))


def says_nothing(text: str, language: str) -> bool:
    """Whether `text` says nothing but that there was nothing to change."""
    return len(text) <= _NOTHING and _phrases(language).nothing.match(folded(text)) is not None


def lists_changes(text: str, language: str) -> bool:
    """Whether `text` goes on, after its first line, to a list of the changes that were made."""
    tail = text[-TAIL:]
    if "\n" not in tail or (":" not in tail and "：" not in tail and "**" not in tail):
        return False
    return _phrases(language).listed.search(folded(tail)) is not None


@lru_cache(maxsize=64)
def _phrases(language: str) -> Phrases:
    data, filler = _data(), r"[\s\"“„«「*_>#(（\[]{0,8}"
    parts = [data.get(language, data["en"]), data["en"]]
    done, nothing, listed = (
        "|".join(
            dict.fromkeys(
                re.sub(r"\s*\|\s", "|", folded(part[name])).replace("…", r"[^.!?\n]{0,60}?") for part in parts
            )
        )
        for name in ("done", "nothing", "listed")
    )
    return Phrases(
        re.compile(rf"{filler}(?:{done})"),
        re.compile(rf"{filler}(?:{nothing})"),
        re.compile(rf"\n[#*_ \t(\[]{{0,6}}(?:{listed})[*_ \t]{{0,4}}[:：][*_)\]]{{0,4}}{_ITEM}"),
    )


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, str]]:
    text = (resources.files("midb_ray") / "signals" / "reports.yaml").read_text(encoding="utf-8")
    data: dict[str, dict[str, str]] = yaml.safe_load(text)
    return data
