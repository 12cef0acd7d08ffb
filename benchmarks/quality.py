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

PARTS = ("faults", "untouched")


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
    arguments = parser.parse_args()
    rows = fault_rows.read(arguments.data / "expert_revisions")
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


if __name__ == "__main__":
    main()
