"""What a model says about its own work instead of doing it: "Here is the revised pair", "Note: I changed the units", "I'm sorry,
but I can't help with that". The phrases are data, in `remarks.yaml` and `refusals.yaml` beside this file, by language.

Every function looks at the beginning or the end of a text alone and for telltale words first, so ordinary text costs little.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

HEAD: Final = 160
"""Characters at the beginning of a text in which a remark can stand."""

TAIL: Final = 320
"""Characters at the end of a text in which a remark can begin."""

SHORTEST: Final = 6
"""Characters that a remark has at least."""

_OFFER: Final = 120  # characters at the very end in which an offer stands; further up it belongs to a letter
_LINE: Final = 100  # characters of a first line that hands a revision over
_LABEL: Final = 48  # characters of one that does so as a heading: "Revised answer:"
_FILLER: Final = (
    r"[\s\"“„«「*_>(（\[]{0,8}(?:[\w' ]{2,16}[!,.！，。、][ ]?)?"  # "Sure! ", an opening bracket or quotation mark
)
_NEGATION: Final = re.compile(
    r"n['’]t|no[tn]? |unable|declin|ne |pas |nicht|kein|не |لا|ama|eme|ません|ない|없|못|não|nem|nej|δεν|tidak|tak |ไม่|không"
)
_SHORT: Final = 100  # characters up to which nothing follows upon a refusal; half as many where two say as much as four
LONGEST: Final = 800
"""Characters up to which a text that declines is nothing else."""


class Phrases(NamedTuple):
    """What remarks are recognised by in one language: words and stems, and patterns that match a casefolded text."""

    here: tuple[str, ...]
    revised: tuple[str, ...]
    pair: tuple[str, ...]
    text: tuple[str, ...]
    edits: tuple[str, ...]
    did: re.Pattern[str]
    note: tuple[str, ...]
    noted: re.Pattern[str]
    bracketed: re.Pattern[str]
    offers: tuple[str, ...]
    closing: re.Pattern[str]
    refuse: re.Pattern[str]
    cannot: re.Pattern[str]


def opens(section: str, language: str, task: str) -> bool:
    """Whether a section begins with a remark that it is a revision, in `language` (ISO 639-1) or English. The answer to a
    `task` of editing may hand a version over, but no pair."""
    phrases, head = _phrases(language), folded(section[:HEAD])
    if phrases.did.match(head):
        return True
    if not any(map(head.__contains__, phrases.revised)):
        return False
    line = head.lstrip()[:_LINE].partition("\n")[0]
    if not any(map(line.__contains__, phrases.revised)):
        return False
    label = len(line) <= _LABEL and line.rstrip("* ").endswith((":", "："))
    if not (label or any(map(line.__contains__, phrases.here))):
        return False
    if any(map(line.__contains__, phrases.pair)):
        return True
    return any(map(line.__contains__, phrases.text)) and not edits(task, language)


def edits(task: str, language: str) -> bool:
    """Whether an instruction asks for editing a text."""
    return any(map(folded(task).__contains__, _phrases(language).edits))


def closes(section: str, language: str) -> bool:
    """Whether a section ends with a note on what was changed, or with an offer to change more."""
    phrases, tail = _phrases(language), folded(section[-TAIL:])
    end = tail[-_OFFER:]
    if any(map(end.__contains__, phrases.offers)) and phrases.closing.search(end):
        return True
    if (":" in tail or "：" in tail) and any(map(tail.__contains__, phrases.note)) and phrases.noted.search(tail):
        return True
    return phrases.bracketed.search(tail) is not None


def declines(text: str, language: str, dense: bool = False) -> bool:
    """Whether a text is nothing but a refusal. `dense` scripts say in two characters what others say in four."""
    if len(text) > LONGEST:
        return False
    phrases, head = _phrases(language), folded(text[:HEAD])
    if phrases.refuse.match(head):
        return True
    return len(text) <= (_SHORT // 2 if dense else _SHORT) and phrases.cannot.match(head) is not None


def negates(text: str) -> bool:
    """Whether something in `text`, a few words of any language, may turn an offer into a refusal."""
    return _NEGATION.search(text) is not None


def begins_to_decline(text: str, language: str) -> bool:
    """Whether a text begins like a refusal, whatever follows."""
    phrases, head = _phrases(language), folded(text[:HEAD])
    return bool(phrases.refuse.match(head) or phrases.cannot.match(head))


def folded(text: str) -> str:
    """`text` as phrases are compared with it: case and the form of apostrophes do not matter."""
    text = text.casefold()
    return text if text.isascii() else text.replace("’", "'")


@lru_cache(maxsize=64)
def _phrases(language: str) -> Phrases:
    """The phrases of a language and those of English, in which models remark upon their work in any language."""
    parts = {
        part: " | ".join(dict.fromkeys((texts.get(language, texts["en"]), texts["en"])))
        for part, texts in _data().items()
    }
    here, revised, pair, text, edits, note = (
        tuple(folded(parts[part]).split(" | ")) for part in ("here", "revised", "pair", "text", "edits", "note")
    )
    did, closing, refuse, cannot = (_alternatives(parts[part]) for part in ("did", "closing", "refuse", "cannot"))
    noted = "|".join(map(re.escape, note))
    return Phrases(
        *(here, revised, pair, text, edits),
        note=note,
        did=re.compile(_FILLER + did),
        noted=re.compile(rf"(?:{noted})[\s*_]{{0,3}}[:：][^\n]{{0,40}}?{did}"),
        bracketed=re.compile(rf"[(（\[][\s*_]{{0,4}}{did}"),
        offers=tuple(
            dict.fromkeys(re.split(r"[(\[?…]", phrase)[0][:-1] for phrase in folded(parts["closing"]).split(" | "))
        ),
        closing=re.compile(closing),
        refuse=re.compile(_FILLER + refuse),
        cannot=re.compile(_FILLER + cannot),
    )


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, str]]:
    """For each part the alternatives in every language."""
    found: dict[str, dict[str, str]] = {}
    for name in ("remarks.yaml", "refusals.yaml"):
        data = (resources.files("midb_ray") / "signals" / name).read_text(encoding="utf-8")
        for language, parts in yaml.safe_load(data).items():
            for part, text in parts.items():
                found.setdefault(part, {})[language] = text
    return found


def _alternatives(part: str) -> str:
    """The pattern for a part of the data."""
    return "(?:" + folded(part).replace(" | ", "|").replace("…", r"[^.!?。！？\n]{0,60}?") + ")"
