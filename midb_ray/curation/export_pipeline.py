"""Export a run: check the settings, make pieces of its parts and files of the pieces, balance the books, write the card."""

from __future__ import annotations

import datetime
import functools
import json
import logging
from collections.abc import Sequence
from typing import Any, Final

import midb_ray
from midb_ray.curation import export_card, export_folder, export_work, lineage
from midb_ray.curation.export_books import Books, Piece
from midb_ray.curation.export_settings import ExportSettings, fingerprint
from midb_ray.curation.export_work import Export, Group, files, groups, make_pieces, put_together
from midb_ray.errors import ExitCode, UserError, one_line
from midb_ray.locales import Locales, load_locales
from midb_ray.runs import claim, cluster, earlier, folder, storage
from midb_ray.runs.fingerprint import Fingerprint
from midb_ray.runs.inputs import InputFile

logger = logging.getLogger("midb_ray")

JOBS: Final = ("boost", "score", "select")
"""The jobs whose runs can be exported."""


def export(settings: ExportSettings) -> int:
    """Run the job; returns the exit code. Raises `UserError` for what the user can mend."""
    cluster.refuse_lost(settings.output)
    run = earlier.find(settings.input, settings.output, JOBS, "export")
    place = storage.absolute(settings.output).rstrip("/")
    made_of = fingerprint(settings, run)
    try:
        found = export_folder.examine(place, made_of, settings.fresh)
        if found is not None and found.get("complete") is True:
            logger.info("%s is exported to %s already; --fresh does it again.", run.name, place)
            return ExitCode.OK
        if settings.dry_run:
            return _rehearse(settings, run, place)
        with claim.Claim(place) as mine, cluster.connected(settings.address):
            return _run(settings, run, place, made_of, mine)
    except OSError as error:
        raise storage.explain(error, place, "use the output folder") from None


def _run(settings: ExportSettings, run: InputFile, place: str, made_of: Fingerprint, mine: claim.Claim) -> int:
    parts, digests = earlier.facts(run.uri)
    made, summary = earlier.still(run.uri, "run.json"), earlier.still(run.uri, "summary.json")
    locales = _locales(made)
    nonce = export_folder.begin(place, made_of, settings.fresh)
    entries = json.dumps(locales.fingerprint(), ensure_ascii=False)
    columns = export_work.columns(run.uri)
    work = Export(settings, run.uri, columns, digests, place, nonce, mine.token, entries)
    books = Books()
    parted = groups(parts, summary["rows_out"])
    for number, counted in enumerate(cluster.map_remotely(functools.partial(make_pieces, work), parted), start=1):
        books.add(counted)
        mine.check()
        _tell(number, parted, books)
    planned = files(books.pieces, settings)
    written = []
    for file in cluster.map_remotely(functools.partial(put_together, work), planned):
        written.append(file)
        mine.check()
    problems = _problems(books, written, summary["rows_out"], place)
    card = export_card.Card(
        place.rpartition("/")[2],
        settings,
        books,
        lineage.trace(run.uri),
        {locale.tag: locale.name for language in books.pairs if (locale := locales.find(language)) is not None},
        datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )
    storage.write_bytes(storage.join(place, export_folder.CARD), export_card.markdown(card).encode())
    return _finish(settings, place, made_of, books, written, problems)


def _problems(books: Books, written: Sequence[Piece], rows: int, place: str) -> list[str]:
    """What does not balance, a sentence each; nothing if every pair of the run is accounted for."""
    found = []
    if not books.balanced:
        found.append("Pairs of a language are neither written nor left out.")
    if (counted := sum(books.pairs.values())) != rows:
        found.append(f"The run has {rows:,} pairs by its summary, and {counted:,} were read.")
    for language, count in books.rows.items():
        if (lines := sum(file.rows for file in written if file.language == language)) != count:
            found.append(f"{count:,} rows of {language} were made, and its files hold {lines:,}.")
    made, there = {file.name: file.size for file in written}, export_folder.sizes(place, set(books.rows))
    if wrong := sorted(name for name in {*made, *there} if made.get(name) != there.get(name)):
        found.append(f"{len(wrong)} files are not what was written, {wrong[0]} the first of them.")
    return found


def _finish(
    settings: ExportSettings,
    place: str,
    made_of: Fingerprint,
    books: Books,
    written: Sequence[Piece],
    problems: Sequence[str],
) -> int:
    """Tidy up, write export.json, say what came of it; returns the exit code."""
    export_folder.tidy(place)
    totals = {name: sum(counts.values()) for name, counts in (("pairs", books.pairs), ("written", books.written))}
    left_out, rows = sum(books.reasons.values()), sum(books.rows.values())
    languages = {
        language: {
            "pairs": count,
            "written": books.written[language],
            "rows": books.rows[language],
            "left_out": dict(sorted(books.left_out.get(language, {}).items())),
            "means": {name: round(mean, 4) for name, mean in books.means(language).items()},
        }
        for language, count in sorted(books.pairs.items())
    }
    content = {
        "complete": not problems,
        "problems": list(problems),
        "midb_ray": midb_ray.__version__,
        "settings": settings.model_dump(mode="json"),
        "fingerprint": made_of,
        **totals,
        "rows": rows,
        "left_out": dict(sorted(books.reasons.items())),
        "languages": languages,
        "files": [{"name": file.name, "rows": file.rows, "bytes": file.size} for file in written],
    }
    folder.write_json(place, export_folder.FILE, content)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in books.reasons.most_common())
    logger.info(
        "%s pairs in = %s written + %s left out%s. %s rows in %d file(s), languages: %d. Output: %s",
        *(f"{count:,}" for count in (totals["pairs"], totals["written"], left_out)),
        f" ({reasons})" if reasons else "",
        f"{rows:,}",
        len(written),
        sum(1 for count in books.rows.values() if count),
        place,
    )
    if not rows:
        logger.warning("No row was written: %s.", "all pairs were left out" if left_out else "the run has no pairs")
    for problem in problems:
        logger.error("The books do not balance: %s", problem)
    return ExitCode.ROWS_LOST if problems else ExitCode.OK


def _rehearse(settings: ExportSettings, run: InputFile, place: str) -> int:
    parts, _ = earlier.facts(run.uri)
    pairs = earlier.still(run.uri, "summary.json")["rows_out"]
    logger.info(
        "Dry run: %s pairs in %d parts as %s in %s files of at most %s rows and %g MB, in %d tasks; output %s.",
        f"{pairs:,}",
        parts,
        settings.form,
        settings.files,
        f"{settings.file_rows:,}",
        settings.file_megabytes,
        len(groups(parts, pairs)),
        place,
    )
    return ExitCode.OK


def _tell(done: int, parted: Sequence[Group], books: Books) -> None:
    """A line now and then: at each tenth of the groups."""
    if len(parted) > 1 and done * 10 // len(parted) > (done - 1) * 10 // len(parted):
        logger.info("%d of %d groups of parts, %s pairs.", done, len(parted), f"{sum(books.pairs.values()):,}")


def _locales(made: dict[str, Any]) -> Locales:
    """The languages that a run knows: those that it began with, else the built-in ones."""
    entries = made["fingerprint"].get("locales")
    try:
        return Locales(entries) if entries else load_locales()
    except Exception as error:
        raise UserError(
            f"The languages in the run's run.json cannot be used ({one_line(error)}); put it back as it was."
        ) from None
