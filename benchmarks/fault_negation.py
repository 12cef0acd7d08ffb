"""The negation of a clause is lost: the sentence stays grammatical and says the opposite of its source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from fault_rows import Clean, Section
from fault_text import Faulty, Span, aligned, changed, facing, section_of, sentences, without

_NEGATED = re.compile(
    r"\b(?:not|never|no(?! (?:one|doubt|matter))|cannot|without|neither|nor|none|nobody|nothing|unable|\w+n['’]t)\b",
    re.IGNORECASE,
)
_ODD = re.compile(
    r"\bnot (?:only|just|necessarily|always|all|every|merely|simply|to mention)\b|\b(?:or|if|why|may|might|need) not\b"
    r"|\bno (?:longer|matter|doubt|more than|wonder|one|input)\b|\byes ?(?:/|or) ?no\b|\bno[.,!\"”]|n['’]t (?:only|just)\b"
    r"|\b(?:any ?more|but to|but also|other than|whether|neither|nor|nothing|without (?:a doubt|question))\b|\?$",
    re.IGNORECASE,
)
_MOST = 2  # negations in a sentence
_TURKISH_HARMONY = {"a": "ı", "ı": "ı", "e": "i", "i": "i", "o": "u", "u": "u", "ö": "ü", "ü": "ü"}
_CAN = r"(?:[ıiuü][ln]|ed|ol|yap|ver|al|bul|gör|y|tut|gid|çek|kal|bil|kullan)"
_AORIST = {
    "gerek": "ir", "ol": "ur", "yap": "ar", "ver": "ir", "içer": "ir", "değiş": "ir", "bil": "ir", "al": "ır", "gel": "ir",
    "gör": "ür", "kullan": "ır", "bulun": "ur", "çalış": "ır", "izin ver": "ir", "geç": "er", "çık": "ar", "kal": "ır", "dur": "ur",
}  # fmt: skip


@cache
def rules() -> dict[str, dict[str, Any]]:
    """How languages negate, from the YAML file beside this one."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(
        Path(__file__).with_name("fault_negation.yaml").read_text("utf-8")
    )
    return loaded


def negation_lost(clean: Clean, chance: Random) -> Faulty | None:
    """A sentence that its English one negates as often loses one negation."""
    sections: list[Section] = ["response", "instruction", "input"]
    for section in sections:
        theirs, ours = section_of(clean.source, section), section_of(clean.pair, section)
        pairs = aligned(theirs, ours)
        pairs += [  # a line that is divided otherwise is taken as one
            (there, here)
            for there, here in facing(theirs, ours)
            if len(sentences(theirs, there)) != len(sentences(ours, here))
        ]
        chance.shuffle(pairs)
        for there, here in pairs:
            found = list(affirmed(theirs[slice(*there)], ours[slice(*here)], clean.language))
            if not found:
                continue
            span, new = chance.choice(found)
            place = (here[0] + span[0], here[0] + span[1])
            old = ours[slice(*place)]
            if not new:
                place, new = without(ours, place)
            elif old[0].isupper():
                new = new[0].upper() + new[1:]
            variant = ours[slice(*place)].strip()
            return changed(clean, "negation_lost", variant, section, place, new)
    return None


def affirmed(english: str, sentence: str, language: str) -> Iterator[tuple[Span, str]]:
    """The ways to lose a negation of `sentence`: the span that goes, within it, and what takes its place."""
    own = rules()[language]
    negations = len(_NEGATED.findall(english))
    if not 0 < negations <= _MOST or _ODD.search(english) or re.search(own["skip"], sentence, re.IGNORECASE):
        return
    if len(re.findall(own["negator"], sentence, re.IGNORECASE)) != negations:
        return
    for pattern, new in own["rules"]:
        for match in re.finditer(pattern, sentence, re.IGNORECASE if language not in ("de", "es") else 0):
            if match.group().lower().strip() in _WITHOUT and "without" not in english.lower():
                continue
            yield match.span(), match.expand(new)
    if language == "tr":
        yield from _turkish(sentence)
    if language == "ko":
        yield from _korean(sentence)


_WITHOUT = {"senza", "sin", "sans", "ohne", "sem", "tanpa", "χωρίς", "بدون", "من دون"}


def _turkish(sentence: str) -> Iterator[tuple[Span, str]]:
    """Verbs and nouns without their negation; vowels of endings follow the last one of the stem."""
    for match in re.finditer(rf"\b(?P<s>\w*{_CAN})(?P<v>[ae])m(?:[ae]z|(?P<i>[ıi]yor))(?P<p>\w*)", sentence):
        person = match["p"].translate(str.maketrans("aı", "ei")) if not match["i"] else match["p"]
        can = f"{match['v']}bil" + ("iyor" if match["i"] else "ir")
        if match["p"] in ("", "lar", "ler", "sınız", "siniz", "um", "uz"):
            yield match.span(), match["s"] + can + person
    for match in re.finditer(r"\b(?P<s>\w+)m(?P<v>[ıiuü])yor(?P<p>\w*)", sentence):
        stem = match["s"]
        if re.search(rf"{_CAN}[ae]$", stem) and not stem.endswith(("la", "le")):
            continue
        stem = stem[:-1] if stem[-1] in "aeıiuüoö" else re.sub(r"^(e|gi|.*(?:\s|\b)e)t$", r"\1d", stem)
        yield match.span(), f"{stem}{match['v']}yor{match['p']}"
    for match in re.finditer(r"(?<=\w\w)m(?P<v>[ae])m(?P=v)(?P<r>l[ıi]|s[ıi]|k|ğ)", sentence):
        yield match.span(), f"m{match['v']}{match['r']}"
    for match in re.finditer(r"\b(?P<s>\w{2,})m[ae]y[ıi]n(?P<p>[ıi]z)?\b", sentence):
        vowel = _harmony(match["s"])
        stem = _voiced(match["s"]) if match["s"][-1] not in "ae" else match["s"] + "y"
        yield match.span(), f"{stem}{vowel}n" + (f"{vowel}z" if match["p"] else "")
    for match in re.finditer(r"\b(?P<s>\w{2,})m(?P<v>[ae])y(?P=v)n(?P<p>\w*)", sentence):
        stem = _voiced(match["s"]) if match["s"][-1] not in "aeıiuü" else match["s"] + "y"
        yield match.span(), f"{stem}{match['v']}n{match['p']}"
    for match in re.finditer(r"\b(?P<s>\w+)m[ae]z(?P<p>lar|ler)?\b", sentence):
        if re.search(r"[ıiuü][ln]$", match["s"]):
            yield match.span(), f"{match['s']}{match['s'][-2]}r{match['p'] or ''}"
        elif match["s"].lower() in _AORIST:
            yield match.span(), match["s"] + _AORIST[match["s"].lower()] + (match["p"] or "")
    for match in re.finditer(r"\b(?P<s>\w+[^\Waeıioöuü])m[ae]d[ıi](?P<p>k|m|n|lar|ler)?\b", sentence):
        vowel = _harmony(match["s"])
        yield match.span(), f"{match['s']}{'t' if match['s'][-1] in 'fstkçşhp' else 'd'}{vowel}{match['p'] or ''}"
    for match in re.finditer(r"(?<= )yok(?P<d>tur)?\b(?! e[dt])", sentence):
        yield match.span(), "vardır" if match["d"] else "var"
    for match in re.finditer(r"(?P<s>\w+) değil(?P<d>dir)?(?=[.;])", sentence):
        hard = "t" if match["s"][-1] in "fstkçşhp" else "d"
        yield match.span(), match["s"] + (f"{hard}{_harmony(match['s'])}r" if match["d"] else "")


def _harmony(stem: str) -> str:
    vowels = [letter for letter in stem.lower() if letter in _TURKISH_HARMONY]
    return _TURKISH_HARMONY[vowels[-1]] if vowels else "i"


def _voiced(stem: str) -> str:
    """A stem before a vowel: et- and git- soften."""
    return stem[:-1] + "d" if stem in ("et", "git") else stem


def _korean(sentence: str) -> Iterator[tuple[Span, str]]:
    """Verbs in -지 않다, -지 못하다, -지 말다 in their plain form, for stems and endings that are regular."""
    pattern = (
        r"(?P<s>[가-힣])지[는도]? ?(?:않|못하|못|마|말)"
        r"(?P<e>습니다|합니다|는다|는(?!다)|은|한|고|으면|면|도록|을|할|게|기|지만|세요|십시오|아야|았습니다|했습니다)"
    )
    for match in re.finditer(pattern, sentence):
        plain = _conjugated(match["s"], match["e"])
        if plain:
            yield match.span(), plain


def _conjugated(stem: str, ending: str) -> str | None:
    final = (ord(stem) - 0xAC00) % 28  # its last consonant: 0 none, 8 ㄹ, others as in Unicode's order
    if final in (7, 8, 17, 19, 27):  # stems that change before vowels
        return stem + ending if ending in ("고", "도록", "게", "기", "지만") else None
    match ending:
        case "습니다" | "합니다":
            return stem + "습니다" if final else chr(ord(stem) + 17) + "니다"
        case "은" | "한":
            return stem + ("은" if final else "") if final else chr(ord(stem) + 4)
        case "을" | "할":
            return stem + "을" if final else chr(ord(stem) + 8)
        case "으면" | "면":
            return stem + ("으면" if final else "면")
        case "세요" | "십시오":
            return stem + ("으" if final else "") + ending
        case "아야":
            return {"하": "해야", "되": "되어야"}.get(stem)
        case "았습니다" | "했습니다":
            return {"하": "했습니다", "되": "되었습니다", "있": "있었습니다"}.get(stem)
        case "는다":
            return stem + "는다" if final else chr(ord(stem) + 4) + "다"
        case _:
            return stem + ending
