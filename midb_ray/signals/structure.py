"""What of a text is not prose: links, addresses, code, placeholders, list items.

Every function looks for a telltale character first, so that ordinary prose costs next to nothing, and every pattern is
linear in the length of the text: repeats are bounded or cannot overlap with what follows them.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(
    r"(?:https?://|ftps?://|www\.)(?:[^\s<>\"'`{}|\\^()，、。；：！？（）「」『』【】《》“”„«»]"
    r"|\([^\s<>\"'`()]{0,200}\)){1,2000}+",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
_FENCED: Final = re.compile(r"```.*?```", re.DOTALL)
_SPAN: Final = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_PLACEHOLDER: Final = re.compile(
    r"\{\{[ ]?[A-Za-z_][\w.]{0,63}[ ]?\}\}"  # {{name}}
    r"|(?<![A-Za-z)}\]\\^_$])\$?\{(?:[A-Za-z_][\w.]{0,63}|\d{0,3})\}"  # ${name} {name} {0} {}, but not \frac{a}{b} or [a-z]{4}
    r"|(?<![\w%])%(?:\([A-Za-z_]\w{0,63}\))?(?:\d{0,2}\.\d)?[sdif](?!\w)"  # %s %(name)s %.2f
    r"|<[A-Za-z_][A-Za-z0-9_-]{0,63}>"  # <name>
)
_HTML: Final = frozenset(  # elements whose names are no words that a placeholder has
    re.findall(
        r"\w+",
        "a abbr acronym article aside audio b bdi bdo big blockquote br button canvas center cite colgroup dd del dfn "
        "div dl dt em embed fieldset figcaption figure font footer h1 h2 h3 h4 h5 h6 head hgroup hr html i iframe img "
        "ins kbd legend li main mark meta nav noscript ol optgroup p picture pre q rp rt ruby s samp script search "
        "section select small span strike strong style sub sup svg table tbody td template textarea tfoot th thead tr "
        "tt u ul var video wbr ",
    )
)
_TAG: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})(?:[ \t][^<>\n]{0,300}?)?(/?)>")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_BLANK: Final = re.compile(r"_{3,}|\.{5,}|…{2,}")
_ITEM: Final = re.compile(
    r"^[ \t>]{0,16}(?:[-*+–—][ \t]+|[•‣◦▪●○■□·・※][ \t]*"
    r"|\(?[0-9٠-٩０-９]{1,3}(?:[.)：．、）](?![0-9])|:[ \t])[ \t]*|\(?[a-zA-Z][.)][ \t]+)\S",
    re.MULTILINE,
)
_NOT_PROSE: Final = re.compile(
    f"{_FENCED.pattern}|{_SPAN.pattern}|{_URL.pattern}|{_EMAIL.pattern}", re.DOTALL | re.IGNORECASE
)

_SEEN: Final = re.compile(r"[^\n]")
_RESERVED: Final = re.compile(  # names for documentation and tests, which nobody can own (RFC 2606)
    r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)(?::\d{1,5})?$"
)
_BRACKETS: Final = {")": "(", "]": "["}
_ENDINGS: Final = ".,;:!?*_~)]"


def urls(text: str) -> set[str]:
    """The links in `text` without scheme, `www.`, a final slash and the punctuation of the sentence around them."""
    if "://" not in text and "www." not in text:
        return set()
    return {_bare(match) for match in _URL.findall(text)}


def emails(text: str) -> set[str]:
    """The e-mail addresses in `text`, in lower case."""
    return {match.lower() for match in _EMAIL.findall(text)} if "@" in text else set()


def reserved(link: str) -> bool:
    """Whether a link or an address, as `urls` and `emails` return them, is of a domain that is kept for examples."""
    host = re.split("[/?#]", link.removeprefix("ftp://").removeprefix("ftps://"), maxsplit=1)[0]
    return _RESERVED.search(host.rpartition("@")[2]) is not None  # what stands before an "@" is a user, not a host


def code(text: str) -> int:
    """How many code fences (opened and closed, or left open) and different inline spans there are."""
    if "`" not in text:
        return 0
    prose = _FENCED.sub("", text)
    return (text.count("```") + 1) // 2 + len(set(_SPAN.findall(prose)))


def open_fence(text: str) -> bool:
    """Whether a code fence is opened and never closed."""
    return text.count("```") % 2 == 1


def placeholders(text: str) -> set[str]:
    """Names to be filled in by a program: `{name}`, `{{name}}`, `${name}`, `{0}`, `%s`, `%(name)s`, `<name>`.

    Words in square brackets are not among them: people fill those in, so they are translated. HTML's tags are not either, but
    for those that are also words somebody would have filled in (<title>, <address>).
    """
    if "}" not in text and "%" not in text and ">" not in text:
        return set()
    return {found for found in _PLACEHOLDER.findall(text) if found[0] != "<" or found[1:-1].lower() not in _HTML}


def tags(text: str) -> list[str]:
    """The tags of HTML in `text`, in order, without attributes: <b>, </b>, <br/>."""
    if ">" not in text:
        return []
    return [f"<{slash}{name}{end}>" for slash, name, end in _TAG.findall(text) if name.lower() in _HTML]


def has_blank(text: str) -> bool:
    """Whether there is a gap to be filled in, as in "the ____ of the year"."""
    return ("___" in text or "....." in text or "……" in text) and _BLANK.search(text) is not None


def items(text: str) -> int:
    """Lines that are items of a list: bulleted, numbered or lettered."""
    return len(_ITEM.findall(text)) if text.count("\n") > 0 else 0


def lines(text: str) -> int:
    """Lines that are not blank."""
    return sum(not line.isspace() for line in text.splitlines() if line)


def without_markers(text: str) -> str:
    """`text` with the bullets and numbers of its list items taken off."""
    return _ITEM.sub(lambda match: match[0][-1], text)


def prose(text: str) -> str:
    """`text` without code, links and addresses, each replaced by a space."""
    if "`" in text or "://" in text or "www." in text or "@" in text:
        return _NOT_PROSE.sub(" ", text)
    return text


def reads_as_prose(text: str, few: int) -> bool:
    """Whether a text has at least `few` words of two letters or more, most of them in small letters: no formula, code or list of
    names. In a language without small letters it never does."""
    words = _WORD.findall(prose(text))
    return len(words) >= few and 2 * sum(map(str.islower, words)) > len(words)


def blanked(text: str) -> str:
    """`prose` that keeps places: what is none becomes as many spaces, lines stay."""
    if "`" in text or "://" in text or "www." in text or "@" in text:
        return _NOT_PROSE.sub(lambda match: _SEEN.sub(" ", match[0]), text)
    return text


def _bare(url: str) -> str:
    url = url.casefold()
    while url and (url[-1] in _ENDINGS) and url.count(_BRACKETS.get(url[-1], "\0")) < url.count(url[-1]):
        url = url[:-1]
    return url.removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")
