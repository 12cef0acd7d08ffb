"""From the pairs of a run to rows of one form, and why some pairs become none."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from midb_ray.curation.export_settings import ExportSettings
from midb_ray.formats import alpaca, frames, json_rows, preferences
from midb_ray.formats.texts import text
from midb_ray.pairs import BOOSTED_SCHEMA, DECISIONS, PAIR_SCHEMA, SCORES, TEXT, Pair, Text

REASONS: Final = {
    "boosted": "boosted, which is not among the decisions that were asked for",
    "unchanged": "the booster found nothing to change",
    "kept_original": "the booster's answer was not accepted",
    "skipped": "the gate kept the pair from the booster",
    "never_boosted": "no booster has seen the pair",
    "same_response": "the booster changed the instruction or the input, and not the response",
    "changed_prompt": "the booster changed the instruction or the input too",
    "later_turn": "a later turn of a conversation, which is nothing without the turns before it",
    "turn_missing": "a turn of the same conversation that stood before it is not written",
    "many_turns": "more than 64 exchanges of the same conversation stand before it",
}
"""Why a pair is left out: reason code to meaning."""

_NAMED: Final = ("id", "source_id", "language")  # say in every form which pair a row is
_COLUMNS: Final = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "input", "output"),
    "preference": ("prompt", "chosen", "rejected"),
}
_TURN: Final = {"messages": ("role", "content"), "sharegpt": ("from", "value"), "preference": ("role", "content")}
_BOOSTED: Final = ("raw_instruction", "raw_input", "raw_response", "decision")
_MOST_TURNS: Final = 64  # before a preference: with each one more a conversation of thousands would fill the disk
_PREVIOUS: Final = "previous"  # where `formats.pairs` keeps what an earlier run knew about a pair


class Example(NamedTuple):
    """A pair, what it was before a booster had it and what became of it there (None where none had it), and its scores, as many as
    there are."""

    pair: Pair
    raw: Text | None
    decision: str | None
    scores: tuple[float, ...]


class Outcome(NamedTuple):
    """What became of a pair, or of the pairs of one conversation: a row, or the reason for none."""

    examples: Sequence[Example]
    row: dict[str, Any] | None
    reason: str | None = None


def columns_of(part: pa.Schema) -> pa.Schema:
    """The columns of a part that an export reads, of those that it has."""
    more = [*(BOOSTED_SCHEMA.field(name) for name in _BOOSTED), *(pa.field(name, pa.float32()) for name in SCORES)]
    return pa.schema([*PAIR_SCHEMA, *(field for field in more if field.name in part.names)])


def form_schema(settings: ExportSettings) -> pa.Schema:
    """The columns of a file. JSON lines that keep the rest of the input rows under its own keys have those too."""
    turn = _TURN.get(settings.form)
    texts = TEXT if turn is None else pa.list_(pa.field("item", pa.struct([pa.field(key, TEXT) for key in turn])))
    fields = [pa.field(name, texts) for name in _COLUMNS[settings.form]] + [pa.field(name, TEXT) for name in _NAMED]
    return pa.schema([*fields, pa.field("extra", TEXT)] if settings.extra == "column" else fields)


def conversations_in(table: pa.Table) -> Iterator[list[Example]]:
    """The pairs of a part, those together that are turns of one conversation."""
    rows = enumerate(row for batch in table.to_batches(max_chunksize=256) for row in batch.to_pylist())
    for _, group in itertools.groupby(rows, lambda one: one[1].get("source_row") or one[0]):
        yield [_example(row) for _, row in group]


def outcomes(examples: Sequence[Example], settings: ExportSettings) -> Iterator[Outcome]:
    """What becomes of a pair, or of the pairs of one conversation."""
    if settings.form == "alpaca":
        yield from (_alpaca(example, settings) for example in examples)
    elif settings.form == "preference":
        yield from (_preference(examples[: end + 1], settings) for end in range(len(examples)))
    else:
        yield from _conversation(examples, settings)


def _alpaca(example: Example, settings: ExportSettings) -> Outcome:
    reason = "later_turn" if (example.pair.turn or 1) > 1 else _unwanted(example, settings)
    if reason is not None:
        return Outcome([example], None, reason)
    return Outcome([example], _row(alpaca.to_row(_readable(example.pair, settings)), [example], settings))


def _preference(examples: Sequence[Example], settings: ExportSettings) -> Outcome:
    """The preference for the last of some turns, or of a pair by itself."""
    last = examples[-1]
    reason = _no_preference(last, settings) or _no_prompt(examples)
    if reason is not None or last.raw is None:
        return Outcome([last], None, reason)
    row = preferences.from_conversation(_assembled(examples, settings), last.raw.response)
    return Outcome([last], _row(row, [last], settings))


def _conversation(examples: Sequence[Example], settings: ExportSettings) -> Iterator[Outcome]:
    """A conversation as far as it can be written without a gap."""
    reasons = [_unwanted(example, settings) for example in examples]
    end = min([_unbroken(examples), *(place for place, reason in enumerate(reasons) if reason is not None)])
    if end:
        yield Outcome(examples[:end], _row(_assembled(examples[:end], settings), examples[:end], settings))
    for example, reason in zip(examples[end:], reasons[end:], strict=True):
        yield Outcome([example], None, reason or "turn_missing")


def _unwanted(example: Example, settings: ExportSettings) -> str | None:
    """Why a pair is not among those that were asked for, if so."""
    if not settings.decisions or example.decision in settings.decisions:
        return None
    return example.decision or "never_boosted"


def _no_preference(example: Example, settings: ExportSettings) -> str | None:
    """Why there is no preference for a pair's response over its raw one, if so."""
    pair, raw = example.pair, example.raw
    if raw is None or example.decision is None:
        return "never_boosted"
    if example.decision != "boosted":
        return example.decision
    if pair.response == raw.response:
        return "same_response"
    is_same = (pair.instruction, pair.input) == (raw.instruction, raw.input)
    return "changed_prompt" if settings.same_prompt and not is_same else None


def _no_prompt(examples: Sequence[Example]) -> str | None:
    """Why the last of some turns cannot follow those before it in a preference, if so."""
    if len(examples) > _MOST_TURNS + 1:
        return "many_turns"
    return "turn_missing" if _unbroken(examples) < len(examples) else None


def _unbroken(examples: Sequence[Example]) -> int:
    """How many turns from the first on are there."""
    numbers = (example.pair.turn or 1 for example in examples)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(numbers, itertools.count(1))))


def _assembled(examples: Sequence[Example], settings: ExportSettings) -> dict[str, Any]:
    """The conversation of a pair by itself or of some turns; that of a preference ends with its answer."""
    pairs = [_readable(example.pair, settings) for example in examples]
    form: Final = "sharegpt" if settings.form == "sharegpt" else "messages"
    try:
        return frames.assemble(pairs, form, whole=settings.form != "preference")
    except ValueError:  # what stood around the turns does not fit them: somebody else has written it
        return frames.assemble([pair._replace(extra=None) for pair in pairs], form)


def _row(row: dict[str, Any], examples: Sequence[Example], settings: ExportSettings) -> dict[str, Any]:
    """A row of the form with what says which pair it is, and with the rest of the input row where that is kept."""
    columns, first = _COLUMNS[settings.form], examples[0].pair
    texts = {name: row[name] for name in columns}
    named = {name: value for name in _NAMED if (value := getattr(first, name)) is not None}
    rest = {key: one for key, one in row.items() if key not in texts and key not in named}
    if settings.extra == "keys":
        return {**texts, **named, **rest}
    texts = {name: _plain(value, settings.form) for name, value in texts.items()}
    kept = {"extra": json_rows.to_json(rest)[0]} if settings.extra == "column" and rest else {}
    return {**texts, **named, **kept}


def _plain(value: Any, form: str) -> Any:
    """Turns with nothing but who speaks and what is said, as text."""
    if form == "alpaca":
        return value
    role, content = _TURN[form]
    return [{role: _text(turn[role]), content: _text(turn[content])} for turn in value]


def _text(value: Any) -> str:
    """What a turn says, in whatever form it was given, as text that every file takes; questions and answers are that already."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        texts = [part for part in parts if isinstance(part, str)]
        value = "\n".join(texts) if texts and len(texts) == len(parts) else value
    if isinstance(value, (dict, list)):
        value = json_rows.to_json(value)[0]
    return text("turn", value, [])


def _example(row: dict[str, Any]) -> Example:
    values = {name: row[name] for name in Pair._fields if name in row}
    pair = Pair(**{**values, "repairs": ()})
    scores = tuple(float(row[name]) for name in SCORES if row.get(name) is not None)
    known = row if row.get("decision") is not None else _previous(pair.extra)
    raw = [one for name in Text._fields if isinstance(one := known.get(f"raw_{name}"), str)]
    if len(raw) < len(Text._fields) or known.get("decision") not in DECISIONS:
        return Example(pair, None, None, scores)
    return Example(pair, Text(*raw), known["decision"], scores)


def _previous(extra: str | None) -> dict[str, Any]:
    """What an earlier run knew about a pair; nothing if the rest of its row has no such thing."""
    rest = _object(extra) if extra is not None and f'"{_PREVIOUS}"' in extra else None
    previous = rest.get(_PREVIOUS) if rest else None
    return previous if isinstance(previous, dict) and isinstance(previous.get("row"), str) else {}


def _readable(pair: Pair, settings: ExportSettings) -> Pair:
    """The pair with the user's own part of the rest of its row, none of it where none of it can matter or be read."""
    if pair.extra is None or (settings.form == "alpaca" and settings.extra == "none"):
        return pair._replace(extra=None)
    rest = _object(pair.extra)
    if rest is None:
        return pair._replace(extra=None)
    if _previous(pair.extra):
        return pair._replace(extra=json.dumps({key: one for key, one in rest.items() if key != _PREVIOUS}))
    return pair


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) else None
