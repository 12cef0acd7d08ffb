"""What translations of one source tell of each other, where the source does not stand beside them.

Pairs with the same `source_id` are sisters. If one of them is in the language of the source, it is the source of the others. If
none is, each pair is laid beside its sisters, the witnesses: what the pair has lost of one of them is a claim, and a claim that
most of them make is a finding. What only one of them says, a word for a number or a sentence of its own, is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from midb_ray.locales import Locale
from midb_ray.pairs import Text
from midb_ray.quality.consistency import Sides, inconsistencies
from midb_ray.quality.findings import Finding, cut, few
from midb_ray.signals import lengths, negation, numbers

LEAST: Final = 3
"""Witnesses, each in a language of its own, without which nothing is claimed."""

_SHARE: Final = 0.75  # of the witnesses that have to claim the same
_CLAIMANTS: Final = 2  # witnesses whose claims are put to the others: one of them may have lost the same as the pair
_LEAST_DENYING: Final = (
    5  # witnesses, all of which have to deny: "un-" and "without" become a plain word in many a language
)
_UNTOLD: Final = frozenset({"untranslated"})  # a sentence that two sisters share may be the other's fault
_LITERAL: Final = frozenset({"lost_url", "lost_email", "lost_placeholder", "lost_code"})
_SENTENCES: Final = frozenset({"lost_negation", "lost_question"})


class Sister(NamedTuple):
    """One of the pairs with the same `source_id`: where it stands, what it is written in, and its texts."""

    shard: int
    position: int
    locale: Locale
    text: Text


class Told(NamedTuple):
    """What a pair's sisters tell of it: its source if one of them is that, else what it has lost of most of the others. `sisters`
    is the number of other languages with a text to compare it with."""

    sisters: int
    source: Text | None
    findings: list[Finding]


def told(group: Sequence[Sister], origin: Locale) -> Iterator[tuple[Sister, Told]]:
    """Those of the pairs with one `source_id` of which the others tell something. `origin` is the language of sources.

    A language in which the group has several texts tells nothing: nobody knows which of them the others stand for. So an id that is
    none, and stands in every row of a collection, has no consequences.
    """
    known = _single(group)
    source = known.pop(origin.language, None)
    asked = _likeliest_first(known.values())
    for pair in group:
        if pair.locale.language == origin.language:
            continue
        witnesses = [one for one in asked if one.locale.language != pair.locale.language]
        if source is not None:
            yield pair, Told(1 + len(witnesses), source.text, [])
        elif len(witnesses) >= LEAST:
            yield pair, Told(len(witnesses), None, lost(pair, witnesses))


def lost(pair: Sister, witnesses: Sequence[Sister]) -> list[Finding]:
    """What `pair` has lost of most `witnesses`, at least three. The first ones claim it and the others are asked until it is sure
    whether enough agree, so a pair that has lost nothing is compared with those alone."""
    heard: dict[int, list[Finding]] = {}

    def claims(number: int) -> list[Finding]:
        if number not in heard:
            heard[number] = _claims(witnesses[number], pair, len(witnesses) >= _LEAST_DENYING)
        return heard[number]

    def is_shared(claim: Finding) -> bool:
        share = 1.0 if claim.kind == "lost_negation" else _SHARE
        against = len(witnesses) - max(LEAST, math.ceil(share * len(witnesses)))
        for number in range(len(witnesses)):
            against -= not any(_same(claim, one) for one in claims(number))
            if against < 0:
                return False
        return True

    found: list[Finding] = []
    for number in range(_CLAIMANTS):
        for claim in claims(number):
            if not any(_same(claim, one) for one in found) and is_shared(claim):
                found.append(claim)
    return found


def _single(group: Iterable[Sister]) -> dict[str, Sister]:
    """The one text of each language that has one and no other."""
    known: dict[str, Sister | None] = {}
    for one in group:
        before = known.setdefault(one.locale.language, one)
        if before is not None and before.text != one.text:
            known[one.locale.language] = None
    return {language: one for language, one in known.items() if one is not None}


def _likeliest_first(sisters: Iterable[Sister]) -> list[Sister]:
    """Those first that are as long as most: what was cut off or is something else is not."""
    found = sorted(sisters, key=lambda one: one.locale.language)
    sizes = [math.log(1 + sum(map(len, one.text)) / lengths.ratio("en", one.locale.language)) for one in found]
    usual = sorted(sizes)[len(sizes) // 2] if sizes else 0.0
    return [found[place] for place in sorted(range(len(found)), key=lambda place: abs(sizes[place] - usual))]


def _claims(witness: Sister, pair: Sister, denials: bool) -> list[Finding]:
    """What the pair has lost of one witness, few of a kind."""
    found = inconsistencies(witness.text, pair.text, witness.locale, pair.locale)
    if denials:
        found += _denials(witness, pair)
    return [one for one in few(found) if one.kind not in _UNTOLD]


def _denials(witness: Sister, pair: Sister) -> Iterator[Finding]:
    """Sentences that say no in the witness and not in the pair."""
    origin, locale = witness.locale, pair.locale
    if not (negation.known(origin.language) and negation.known(locale.language)):
        return
    for section, before, after in zip(Text._fields, witness.text, pair.text, strict=True):
        for source, target, _ in Sides(section, before, after, origin, locale).pairings:
            if source is None or target is None or not negation.negates(source.of(before), origin.language):
                continue
            if not negation.negates(target.of(after), locale.language):
                yield Finding("lost_negation", section, *target, cut(source.of(before)))


def _same(claim: Finding, other: Finding) -> bool:
    """Whether two witnesses claim the same. Names and links stand the same in all languages, numbers in some form; of sentences
    the place in the pair has to do, and of lists and endings there is one in a section."""
    if (claim.kind, claim.section) != (other.kind, other.section):
        return False
    if claim.kind in _LITERAL:
        return claim.text == other.text
    if claim.kind == "lost_number":
        return not _values(claim.text).isdisjoint(_values(other.text))
    if claim.kind in _SENTENCES:
        return claim.start < other.end and other.start < claim.end
    return True


def _values(text: str) -> set[str]:
    return {value for number in numbers.numbers(text) for value in number.values or number.parts}
