"""Faults of what must not be translated: addresses, code, placeholders."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from fault_carriers import Carried, address, carriers, carry, host_section, lead
from fault_rows import SECTIONS, Clean, Section
from fault_text import Faulty, Span, changed, lines, section_of, sentences, without

URL = re.compile(r"(?:https?://|www\.)[^\s()\[\]<>\"'、。，）（「」]+[^\s()\[\]<>\"'.,;:!?、。，）（「」]")
PLACEHOLDER = re.compile(
    r"\{\{\s*\w+\s*\}\}|\$\{\w+\}|(?<![\w}\\{])\{\w+\}(?!\})|%\(\w+\)[sd]|(?<![\w%])%[sd](?!\w)|</?(?:b|i|a|p|em|strong|kbd|br|u|h[1-6]|li|ul|ol)>"
)
_CODE = re.compile(
    r"^\s*(?:def |class |function |return\b|SELECT |INSERT |UPDATE |for \(|if \(|#include|</?\w+[^>]*>)|[;{}]\s*$|\w\(.*\)"
)
_FENCED = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


@cache
def code() -> dict[str, Any]:
    """Snippets and the words for what is in them, from the YAML file beside this one."""
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("fault_code.yaml").read_text("utf-8"))
    return loaded


def url_dropped(clean: Clean, chance: Random) -> Faulty | None:
    """An address of the target that the source has too is missing: alone, with its brackets, or with its sentence."""
    for section in SECTIONS:
        theirs, ours = section_of(clean.source, section), section_of(clean.pair, section)
        found = [
            match.span() for match in URL.finditer(ours) if match.group() in theirs and ours.count(match.group()) == 1
        ]
        if found:
            return _without_address(clean, section, chance.choice(found), chance, prepared=False)
    carrier = chance.choice(carriers()["url"])
    section = host_section(clean, carrier["at"], chance)
    url = address(chance)
    carried = carry(clean, section, carrier["en"].format(url=url), carrier[clean.language].format(url=url), chance)
    start = section_of(carried.clean.pair, section).index(url, carried.span[0])
    return _without_address(carried.clean, section, (start, start + len(url)), chance, prepared=True)


def _without_address(clean: Clean, section: Section, span: Span, chance: Random, prepared: bool) -> Faulty:
    text = section_of(clean.pair, section)
    link = next(
        (match for match in re.finditer(r"\[([^\]\n]+)\]\([^()\s]+\)", text) if match.start() < span[0] < match.end()),
        None,
    )
    if link is not None:
        return changed(clean, "url_dropped", "link_undone", section, link.span(), link.group(1), prepared)
    line = next((line for line in lines(text) if line[0] <= span[0] < line[1]), span)
    part = next((part for part in sentences(text, line) if part[0] <= span[0] < part[1]), span)
    if part != (0, len(text)) and chance.random() < 0.35:
        return _removed(clean, "sentence", section, part, prepared)
    bracket = re.search(r"\s?[(（]\s?$", text[: span[0]]), re.match(r"\s?[)）]", text[span[1] :])
    if bracket[0] and bracket[1]:
        return _removed(clean, "bracket", section, (bracket[0].start(), span[1] + bracket[1].end()), prepared)
    return _removed(clean, "address", section, span, prepared)


def _removed(clean: Clean, variant: str, section: Section, span: Span, prepared: bool) -> Faulty:
    text = section_of(clean.pair, section)
    was, new = without(text, span)
    if (
        variant == "sentence"
        and not text[: was[0]].rpartition("\n")[2].strip()
        and text[was[1] : was[1] + 1] in ("", "\n")
    ):
        start, end = len(text[: was[0]].rstrip("\n")), len(text) - len(text[was[1] :].lstrip("\n"))
        was = (was[0], end) if end < len(text) else (start, end)  # the line goes, with the break on one side of it
    return changed(clean, "url_dropped", variant, section, was, new, prepared)


def code_keyword_translated(clean: Clean, chance: Random) -> Faulty | None:
    """A keyword, tag, identifier or key in code is the word of the language, as machine translators write it."""
    for section in SECTIONS:
        found = _translatable(clean, section, _code_spans(clean, section))
        if found:
            return _translated(clean, section, chance.choice(found), False)
    snippet = chance.choice(code()["snippets"])
    section = host_section(clean, ["instruction", "input", "response", "response"], chance)
    english, own = lead(clean, section, chance)
    block = f"```{snippet['fence']}\n{snippet['text']}\n```" if chance.random() < 0.7 else snippet["text"]
    carried = carry(clean, section, f"{english}\n{block}", f"{own}\n{block}", chance, block=True)
    found = _translatable(carried.clean, section, [(carried.span[0] + len(own) + 1, carried.span[1])])
    return _translated(carried.clean, section, chance.choice(found), True) if found else None


def _code_spans(clean: Clean, section: Section) -> list[Span]:
    """Lines of the target that look like code and stand in the source as they are."""
    theirs, ours = section_of(clean.source, section).split("\n"), section_of(clean.pair, section)
    fenced = [match.span(1) for match in _FENCED.finditer(ours)]
    return [
        span
        for span in lines(ours)
        if any(line.strip().endswith(ours[slice(*span)]) for line in theirs)
        and (_CODE.search(ours[slice(*span)]) or any(start <= span[0] < end for start, end in fenced))
    ]


def _translatable(clean: Clean, section: Section, spans: list[Span]) -> list[tuple[Span, str]]:
    """Words in code, not in comments nor in text between tags, and what the language says for them."""
    text, found = section_of(clean.pair, section), []
    for start, end in spans:
        for match in re.finditer(r"[A-Za-z_]+", text[start:end]):
            new = code()["words"].get(match.group().lower(), {}).get(clean.language)
            if new is None or new.lower() == match.group().lower():
                continue
            line = text[: start + match.start()].rsplit("\n", 1)[-1]
            behind = text[start + match.end() :]
            if (
                "```" in line
                or re.search(r"(?:#(?!include)|//|--|/\*).*$", line)
                or ("<" in line and re.search(r">[^<]*$", line))
            ):
                continue  # a fence, a comment, the text of an element
            if line.count('"') % 2 and not re.match(r"\"\s*:", behind) and not re.search(r"(?:\[|=)\"$", line):
                continue  # a string that is neither key nor attribute
            found.append(((start + match.start(), start + match.end()), _cased(new, match.group())))
    return found


def _cased(new: str, old: str) -> str:
    """As the old word: SELECT gives WÄHLEN, title gives titel or Titel as the language has it."""
    return new.upper() if old.isupper() and len(old) > 1 else new


def _translated(clean: Clean, section: Section, place: tuple[Span, str], prepared: bool) -> Faulty:
    span, new = place
    word = section_of(clean.pair, section)[slice(*span)]
    return changed(clean, "code_keyword_translated", word.lower(), section, span, new, prepared)


def placeholder_broken(clean: Clean, chance: Random) -> Faulty | None:
    """A placeholder or tag that both sides have is translated, loses a brace, gains a space, or gets another name."""
    for section in SECTIONS:
        theirs, ours = section_of(clean.source, section), section_of(clean.pair, section)
        found = [match for match in PLACEHOLDER.finditer(ours) if match.group() in theirs]
        if found:
            return _broken(clean, section, chance.choice(found), chance, prepared=False)
    carrier = chance.choice(carriers()["placeholder"])
    section = host_section(clean, list(SECTIONS), chance)
    english, own = lead(clean, section, chance)
    joint = "\n" if chance.random() < 0.6 else " "
    carried: Carried = carry(
        clean, section, f"{english}{joint}{carrier['en']}", f"{own}{joint}{carrier[clean.language]}", chance, block=True
    )
    held = list(
        PLACEHOLDER.finditer(section_of(carried.clean.pair, section), carried.span[0] + len(own), carried.span[1])
    )
    return _broken(carried.clean, section, chance.choice(held), chance, prepared=True)


def _broken(clean: Clean, section: Section, match: re.Match[str], chance: Random, prepared: bool) -> Faulty:
    variant, new = chance.choice(list(_breaks(match.group(), clean.language, chance).items()))
    return changed(clean, "placeholder_broken", variant, section, match.span(), new, prepared)


def _breaks(held: str, language: str, chance: Random) -> dict[str, str]:
    """The ways in which a placeholder breaks, by name."""
    inner = re.search(r"\w+", held)
    name = inner.group() if inner else ""
    wide = str.maketrans("{}%<>()", "｛｝％＜＞（）")
    if held.startswith("<"):
        broken = {
            "space": held.replace("<", "< ").replace("</ ", "< / "),
            "bracket_lost": chance.choice([held[1:], held[:-1]]),
        }
        broken |= {"slash_moved": f"<{name}/>"} if held.startswith("</") else {"tag_lost": ""}
    elif re.fullmatch("%[sd]", held):
        broken = {
            "space": f"% {held[1]}",
            "turned": f"{held[1]}%",
            "renamed": "%t" if held == "%s" else "%n",
            "sign_lost": held[1],
        }
    else:
        left, right = held.split(name, 1)
        own = code()["renamed"].get(name, {}).get(language)
        broken = {
            "brace_lost": chance.choice([left[:-1] + name + right, left + name + right[1:]]),
            "space": chance.choice([f"{left} {name}{right}", f"{left}{name} {right}"])
            if "{{" not in held
            else f"{{ {{{name}}} }}",
        }
        if name.isdigit():
            broken["index_changed"] = f"{left}{int(name) + 2}{right}"
        else:
            broken["upper"] = left + name.capitalize() + right
        if own and own != name:
            broken |= {"translated": left + own + right, "translated_bare": own}
        if "_" in name:
            broken["underscore_lost"] = left + name.replace("_", " ") + right
        if "{{" in held:
            broken["single_brace"] = held[1:-1]
        if held.startswith(("$", "%(")):
            broken["space"] = f"{held[0]} {held[1:]}"
    if language in ("ja", "ko"):
        broken["wide"] = held.translate(wide)
    return broken
