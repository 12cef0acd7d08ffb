"""What a booster changed in a pair, and where: the checks look closely there and nowhere else."""

from __future__ import annotations

from typing import NamedTuple

from rapidfuzz.distance import Postfix, Prefix

from midb_ray.locales import Locale
from midb_ray.pairs import Text
from midb_ray.signals import notes, overlap


class Change(NamedTuple):
    """What a booster wants to make of a pair. `raw` has no input where there was but a note that there is none; `sections`
    are the raw and the revised text of each section that differs, `before` and `after` the same joined. `stretches` are the same
    sections from the first word that differs to the last, and one on either side: what has no space in it is lost or added there
    or nowhere. `fresh` are the revised sections from the first character that differs to the last, and one on either side."""

    raw: Text
    revised: Text
    locale: Locale | None
    sections: list[tuple[str, str]]
    before: str
    after: str
    stretches: list[tuple[str, str]]
    fresh: list[str]

    @property
    def language(self) -> str:
        """The code of the pair's language, "" where nobody knows it."""
        return self.locale.language if self.locale else ""

    @property
    def run_length(self) -> int:
        """Characters of the runs by which texts in this language are compared."""
        return overlap.run_length(self.locale.scripts if self.locale else ())

    @property
    def old(self) -> str:
        """The raw sides of the stretches."""
        return "\n".join(old for old, _ in self.stretches)

    @property
    def new(self) -> str:
        """The revised sides of the stretches."""
        return "\n".join(new for _, new in self.stretches)


def change(raw: Text, revised: Text, locale: Locale | None) -> Change:
    """The change from `raw` to `revised`; `locale` is None where nobody knows the pair's language."""
    if raw.input and raw.input != revised.input:
        if notes.says_no_input(raw.input) and not notes.says_no_input(revised.input):
            raw = raw._replace(input="")
    sections = [section for section in zip(raw, revised, strict=True) if section[0] != section[1]]
    if not sections:
        return Change(raw, revised, locale, [], "", "", [], [])
    before, after = map("\n".join, zip(*sections, strict=True))
    stretches, fresh = zip(*(_differing(*section) for section in sections), strict=True)
    return Change(raw, revised, locale, sections, before, after, list(stretches), list(fresh))


def _differing(before: str, after: str) -> tuple[tuple[str, str], str]:
    """The stretches and the fresh text of one section; see `Change`."""
    same = int(Prefix.similarity(before, after))
    rest = min(int(Postfix.similarity(before, after)), min(len(before), len(after)) - same)
    begin, end = _words_back(before, same), _words_on(before, len(before) - rest)
    shift = len(after) - len(before)
    return (before[begin:end], after[begin : end + shift]), after[max(same - 1, 0) : len(after) - rest + 1]


def _words_back(text: str, place: int) -> int:
    """Where the word before the word at `place` begins."""
    for _ in range(2):
        place = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place), 0)
    return place


def _words_on(text: str, place: int) -> int:
    """Where the word behind the word at `place` ends."""
    for _ in range(2):
        ends = [end for end in (text.find(" ", place), text.find("\n", place)) if end >= 0]
        place = min(ends, default=len(text) - 1) + 1
    return place
