"""Links that name no scheme, and markup that acts by itself: what a reader of a rendered answer may follow or run unawares.

Links with a scheme or `www.` are `structure.urls`. What is found here is only ever refused where it was added.
"""

from __future__ import annotations

import re
from typing import Final

_DOMAIN: Final = (  # of a country, or of those in wide use; others look like file names (Node.js, report.txt)
    r"(?:[a-z0-9-]{1,63}\.){1,8}(?:com|net|org|info|biz|edu|gov|mil|int|app|dev|xyz|online|site|top|shop|store|club|live|tech"
    r"|cloud|link|click|page|blog|pro|icu|vip|zip|mov|(?!js|py|rs|md|cs|ts|vb|sh|pl|so|ps)[a-z]{2})(?![a-z0-9-])"
)
_BARE: Final = re.compile(rf"(?<![\w@./:-])(?!asp\.net)({_DOMAIN}/[^\s<>\"'`)\]]{{1,2000}})", re.ASCII | re.IGNORECASE)
_MARKDOWN: Final = re.compile(
    rf"\]\([ \t]{{0,8}}<?((?://[^\s)>]{{1,2000}}|{_DOMAIN}[^\s)>]{{0,2000}}))", re.ASCII | re.IGNORECASE
)
_HTML: Final = re.compile(
    rf"\b(?:href|src|srcset|action|formaction|data|poster|background)[ \t]{{0,8}}=[ \t]{{0,8}}[\"']?[ \t]{{0,8}}"
    rf"((?://[^\s\"'>]{{1,2000}}|{_DOMAIN}/[^\s\"'>]{{0,2000}}))",
    re.ASCII | re.IGNORECASE,
)
_ACTIVE: Final = re.compile(
    r"<(?:script|iframe|object|embed)(?=[\s>/])|\b(?:java|vb)script:(?=\S)"
    r"|<[a-z][^<>]{0,400}?\s(on[a-z]{3,24})[ \t\n]{0,8}=",
    re.IGNORECASE,
)
_ENDINGS: Final = ".,;:!?*_~"


def unschemed(text: str) -> set[str]:
    """The targets of links in Markdown and HTML without a scheme, and bare domains with a path, in lower case."""
    if "." not in text or ("/" not in text and "](" not in text):
        return set()
    found = set(_BARE.findall(text))
    if "](" in text:
        found.update(_MARKDOWN.findall(text))
    if "=" in text:
        found.update(_HTML.findall(text))
    return {target.casefold().lstrip("/").removeprefix("www.").rstrip(_ENDINGS).rstrip("/") for target in found}


def active(text: str) -> set[str]:
    """Tags and links that run a program or load a foreign page (`<script`, `<iframe`, `javascript:`) and the handlers of events
    (`onclick`), in lower case."""
    if "<" not in text and "cript:" not in text:
        return set()
    return {(match[1] or match[0]).casefold() for match in _ACTIVE.finditer(text)}
