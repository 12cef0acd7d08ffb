"""From one record to a pair, a revision or a dead letter: what every format has in common. The rules for texts stand in `texts`.

Rules for the language: the row's own field, else the one the reader was given, else the file's name, else `identify`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from midb_ray.errors import UserError
from midb_ray.formats import json_rows
from midb_ray.formats.columns import blank
from midb_ray.formats.file_language import file_language
from midb_ray.formats.records import Fields, Record, RowError, dead_letter, shown
from midb_ray.formats.registry import Format
from midb_ray.formats.texts import identifier, refuse_infinity, repaired, text, texts
from midb_ray.locales import Locale, Locales
from midb_ray.pairs import KINDS, DeadLetter, Pair, Revision, Text, heard, told, turn_row

_LONGEST_NAME = 100  # no language is called by a longer one
_SHORT, _FEW = 200, 20  # characters of what goes along with every turn of a conversation, and how much of it
_BEGINNING = 10_000  # characters of a conversation by which its language is told
_SPELLINGS = {"localization": "localisation"}


class Reader:
    """Reads the records of one input.

    `language` is anything that `locales` resolves, else `UserError`; `identify` tells the language code of a text, or
    None where it cannot.
    """

    def __init__(
        self,
        format: Format,
        locales: Locales,
        language: str | None = None,
        identify: Callable[[str], str | None] | None = None,
    ) -> None:
        self._format = format
        self._locales = locales
        self._given = locales.resolve(language).tag if language is not None else None
        self._identify = identify
        self._file_tags: dict[str, str | None] = {}

    def pairs(self, record: Record) -> list[Pair] | DeadLetter:
        """The pair in `record`, the raw one where the format is that of revisions; of a conversation of several turns one for each
        answer, in order."""
        try:
            fields = self._format.fields(_row(record))
            return self._turns(record, fields) if fields.exchanges else [self._pair(record, fields)]
        except (RowError, RecursionError) as error:
            return _dead_letter(record, error)

    def revision(self, record: Record) -> Revision | DeadLetter:
        """The revision in `record`. Raises `UserError` if the format has none."""
        if self._format.revised is None:
            raise UserError(
                f"{record.file}: expected revisions (a raw and a revised pair in every row), found the format "
                f"{self._format.name!r}, which has none."
            )
        try:
            found = self._format.revised(_row(record))
            pair = self._pair(record, found.fields)
            repairs = list(pair.repairs)
            instruction = text("revised instruction", found.instruction, repairs)
            given = text("revised input", found.input, repairs)
            response = text("revised response", found.response, repairs)
            if blank(instruction) or blank(response):
                which = "instruction" if blank(instruction) else "response"
                refuse_infinity(f"revised {which}", found.instruction if which == "instruction" else found.response)
                raise RowError("missing_revision", f"the revised {which} is empty")
            raw = pair._replace(repairs=tuple(repairs))
            return Revision(raw, instruction, given, response, _kinds(found.kinds))
        except (RowError, RecursionError) as error:
            return _dead_letter(record, error)

    def _pair(self, record: Record, fields: Fields) -> Pair:
        repairs = list(fields.repairs)
        found = texts(fields.instruction, fields.input, fields.response, repairs)
        extra = _extra(fields.rest, repairs)
        return Pair(
            record.row,
            identifier("id", fields.id, repairs),
            identifier("source_id", fields.source_id, repairs),
            self._language(record, fields.languages, found),
            *found,
            tuple(repairs),
            extra,
            None if fields.source_row is None else _source_row(record, fields.source_row),
            fields.turn,
            told(repaired(heard(fields.context))),
        )

    def _turns(self, record: Record, fields: Fields) -> list[Pair]:
        """The pairs of a conversation. The rest of the row is whole with the first one; the others have what is short of it."""
        repairs: list[list[str]] = [[] for _ in fields.exchanges]
        found = [
            texts(one.instruction, one.input, one.response, mine)
            for one, mine in zip(fields.exchanges, repairs, strict=True)
        ]
        extra, brief = _extra(fields.rest, repairs[0]), _extra(_brief(fields.rest), [])
        named = identifier("id", fields.id, repairs[0]), identifier("source_id", fields.source_id, repairs[0])
        language = self._language(record, fields.languages, _beginning(found))
        return [
            Pair(
                turn_row(record.row, turn),
                *named,
                language,
                *said,
                tuple(mine),
                extra if turn == 1 else brief,
                record.row,
                turn,
                told(repaired(one.context)),
            )
            for turn, (one, said, mine) in enumerate(zip(fields.exchanges, found, repairs, strict=True), start=1)
        ]

    def _language(self, record: Record, stated: dict[str, Any], said: Sequence[str]) -> str:
        if stated and (tag := self._stated(stated)):
            return tag
        if self._given:
            return self._given
        if record.file not in self._file_tags:
            found = file_language(record.file, self._locales)
            self._file_tags[record.file] = found.tag if found else None
        return self._file_tags[record.file] or self._identified("\n".join(said))

    def _stated(self, stated: dict[str, Any]) -> str | None:
        """The tag of the language that the row states, None if it states none.

        Raises `RowError` for one that is not known, and for several.
        """
        named = {key: value for key, value in stated.items() if not blank(value)}
        if not named:
            return None
        known = [locale for locale in map(self._find, named.values()) if locale]
        if len({locale.language for locale in known}) == 1:
            return max((locale.tag for locale in known), key=len)  # "fr-CA" says more than "fr"
        clause = ", ".join(f"{shown(key)} is {shown(value)}" for key, value in named.items())
        problem = "several languages" if known else f"none of the {len(self._locales)} known languages"
        raise RowError("unknown_language", f"{clause}: {problem}")

    def _find(self, name: Any) -> Locale | None:
        return self._locales.find(name) if isinstance(name, str) and len(name) <= _LONGEST_NAME else None

    def _identified(self, whole: str) -> str:
        """The tag of the language that a text is in. Raises `RowError`."""
        code = self._identify(whole) if self._identify else None
        locale = self._find(code)
        if locale is None:
            seen = f"looks like {shown(code)}, which is not a known one" if code else "does not tell it"
            raise RowError("unknown_language", f"neither the row nor the file's name states it, and the text {seen}")
        return locale.tag


def _extra(rest: dict[str, Any], repairs: list[str]) -> str | None:
    if not rest:
        return None
    extra, exact = json_rows.to_json(rest)
    if not exact:
        repairs.append("extra: NaN or Infinity replaced by null")
    return extra


def _brief(rest: dict[str, Any]) -> dict[str, Any]:
    """What is short in the rest of a row: a score, a source, a topic."""
    short = {
        key: one
        for key, one in rest.items()
        if len(key) <= _SHORT and (isinstance(one, (bool, int, float)) or (isinstance(one, str) and len(one) <= _SHORT))
    }
    return dict(list(short.items())[:_FEW])


def _beginning(pairs: Sequence[Text]) -> list[str]:
    """Texts of a conversation, enough to tell its language."""
    found: list[str] = []
    length = 0
    for said in itertools.chain.from_iterable(pairs):
        if length > _BEGINNING:
            break
        found.append(said)
        length += len(said)
    return found


def _source_row(record: Record, earlier: str) -> str:
    """The conversation of a turn that an earlier run has read. The folder tells conversations of several runs apart."""
    folder, slash, _ = record.file.rpartition("/")
    return f"{folder}{slash}{text('source_row', earlier, [])}"


def _kinds(value: Any) -> tuple[str, ...]:
    """The kinds of a revision, from a list of names or one name. Raises `RowError` for an unknown one."""
    names = [value] if isinstance(value, str) else value or []
    kinds = []
    for name in names if isinstance(names, (list, tuple)) else [names]:
        kind = name.strip().casefold() if isinstance(name, str) else ""
        kind = _SPELLINGS.get(kind, kind)
        if kind not in KINDS:
            raise RowError("unknown_kind", f"found {shown(name)}, expected some of {', '.join(KINDS)}")
        kinds.append(kind)
    return tuple(dict.fromkeys(kinds))


def _row(record: Record) -> dict[str, Any]:
    if isinstance(record.raw, Exception):
        raise RowError("damaged_file", str(record.raw))
    return record.raw if isinstance(record.raw, dict) else json_rows.parse(record.raw)


def _dead_letter(record: Record, error: RowError | RecursionError) -> DeadLetter:
    known = error if isinstance(error, RowError) else RowError("unreadable_json", "the row is nested too deeply")
    raw = b"" if isinstance(record.raw, Exception) else record.raw
    if isinstance(raw, dict):
        raw = json_rows.to_bytes(raw)
    return dead_letter(record, raw, known)
