"""The language that a file's name states, for rows that state none.

Only what is clearly meant counts: a full name or an ISO code or tag that makes up
- the whole stem: `French.json`, `fr.jsonl`, `pt-BR.parquet`;
- or the last part of the stem: `corpus.fr.jsonl`, `alpaca-pt-BR.json`, `alpaca_French_00000-of-00004.parquet`;
- or a folder: `corpora/fr/part-1.jsonl`, `lang=fr/part-1.jsonl`. The folder nearest to the file decides.

Codes that are also endings of another meaning (`user_id`, `do-it`, `latency_ms`, `part-vi`, `x_tr`) count only where
nothing else can be meant: as the whole stem, after a dot (`corpus.id.jsonl`), with a region (`corpus-id-ID`) or after
`lang=`.
"""

from __future__ import annotations

import re

from midb_ray.locales import Locale, Locales

_EXTENSIONS = re.compile(r"(\.(jsonl|ndjson|json|parquet|pq|txt|gz|gzip|zst|zstd))+$", re.IGNORECASE)
_NUMBERING = re.compile(r"([-_.](\d+|of|part|shard))+$", re.IGNORECASE)
_TAG = re.compile(r"([a-zA-Z]{2,3})([-_][A-Z][a-z]{3})?(?:[-_]([a-zA-Z]{2}))?")
_LAST_TAG = re.compile(r"(?:^|[-_.])([a-zA-Z]{2,3}[-_][a-zA-Z]{2})$")
_LAST_PART = re.compile(r"([-_.])([^-_.]+)$")
_STATED = re.compile(r"(?:lang|language|locale)=(.+)", re.IGNORECASE)
_OTHER_MEANING = {"it", "id", "ms", "vi", "tr", "ind", "may"}


def file_language(file: str, locales: Locales) -> Locale | None:
    """The language stated by the name or the folders of `file` (a path or a URI), or None."""
    *folders, name = file.split("://")[-1].split("/")
    stem = _NUMBERING.sub("", _EXTENSIONS.sub("", name))
    found = _named(stem, locales) or _ending(stem, locales)
    for folder in reversed(folders):
        if found:
            break
        stated = _STATED.fullmatch(folder)
        found = _named(stated[1], locales) if stated else _named(folder, locales, clearly=True)
    return found


def _ending(stem: str, locales: Locales) -> Locale | None:
    """The language in the last part of a stem, or in the last two ("pt-BR")."""
    tag = _LAST_TAG.search(stem)
    if tag and (found := _named(tag[1], locales)):
        return found
    last = _LAST_PART.search(stem)
    return _named(last[2], locales, clearly=last[1] != ".") if last else None


def _named(name: str, locales: Locales, clearly: bool = False) -> Locale | None:
    """The language called `name` as a whole; `clearly` leaves out codes with another meaning."""
    if clearly and name.casefold() in _OTHER_MEANING:
        return None
    tag = _TAG.fullmatch(name)
    if tag is None:
        return locales.find(re.sub(r"[-_]", " ", name))
    found = locales.find(name)
    second = locales.find(tag[3]) if tag[3] and not tag[3].isupper() else None
    two_languages = found and second and second.language != found.language  # "de-it" is a pair of languages, no region
    return None if two_languages else found
