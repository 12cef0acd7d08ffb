"""Render a pair into a prompt and parse an answer back. Pure functions; nothing here knows a model.

A pair is serialised as marked sections, the same on both sides (MIDB, arXiv 2505.17671):

    <|instruction|>
    ...
    <|input|>          left out when the input is empty
    ...
    <|response|>
    ...

Text from data never becomes structure: a marker inside a text is escaped with a backslash on the way in and unescaped
on the way out, so `parse(serialise(text)) == text` for any text whatsoever.

What was said before a turn of a conversation stands between the request and the pair, a turn a line as JSON. It is shown and never
answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal

from midb_ray.locales import Locale
from midb_ray.pairs import Text, Turn

Template = Literal["locale", "plain"]

INSTRUCTION, INPUT, RESPONSE, REVISED = "<|instruction|>", "<|input|>", "<|response|>", "<|revised|>"

_ESCAPABLE = re.compile(r"<(\\*)\|(instruction|input|response|revised)\|>")
_ESCAPED = re.compile(r"<\\(\\*)\|(instruction|input|response|revised)\|>")
_MARKER = re.compile(r"<\|(instruction|input|response|revised)\|>")

_LINE_ENDS = str.maketrans(
    {end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
)  # those that JSON leaves as they are

CONTEXT = (
    "What follows was said before in the same conversation, one turn a line; "
    "it helps to understand the pair and is no part of it:"
)

PLAIN = (
    "Below is an instruction pair. Rewrite it so that it becomes more specific, more detailed, more logical and free of "
    "grammatical mistakes, without adding anything misleading or made up. Answer with the rewritten pair in the same "
    "form and nothing else."
)

LOCALE = (
    "You edit instruction data for readers of {name} in {region}. Revise the pair below until a native expert would "
    "sign it.\n"
    "Content: correct what is wrong, complete what is missing, keep to what was asked.\n"
    "Translation: mend grammar, mistranslations and anything that sounds translated; leave code, names, links and "
    "placeholders as they are.\n"
    "Localisation: make examples, customs and expressions those of {region}; {conventions}.\n"
    "Answer in {name} with the revised pair in the same form and nothing else; a pair without faults is repeated as it is."
)


class AnswerError(ValueError):
    """An answer that is not a serialised pair. `reason` is a guard reason code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def escape(text: str) -> str:
    """`text` without any marker in it: every `<|name|>` gains one backslash, as does every already escaped one."""
    return _ESCAPABLE.sub(r"<\1\\|\2|>", text) if "|" in text else text


def unescape(text: str) -> str:
    """The inverse of `escape`."""
    return _ESCAPED.sub(r"<\1|\2|>", text) if "|" in text else text


def serialise(text: Text) -> str:
    """The marked form of a pair: what a prompt shows and what a booster answers."""
    instruction, given, response = escape(text.instruction), escape(text.input), escape(text.response)
    section = f"\n{INPUT}\n{given}" if given else ""
    return f"{INSTRUCTION}\n{instruction}{section}\n{RESPONSE}\n{response}"


def parse(answer: str) -> Text:
    """The pair in a booster's answer; white space before the first marker is allowed, nothing else.

    Raises `AnswerError` with reason `unparseable` (no sections, or a section twice) or `preamble` (text before them).
    """
    preamble, begun, rest = answer.partition(f"{INSTRUCTION}\n")
    body, answered, response = rest.partition(f"\n{RESPONSE}\n")
    if not (begun and answered):
        raise AnswerError("unparseable", "the answer does not consist of an instruction and a response section")
    if preamble.strip():
        raise AnswerError("preamble", f"the answer begins with {preamble[:60]!r}")
    instruction, _, given = body.partition(f"\n{INPUT}\n")
    sections = (instruction, given, response)
    if any("<|" in section and _MARKER.search(section) for section in sections):
        raise AnswerError("unparseable", "a section stands twice or at the wrong place")
    return Text(*(unescape(section) for section in sections))


def instructions(template: Template, locale: Locale) -> str:
    """The request that stands before the pair: the same for every pair of a locale, so engines can cache it."""
    if template == "plain":
        return PLAIN
    return LOCALE.format(name=locale.name, region=locale.region_name, conventions=locale.conventions_text)


def heading(template: Template, locale: Locale) -> str:
    """The request and the blank line before the pair."""
    return f"{instructions(template, locale)}\n\n"


def before(turns: Sequence[Turn]) -> str:
    """What was said before the pair, for the place between the request and the pair; nothing where nothing was."""
    if not turns:
        return ""
    lines = [escape(json.dumps(turn._asdict(), ensure_ascii=False)).translate(_LINE_ENDS) for turn in turns]
    return "\n".join([CONTEXT, *lines, "", ""])


def prompt(template: Template, locale: Locale, text: Text) -> str:
    """The whole prompt for one pair, before a chat template or the `<|revised|>` cue is put around it."""
    return f"{heading(template, locale)}{serialise(text)}"
