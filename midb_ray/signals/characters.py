"""Characters that nobody who edits a text puts there: control characters, invisible ones, private ones, halves of a character.

Some of them have a place of their own, and there they are none of those: a zero-width joiner in an emoji, joiners in Arabic and
Indic script, a zero-width space between Thai words, direction marks in a text that is written from the right.
"""

from __future__ import annotations

import re
from typing import Final

import regex

_ORDINARY: Final = "\n\t\xa0\u202f\u3000"  # white space, which Python does not take for printable
_NO_CHARACTERS: Final = "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17))
_HIDDEN: Final = (  # invisible too, but letters, marks and symbols to Unicode, so that Python takes them for printable
    r"\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0100-\U000e01ef"
)
_HAS_HIDDEN: Final = re.compile(f"[{_HIDDEN}]")
_SUSPECT: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    r"\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible ones, tags
    rf"{_HIDDEN}"
    rf"\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff\ufdd0-\ufdef{_NO_CHARACTERS}]"  # halves, private use, no characters
)
_FLAG: Final = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
)  # of a part of a country
_MARKS: Final = frozenset("\u061c\u200e\u200f")  # of direction
_FROM_THE_RIGHT: Final = regex.compile(r"(?=\p{L})[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}]")
_JOINED: Final = regex.compile(
    r"[\p{M}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Mongolian}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}"
    r"\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}"
    r"\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Myanmar}]"
)
_PICTURE: Final = regex.compile(r"[\p{Extended_Pictographic}\p{Emoji_Modifier}]")
_SELECTED: Final = regex.compile(
    r"[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Han}\p{Katakana}\p{Hiragana}\u3000-\u303f\uff00-\uff65]"
)
_UNSPACED: Final = regex.compile(r"[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]")
_HAN: Final = regex.compile(r"\p{Han}")
_MONGOLIAN: Final = regex.compile(r"[\p{Script=Mongolian}&&\p{L}]", regex.V1)
_BRAILLE: Final = re.compile("[\u2801-\u28ff]")


def strange(text: str) -> set[str]:
    """The characters of `text` that have no business where they stand."""
    plain = text
    for character in _ORDINARY:
        plain = plain.replace(character, "")
    if plain.isprintable() and (plain.isascii() or not _HAS_HIDDEN.search(plain)):  # nearly always
        return set()
    if "\U0001f3f4" in text:
        text = _FLAG.sub("", text)
    found = {match[0] for match in _SUSPECT.finditer(text) if not _at_home(text, match.start())}
    if not found.isdisjoint(_MARKS) and _FROM_THE_RIGHT.search(text):
        found.difference_update(_MARKS)
    return found


def _at_home(text: str, place: int) -> bool:
    """Whether the neighbours of the character at `place` account for it."""
    character, before, behind = text[place], text[max(place - 1, 0) : place], text[place + 1 : place + 2]
    if character == "\u200b":
        return bool(_UNSPACED.match(before) or _UNSPACED.match(behind))
    if character == "\u200c":
        return _JOINED.match(before) is not None
    if "\ufe00" <= character <= "\ufe0f":  # behind an emoji or a character of East Asia, or in a keycap
        return _SELECTED.match(before) is not None or (before in tuple("0123456789#*") and behind == "\u20e3")
    if character >= "\U000e0100":
        return _HAN.match(before) is not None
    if "\u180b" <= character <= "\u180f":
        return _MONGOLIAN.match(before) is not None
    if character == "\u2800":
        return _BRAILLE.match(before) is not None or _BRAILLE.match(behind) is not None
    return character == "\u200d" and bool(_JOINED.match(before) or _PICTURE.match(before))
