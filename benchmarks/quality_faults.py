"""What the detectors find of faults put into clean pairs, and what they find in pairs that nobody touched."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import fault_rows
import faults
from fault_rows import Clean, Half
from fault_text import Faulty

from midb_ray.locales import Locales, load_locales
from midb_ray.pairs import Text
from midb_ray.quality.findings import HINT, KINDS, Finding
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import SourceSettings

FITTING: Final[dict[str, frozenset[str]]] = {
    "number_changed": frozenset({"lost_number"}),
    "number_dropped": frozenset({"lost_number"}),
    "url_dropped": frozenset({"lost_url", "lost_email", "omitted"}),
    "code_keyword_translated": frozenset({"lost_code"}),
    "list_item_lost": frozenset({"lost_list", "omitted"}),
    "sentence_left_in_english": frozenset({"untranslated", "foreign_sentence", "wrong_language"}),
    "wrong_language": frozenset({"wrong_language"}),
    "truncated": frozenset({"truncated", "omitted", "lost_list"}),
    "repetition_loop": frozenset({"repetition"}),
    "placeholder_broken": frozenset({"lost_placeholder"}),
    "units_not_localised": frozenset({"imperial_unit"}),
    "negation_lost": frozenset({"lost_negation"}),
}
"""The kinds of findings that name a fault for what it is."""

AIMS: Final = {kind: 0.8 if kind in ("negation_lost", "units_not_localised") else 0.95 for kind in FITTING}

Rows = Mapping[str, Mapping[int, Clean]]


APART: Final = "wrong_language, of one group"
"""The kind of a fault that cannot be seen: Indonesian and Malay are one group to the detectors."""


class Recall(NamedTuple):
    """Cases of one kind in one language; those found under a fitting name; those that show by any new finding above a hint."""

    cases: int
    named: int
    shown: int

    @property
    def share(self) -> float:
        """The recall: cases found under a fitting name."""
        return self.named / self.cases if self.cases else float("nan")


@lru_cache(maxsize=1)
def _scorer() -> tuple[Scorer, Locales]:
    locales = load_locales()
    return Scorer(locales, SourceSettings()), locales


def found(pair: Text, clean: Clean) -> list[Finding]:
    """What all detectors find in a pair beside the source of `clean`."""
    scorer, locales = _scorer()
    return scorer.findings(pair, locales.resolve(clean.language), clean.source)


def recall(cases: Iterable[Faulty]) -> tuple[Recall, list[Faulty]]:
    """How many of the cases of one kind are found, and those that are not."""
    number = named = shown = 0
    missed = []
    for case in cases:
        before = Counter(one.kind for one in found(case.clean.pair, case.clean))
        new = Counter(one.kind for one in found(case.pair, case.clean)) - before
        number += 1
        named += (is_named := not FITTING[case.kind].isdisjoint(new))
        shown += any(KINDS[kind].weight > HINT for kind in new)
        if not is_named:
            missed.append(case)
    return Recall(number, named, shown), missed


def table(
    rows: Rows, half: Half, kinds: Iterable[str], languages: Iterable[str], show: int
) -> dict[str, dict[str, Recall]]:
    """Recall by kind and language."""
    told: dict[str, dict[str, Recall]] = defaultdict(dict)
    _, locales = _scorer()
    for kind in kinds:
        for language in languages:
            cases = faults.cases(rows, kind, language, half)
            group = locales.resolve(language).group
            alike = [one for one in cases if kind == "wrong_language" and locales.resolve(one.variant).group == group]
            told[kind][language], missed = recall(one for one in cases if one not in alike)
            if alike:
                told[APART][language], _ = recall(alike)
            for case in missed[:show]:
                print(f"missed: {faults.shown(case)}\n")
    return told


def print_table(told: Mapping[str, Mapping[str, Recall]]) -> None:
    """Recall by kind and language, the number of cases of a kind, and whether the aim is reached."""
    languages = list(next(iter(told.values())))
    print(f"{'recall':26}{'cases':>6} {'aim':>5} {'mean':>6} " + "".join(f"{language:>6}" for language in languages))
    for kind, by_language in told.items():
        if kind == APART:
            continue
        shares = [by_language[language].share for language in languages]
        known = [share for share in shares if share == share]
        mean = sum(known) / len(known) if known else float("nan")
        cases = sum(one.cases for one in by_language.values())
        print(f"{kind:26}{cases:6} {AIMS[kind]:5.2f} {mean:6.3f} " + "".join(f"{share:6.2f}" for share in shares))
    for language, one in told.get(APART, {}).items():
        print(f"{APART}, {language}: {one.named} of {one.cases}")
    everything = [one for kind, each in told.items() if kind != APART for one in each.values()]
    shown, cases = sum(one.shown for one in everything), sum(one.cases for one in everything)
    print(f"of all {cases:,} cases, {shown / max(cases, 1):.3f} show by any new finding")


class Untouched(NamedTuple):
    """Pairs of one language that nobody touched: how many, those with a finding above a hint by kind, and those findings."""

    pairs: int
    flawed: int
    kinds: Counter[str]
    findings: list[tuple[Clean, Finding]]


def untouched(rows: Mapping[int, Clean], half: Half, odd: bool) -> Untouched:
    """What is found in the clean pairs of a half; `odd`: only those of odd source rows."""
    number = flawed = 0
    kinds: Counter[str] = Counter()
    told = []
    for index, clean in rows.items():
        if fault_rows.half(index) != half or (odd and index % 2 == 0):
            continue
        above = [one for one in found(clean.pair, clean) if KINDS[one.kind].weight > HINT]
        number, flawed = number + 1, flawed + bool(above)
        kinds.update({one.kind for one in above})
        told += [(clean, one) for one in above]
    return Untouched(number, flawed, kinds, told)


def print_untouched(told: Mapping[str, Untouched]) -> None:
    """The share of untouched pairs with a finding above a hint, by language and kind."""
    print("untouched pairs with a finding, in percent")
    for language, one in told.items():
        kinds = ", ".join(f"{kind} {100 * count / one.pairs:.1f}" for kind, count in one.kinds.most_common(6))
        print(f"  {language} {100 * one.flawed / max(one.pairs, 1):5.1f} of {one.pairs}: {kinds}")
    pairs, flawed = sum(one.pairs for one in told.values()), sum(one.flawed for one in told.values())
    print(f"  all {100 * flawed / max(pairs, 1):.1f} of {pairs:,}")
