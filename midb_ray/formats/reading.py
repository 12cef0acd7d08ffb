"""From one record to a pair, a revision or a dead letter: what every format has in common.

Rules for the texts:
- null means empty. Numbers and booleans become the text that JSON writes for them, which is noted.
- Lists, objects and binary data are never text. An instruction or a response without anything visible is empty.
- NUL bytes are removed and lone surrogates replaced by U+FFFD, for Parquet and tokenizers take neither; both are noted.

Rules for the language: the row's own field, else the one the reader was given, else the file's name, else `identify`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from midb_ray.errors import UserError
from midb_ray.formats import json_rows
from midb_ray.formats.columns import blank
from midb_ray.formats.file_language import file_language
from midb_ray.formats.records import Fields, Record, RowError, dead_letter, shown
from midb_ray.formats.registry import Format
from midb_ray.locales import Locale, Locales
from midb_ray.pairs import KINDS, DeadLetter, Pair, Revision, Turn, heard, told

_LONGEST_NAME = 100  # no language is called by a longer one
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

    def pair(self, record: Record) -> Pair | DeadLetter:
        """The pair in `record`; the raw one where the format is that of revisions."""
        try:
            return self._pair(record, self._format.fields(_row(record)))
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
                _refuse_infinity(f"revised {which}", found.instruction if which == "instruction" else found.response)
                raise RowError("missing_revision", f"the revised {which} is empty")
            raw = pair._replace(repairs=tuple(repairs))
            return Revision(raw, instruction, given, response, _kinds(found.kinds))
        except (RowError, RecursionError) as error:
            return _dead_letter(record, error)

    def _pair(self, record: Record, fields: Fields) -> Pair:
        repairs = list(fields.repairs)
        instruction = text("instruction", fields.instruction, repairs)
        given = text("input", fields.input, repairs)
        response = text("response", fields.response, repairs)
        if not instruction or instruction.isspace():
            _refuse_infinity("instruction", fields.instruction)
            raise RowError("empty_instruction", f"the instruction is {shown(fields.instruction)}")
        if not response or response.isspace():
            _refuse_infinity("response", fields.response)
            raise RowError("empty_response", f"the response is {shown(fields.response)}")
        extra = None
        if fields.rest:
            extra, exact = json_rows.to_json(fields.rest)
            if not exact:
                repairs.append("extra: NaN or Infinity replaced by null")
        return Pair(
            record.row,
            _identifier("id", fields.id, repairs),
            _identifier("source_id", fields.source_id, repairs),
            self._language(record, fields.languages, (instruction, given, response)),
            instruction,
            given,
            response,
            tuple(repairs),
            extra,
            None if fields.source_row is None else _source_row(record, fields.source_row),
            fields.turn,
            told(_writable(heard(fields.context))),
        )

    def _language(self, record: Record, stated: dict[str, Any], texts: Sequence[str]) -> str:
        if stated and (tag := self._stated(stated)):
            return tag
        if self._given:
            return self._given
        if record.file not in self._file_tags:
            found = file_language(record.file, self._locales)
            self._file_tags[record.file] = found.tag if found else None
        return self._file_tags[record.file] or self._identified("\n".join(texts))

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


def text(name: str, value: Any, repairs: list[str]) -> str:
    """`value` as text that Parquet and tokenizers take; adds to `repairs` what had to be mended. Raises `RowError`."""
    if not isinstance(value, str):
        value = _as_text(name, value, repairs)
    if "\0" in value:
        value = value.replace("\0", "")
        repairs.append(f"{name}: NUL removed")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            # Halves of a pair that stand together become the character they mean, halves alone U+FFFD.
            value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            repairs.append(f"{name}: lone surrogate replaced")
    return str(value)


def _as_text(name: str, value: Any, repairs: list[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        repairs.append(f"{name}: NaN or Infinity read as null")
        return ""
    if isinstance(value, (bool, int, float)):
        repairs.append(f"{name}: {json_rows.type_name(value).split()[-1]} written as text")
        return json_rows.to_json(value)[0]
    raise RowError("wrong_type", f"the {name} is {json_rows.type_name(value)}, expected text; found {shown(value)}")


def _refuse_infinity(name: str, value: Any) -> None:
    """A text that is empty because JSON's reader made infinity of its number (1e400) is not called empty."""
    if isinstance(value, float) and math.isinf(value):
        raise RowError("number_out_of_range", f"the {name} is infinite: a number too large to be read, or Infinity")


def _identifier(name: str, value: Any, repairs: list[str]) -> str | None:
    """An id as it stands: strings as they are, other values as their JSON text."""
    if value is None:
        return None
    return text(name, value if isinstance(value, str) else json_rows.to_json(value)[0], repairs)


def _source_row(record: Record, earlier: str) -> str:
    """The conversation of a turn that an earlier run has read. The folder tells conversations of several runs apart."""
    folder, slash, _ = record.file.rpartition("/")
    return f"{folder}{slash}{text('source_row', earlier, [])}"


def _writable(turns: Sequence[Turn]) -> list[Turn]:
    """What was said, as text that Parquet and tokenizers take."""
    return [Turn(text("role", turn.role, []), text("content", turn.content, [])) for turn in turns]


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
