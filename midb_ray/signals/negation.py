"""Whether a sentence negates, in any of the known languages: `negation.yaml` says how they do.

A translation that has lost a "not" reads well and says the opposite, so nothing but the source gives it away.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

import regex
import yaml


class _Signs(NamedTuple):
    """The patterns of one language."""

    any: regex.Pattern[str]
    strong: regex.Pattern[str] | None
    blanks: regex.Pattern[str] | None
    idioms: regex.Pattern[str] | None
    hints: tuple[str, ...]
    doubles: tuple[regex.Pattern[str], ...]


_NOTHING: Final = "(?!)"


def known(language: str) -> bool:
    """Whether it is known how a language (an ISO 639-1 code) negates."""
    return language in _languages()


def negates(text: str, language: str) -> bool:
    """Whether there is a negation in `text`, strong or weak. Raises KeyError for a language that is not `known`."""
    signs = _languages()[language]
    if signs.any.search(text) is None:
        return False
    return signs.blanks is None or signs.any.search(signs.blanks.sub(" ", text)) is not None


def times(text: str, language: str) -> int:
    """How many negations there are in `text`, strong or weak. Raises KeyError for a language that is not `known`."""
    signs = _languages()[language]
    text = text if signs.blanks is None else signs.blanks.sub(" ", text)
    found = len(signs.any.findall(text))
    return found - min((len(one.findall(text)) for one in signs.doubles), default=0)


def denials(text: str, language: str) -> list[str]:
    """The words in `text` that negate their clause for sure, and that a translation has to negate too; none where nothing is
    known of the language as one that is translated from."""
    signs = _languages().get(language)
    if signs is None or signs.strong is None or not any(map(text.casefold().__contains__, signs.hints)):
        return []
    if signs.idioms is not None:
        text = signs.idioms.sub(" ", text)
    return list(signs.strong.findall(text))


@lru_cache(maxsize=1)
def _languages() -> dict[str, _Signs]:
    text = resources.files("midb_ray.signals").joinpath("negation.yaml").read_text(encoding="utf-8")
    return {language: _signs(entry) for language, entry in yaml.safe_load(text).items()}


def _signs(entry: dict[str, Any]) -> _Signs:
    words, pieces = entry.get("words", _NOTHING), entry.get("pieces", _NOTHING)
    return _Signs(
        _compiled(rf"\b(?:{words})\b|{pieces}"),
        _compiled(rf"\b(?:{entry['strong']})\b") if "strong" in entry else None,
        _compiled("|".join(entry["blanks"])) if "blanks" in entry else None,
        _compiled(rf"\b(?:{'|'.join(entry['idioms'])})") if "idioms" in entry else None,
        tuple(entry.get("hints", ("",))),
        tuple(map(_compiled, entry.get("doubles", ()))),
    )


def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.IGNORECASE)
