"""Code inside a text: where it stands, and the names in it that a translation has to leave alone.

Fenced blocks and inline spans say that they are code. Of other lines those are taken for it that look like a statement of one of
the common languages: a keyword at its beginning and punctuation that prose does not have, a call, an assignment, a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from midb_ray.signals.sentences import Span

_FENCED: Final = re.compile(r"```[^\n`]{0,40}\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]{1,400})`(?!`)")
_STATEMENT: Final = re.compile(
    r"[ \t>]{0,40}(?:"
    r"(?:(?:el)?if|else if|for|foreach|while|switch|catch|def|class|function|func|fn|public|private|protected|static|void|int|float"
    r"|double|char|boolean|bool|string|String|var|let|const|try|except|finally|else|do|struct|interface|import|from|return|print|echo"
    r"|package|using|namespace|async|await|yield|with|case|default)\b[^\n]{0,400}?(?:[;{}]|\)[ \t]*:?|:|=[^\n]{1,200})[ \t]*$"
    r"|#include\b|@\w+[ \t]*$|\$\w+[ \t]*=|[})\];]{1,4}[ \t]*$"
    r"|(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|WHERE|ORDER BY|GROUP BY|INNER JOIN|LEFT JOIN|JOIN|VALUES|SET)\b"
    r"|</?[a-zA-Z][\w-]{0,30}(?:[ \t][^<>\n]{0,300})?/?>"
    r"|\"[\w-]{1,40}\"[ \t]*:[ \t]*\S"
    r"|[A-Za-z_][\w.\[\]\"']{0,60}[ \t]*(?:[+*/|&^%-]|<<|>>)?=(?!=)[ \t]*[^\n]{1,400}$(?<=[;)\]}\"'\w])"
    r"|[A-Za-z_][\w.]{0,60}\([^\n]{0,400}\)[ \t]*;?[ \t]*$"
    r")"
)
_TELLTALE: Final = re.compile(r"[`{}<>;=()]|\bSELECT\b|\bFROM\b|:[ \t]*$", re.MULTILINE)
_NO_NAMES: Final = re.compile(  # strings, comments, the text between tags, entities
    r"\"(?:[^\"\\\n]|\\.){0,400}\"|'(?:[^'\\\n]|\\.){0,400}'|//[^\n]*|(?<![&\w])#(?!include)[^\n]*|/\*.*?\*/|--[ ][^\n]*|<!--.*?-->"
    r"|>[^<>\n]*[^<>\n=;(){}]{2}<",
    re.DOTALL,
)
_KEY: Final = re.compile(r"\"([A-Za-z_][\w-]{0,40})\"[ \t]*:")
_NAME: Final = re.compile(r"[^\W\d]\w{1,60}")


def pieces(text: str) -> list[Span]:
    """Where code stands in `text`, in order: blocks without their fences, inline spans without their marks, lines."""
    if _TELLTALE.search(text) is None:
        return []
    found = [Span(*match.span(1)) for match in _FENCED.finditer(text)]
    fenced = [Span(*match.span()) for match in _FENCED.finditer(text)]
    for match in _INLINE.finditer(text):
        if not _inside(match.start(), fenced):
            found.append(Span(*match.span(1)))
    found += [line for line in _lines(text) if not _inside(line.start, fenced) and is_statement(line.of(text))]
    return sorted(found)


def is_statement(line: str) -> bool:
    """Whether a line by itself looks like code."""
    return _STATEMENT.match(line) is not None


def names(code: str) -> set[str]:
    """The names in a piece of code: keywords, identifiers, tags, keys of JSON objects; not the words in strings and comments."""
    keys = set(_KEY.findall(code)) if '"' in code else set()
    return keys.union(_NAME.findall(_NO_NAMES.sub(" ", code)))


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield Span(start, start + len(line))
        start += len(line) + 1


def _inside(place: int, spans: list[Span]) -> bool:
    return any(span.start <= place < span.end for span in spans)
