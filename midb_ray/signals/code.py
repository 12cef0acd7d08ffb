"""Code inside a text: where it stands, and the names in it that a translation has to leave alone.

Fenced blocks and inline spans say that they are code. Of other lines those are taken for it that look like a statement of one of
the common languages: a keyword at its beginning and punctuation that prose does not have, a call, an assignment, a tag.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Final

from midb_ray.signals.sentences import Span

_FENCED: Final = re.compile(r"```([^\n`]{0,40})\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]{1,400})`(?!`)")
_PUNCTUATION: Final = re.compile(r"[_(){}=<>;]")
_NAMED: Final = frozenset(  # what fences say of code
    re.findall(
        r"\S+",
        "python py java javascript js typescript ts json yaml yml sql ruby go c cpp c++ csharp php html xml css bash sh rust",
    )
)
_STATEMENT: Final = re.compile(
    r"[ \t>]{0,40}(?:"
    r"(?:(?:el)?if|else if|for|foreach|while|switch|catch|def|class|function|func|fn|public|private|protected|static|void|int|float"
    r"|double|char|boolean|bool|string|String|var|let|const|try|except|finally|else|do|struct|interface|import|from|return|print|echo"
    r"|package|using|namespace|async|await|yield|with|case|default)\b[^\n]{0,400}?(?:[;{}]|\)[ \t]*:?|:|=[^\n]{1,200})[ \t]*$"
    r"|for[ ]\w+[ ]in[ ][^\n]{1,200};[ ]do[ \t]*$|(?:el)?if[ ][^\n]{1,200};[ ]then[ \t]*$|[ \t]+return[ ]\w+[ \t]*$"
    r"|(?:class|module)[ ][A-Z]\w*[ \t]*$|[a-z-]{2,30}:[ ]?[^\n;:]{1,200};[ \t]*$"
    r"|#include\b|@\w+[ \t]*$|\$\w+[ \t]*=|[})\];]{1,4}[ \t]*$"
    r"|(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|WHERE|ORDER BY|GROUP BY|INNER JOIN|LEFT JOIN|JOIN|VALUES|SET)\b"
    r"|</?[a-zA-Z][\w-]{0,30}(?:[ \t][\w-]{1,40}=[^<>\n]{0,300})?/?>"
    r"|[{\[]?[ \t]*\"[\w-]{1,40}\"[ \t]*:[ \t]*\S"
    r"|[a-z_][\w.\[\]\"']{0,60}[ \t]*(?:[+*/|&^%-]|<<|>>)?=(?!=)[ \t]*(?:[\[{\"']|[a-z_][\w.]{0,60}[(\[])[^\n]{0,400}$"
    r"|[a-z_][\w.]{0,60}\([^\n]{0,400}\)[ \t]*;?[ \t]*$"
    r")"
)
_TELLTALE: Final = re.compile(r"[`{}<>;=()]|\bSELECT\b|\bFROM\b|:[ \t]*$", re.MULTILINE)
_NO_NAMES: Final = re.compile(  # strings, comments, the text between tags, entities
    r"\"(?:[^\"\\\n]|\\.){0,400}\"|'(?:[^'\\\n]|\\.){0,400}'|//[^\n]*|(?<![&\w])#(?!include)[^\n]*|/\*.*?\*/|--[ ][^\n]*|<!--.*?-->"
    r"|>[^<>\n]*[^<>\n=;(){}]{2}<",
    re.DOTALL,
)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>")
_VALUE: Final = re.compile(r"\[[\"'](\w{2,60})[\"']\]|\b(?:class|id|name|type|for|rel)=[\"'](\w{2,60})[\"']")
_KEY: Final = re.compile(r"\"([A-Za-z_][\w-]{0,40})\"[ \t]*:")
_PAIR: Final = re.compile(r"[ \t]{0,40}(?:- )?[a-z_][a-zA-Z0-9_-]{0,40}:(?:[ ][^\n]{1,200})?")
_MACHINE: Final = re.compile(
    r"^[ \t]{0,40}(?:- )?[a-z_][a-zA-Z0-9_-]{0,40}:[ ](?:true|false|null|\[[^\n]{0,200}\])[ \t]*$", re.MULTILINE
)
_RECORD: Final = 3  # lines
_NAME: Final = re.compile(r"[^\W\d]\w{1,60}")


def pieces(text: str) -> list[Span]:
    """Where code stands in `text`, in order: blocks without their fences, inline spans without their marks, lines. A fenced block
    of which no third looks like statements is a text that was set apart."""
    if _TELLTALE.search(text) is None:
        return []
    blocks = list(_FENCED.finditer(text))
    fenced = [Span(*match.span()) for match in blocks]
    begins = [span.start for span in fenced]
    found = [Span(*match.span(2)) for match in blocks if match[1] in _NAMED or _is_code(match[2])]
    for match in _INLINE.finditer(text):
        if not _inside(match.start(), fenced, begins) and _PUNCTUATION.search(match[1]):
            found.append(Span(*match.span(1)))
    return sorted([*found, *_bare(text, fenced)])


def is_statement(line: str) -> bool:
    """Whether a line by itself looks like code."""
    return _STATEMENT.match(line) is not None


def names(code: str) -> list[str]:
    """The names in a piece of code, in order: keywords, identifiers, tags, keys; not the words in strings and comments, nor the
    text between tags."""
    found = [one for match in _VALUE.findall(code) for one in match if one]
    if '"' in code:
        found += _KEY.findall(code)
    if _TAG.match(code.lstrip()) is None:
        return found + _NAME.findall(_NO_NAMES.sub(" ", code))
    return found + [name for tag in _TAG.findall(code) for name in _NAME.findall(_NO_NAMES.sub(" ", tag))]


def _is_code(block: str) -> bool:
    lines = [line for line in block.split("\n") if line.strip()]
    return 3 * sum(map(is_statement, lines)) >= len(lines) > 0


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield Span(start, start + len(line))
        start += len(line) + 1


def _bare(text: str, fenced: list[Span]) -> Iterator[Span]:
    """Lines of code outside of fences: statements, and what is indented below one."""
    below, begins = False, [span.start for span in fenced]
    keyed = _keyed(text)
    for line in _lines(text):
        if _inside(line.start, fenced, begins):
            continue
        below = line in keyed or is_statement(line.of(text)) or (below and line.of(text)[0] in " \t")
        if below:
            yield line


def _keyed(text: str) -> set[Span]:
    """Lines of a record of keys and values, as YAML has them: at least three in a row, one of which nests or has a value that is
    no word of a language."""
    found: set[Span] = set()
    if _MACHINE.search(text) is None:
        return found
    run: list[Span] = []
    for line in (*_lines(text), Span(0, 0)):
        if _PAIR.fullmatch(line.of(text)):
            run.append(line)
            continue
        if len(run) >= _RECORD and any(_MACHINE.search(one.of(text)) for one in run):
            found.update(run)
        run = []
    return found


def _inside(place: int, spans: list[Span], begins: list[int]) -> bool:
    """Whether a place lies in one of `spans`, which are in order and have these beginnings."""
    last = bisect.bisect_right(begins, place) - 1
    return last >= 0 and place < spans[last].end
