"""Faults put into clean pairs, to measure what finds them: twelve kinds that machine translation and language models make.

    python benchmarks/faults.py --revisions PATH [--kinds KIND ...] [--show KIND LANGUAGE N]

Without --show, prints how many cases each kind and language offers in the two halves of the data, natural and prepared
ones. A fault is *prepared* where the pair had no room for it: then a natural sentence, line or block was put into both sides
first, and only the target broken. The faults were written without sight of any detector.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from fault_markup import code_keyword_translated, placeholder_broken, url_dropped
from fault_negation import negation_lost
from fault_numbers import number_changed, number_dropped
from fault_responses import list_item_lost, repetition_loop, sentence_left_in_english, truncated, wrong_language
from fault_rows import Clean, Half, half, read
from fault_text import Faulty, section_of
from fault_units import units_not_localised

from midb_ray.pairs import Text

MOST = 150  # cases of one kind in one language and half
_AROUND = 70  # characters shown on each side of a fault

_MAKERS = {
    "number_changed": number_changed,
    "number_dropped": number_dropped,
    "url_dropped": url_dropped,
    "code_keyword_translated": code_keyword_translated,
    "list_item_lost": list_item_lost,
    "sentence_left_in_english": sentence_left_in_english,
    "truncated": truncated,
    "repetition_loop": repetition_loop,
    "placeholder_broken": placeholder_broken,
    "units_not_localised": units_not_localised,
    "negation_lost": negation_lost,
}
KINDS = (*_MAKERS, "wrong_language")


def inject(kind: str, clean: Clean, chance: Random, others: Mapping[str, Text] | None = None) -> Faulty | None:
    """One fault of `kind` in the pair, or None where the pair offers no place for it.

    `others` are the pairs of the same source row in other languages, which wrong_language needs. Raises `KeyError` for an
    unknown kind.
    """
    faulty = wrong_language(clean, chance, others or {}) if kind == "wrong_language" else _MAKERS[kind](clean, chance)
    return faulty if faulty is not None and faulty.pair != faulty.clean.pair else None


def cases(
    rows: Mapping[str, Mapping[int, Clean]], kind: str, language: str, which: Half, seed: int = 1
) -> list[Faulty]:
    """The cases of a kind in one language and half, at most `MOST`: the natural ones first, the others by chance."""
    found = list(_all(rows, kind, language, which, seed))
    Random(f"{seed} {kind} {language} {which}").shuffle(found)
    found.sort(key=lambda case: case.prepared)
    return found[:MOST]


def _all(rows: Mapping[str, Mapping[int, Clean]], kind: str, language: str, which: Half, seed: int) -> Iterator[Faulty]:
    for index, clean in rows[language].items():
        if half(index) != which:
            continue
        others = {other: pairs[index].pair for other, pairs in rows.items() if other != language and index in pairs}
        faulty = inject(kind, clean, Random(f"{seed} {kind} {language} {index}"), others)
        if faulty is not None:
            yield faulty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revisions", type=Path, required=True, help="folder of the expert revisions")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help="count only these")
    parser.add_argument("--show", nargs=3, metavar=("KIND", "LANGUAGE", "N"), help="print N cases")
    parser.add_argument(
        "--half", choices=("choose", "measure"), default="measure", help="of which half (default: measure)"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rows = read(arguments.revisions)
    if arguments.show:
        kind, language, number = arguments.show
        found = cases(rows, kind, language, arguments.half, arguments.seed)
        for case in Random(arguments.seed).sample(found, min(int(number), len(found))):
            print(shown(case), end="\n\n")
        return
    print("natural + prepared cases: choose | measure")
    for kind in arguments.kinds:
        print(f"\n{kind}")
        for language in sorted(rows):
            told = []
            for which in ("choose", "measure"):
                counts = Counter(case.prepared for case in cases(rows, kind, language, which, arguments.seed))
                told.append(f"{counts[False]:4} + {counts[True]:<4}")
            print(f"  {language}  {' | '.join(told)}")


def shown(case: Faulty) -> str:
    """A case as text: the English, what stood there and what stands there now, with what is round it."""
    before, after = section_of(case.clean.pair, case.section), section_of(case.pair, case.section)
    head = f"{case.kind}/{case.variant} {case.clean.language} {case.clean.source_index} {case.section}"
    source = section_of(case.clean.source, case.section)
    share = case.was[0] / max(len(before), 1)
    middle = round(share * len(source))
    return "\n".join(
        [
            head + (" prepared" if case.prepared else ""),
            f"  en:   {_oneline(source[max(0, middle - 2 * _AROUND) : middle + 2 * _AROUND])}",
            f"  was:  {_marked(before, case.was)}",
            f"  now:  {_marked(after, case.span)}",
        ]
    )


def _marked(text: str, span: tuple[int, int]) -> str:
    inside = text[slice(*span)]
    if len(inside) > 4 * _AROUND:
        inside = f"{inside[: 2 * _AROUND]} […] {inside[-2 * _AROUND :]}"
    return _oneline(f"{text[max(0, span[0] - _AROUND) : span[0]]}⟦{inside}⟧{text[span[1] : span[1] + _AROUND]}")


def _oneline(text: str) -> str:
    return text.replace("\n", "⏎")


if __name__ == "__main__":
    main()
