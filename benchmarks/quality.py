"""Scoring measured on real text: recall of injected faults, findings on untouched pairs, languages, speed, separation.

    make bench-quality DATA=PATH

PATH holds `expert_revisions/` and `alpaca_eval/`. Limits were chosen on one half of the source rows (`--half choose`); the other
half is measured by default.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fault_rows
import faults
import quality_faults
import quality_languages
import quality_separation
import quality_speed

PARTS = ("faults", "untouched", "languages", "separation", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of expert_revisions/ and alpaca_eval/")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--half", choices=("choose", "measure"), default="measure", help="of which half (default: measure)"
    )
    parser.add_argument("--kinds", nargs="+", choices=faults.KINDS, default=faults.KINDS, metavar="KIND")
    parser.add_argument("--languages", nargs="+", metavar="CODE", help="only these")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="print N missed cases of each kind and language"
    )
    parser.add_argument("--odd", action="store_true", help="untouched pairs of odd source rows only")
    parser.add_argument("--stride", type=int, default=1, help="for separation and speed, every so many rows")
    parser.add_argument("--peer", metavar="PYTHON", help="Python of an environment with datatrove; none: ours alone")
    arguments = parser.parse_args()
    revisions = arguments.data / "expert_revisions"
    rows = fault_rows.read(revisions)
    languages = arguments.languages or sorted(rows)
    if "faults" in arguments.only:
        quality_faults.print_table(
            quality_faults.table(rows, arguments.half, arguments.kinds, languages, arguments.show)
        )
    if "untouched" in arguments.only:
        told = {
            language: quality_faults.untouched(rows[language], arguments.half, arguments.odd) for language in languages
        }
        quality_faults.print_untouched(told)
        for language, one in told.items():
            for clean, finding in one.findings[: arguments.show]:
                print(f"  {language} {clean.source_index} {finding}")
    if "languages" in arguments.only:
        quality_languages.report(quality_languages.identified(arguments.data / "alpaca_eval"))
    if "separation" in arguments.only:
        quality_separation.report(quality_separation.sides(revisions, arguments.half, arguments.stride))
    if "speed" in arguments.only:
        quality_speed.measure(revisions, arguments.peer, arguments.stride)


if __name__ == "__main__":
    main()
