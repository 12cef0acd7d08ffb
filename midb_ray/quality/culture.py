"""What in a pair does not follow the conventions of its locale: units, currency, dates, numbers, marks, references to the US.

Each finding is a span with the form that the locale would write, where that can be known. Code and links are left alone; a pair
that is about the US by its own words may name what is there, and a task that converts units may name them.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import babel
from babel import dates, numbers

from midb_ray.locales import Locale
from midb_ray.pairs import Text
from midb_ray.quality.findings import MOST, Finding, cut
from midb_ray.signals import convention, gazetteer, structure
from midb_ray.signals.gazetteer import Gazetteer

_DIGIT: Final = re.compile(r"\d")
_US: Final = re.compile(
    r"\bU\.?S\.?A?\b|United States|[Aa]m[eéè]ri[ckqg]|EE\.? ?UU|Estados Unidos|\bEUA\b|États-Unis|Stati Uniti|Vereinigte\w? Staaten"
    r"|Spojen\w* stát|\bABD\b|США|[Аа]мерик|[أا]مريك|الولايات المتحدة|アメリカ|米国|미국|สหรัฐ|อเมริกา|Hoa Kỳ|\bMỹ\b|ΗΠΑ|[Αα]μερικ"
)
_CONVERT: Final = re.compile(
    r"\bconv[ei]r[tsz]|konver[tsz]|umrechn|umwand|wandeln?\b|rechnen? .{0,40}\bum\b|преобраз|перев(?:ести|еди|одит)|حو[ّ]?ل|تحويل"
    r"|dönüştür|çevir|変換|換算|변환|환산|přev[eé]|ubah|tukar|chuyển|quy đổi|đổi|แปลง|μετατρ|transform|trasform"
    r"|převod|m[eé]tri[ckqs]|metrisch|متري|メートル法|미터법|Celsius|摂氏|섭씨|مئوية",
    re.IGNORECASE,
)
_DOLLARS: Final = re.compile(
    r"(?<![\w$])(?:US ?)?\$ ?\d{1,12}+(?:[.,]\d{1,12}+){0,4}+(?![\w\\^_$}]| ?[\\^])|(?<![A-Za-z\d.,])\d[\d.,]{0,15}"
    r" ?(?:\$(?![\w$])|USD\b"
    r"|(?:US[- ])?(?:[Dd]ollars?|dólar(?:es)?|dollari|долларов|доллара?|دولارا?ً?|دولارات|dolar(?:lık|ů|y)?|ドル|달러|δολάρια"
    r"|ดอลลาร์|đô[ -]la|đô)(?![a-z]))",
)
_MATH: Final = re.compile(r"\$(?=[^\s$])[^$\n]{1,200}(?<=[^\s$])\$(?!\d)")  # what LaTeX sets as a formula
_MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_US_DATE: Final = re.compile(r"(?<![\d/.])(0?[1-9]|1[0-2])/(1[3-9]|2\d|3[01])/((?:19|20)\d\d)(?![\d/])")
_ENGLISH_DATE: Final = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}})(?:st|nd|rd|th)?, ?((?:1[5-9]|20)\d\d)\b")
_HALF_DAY: Final = re.compile(r"[AaPp]\.?[mM]")
_TIME: Final = re.compile(r"(?<![\d:.,])(0?[1-9]|1[0-2])(?::([0-5]\d))? ?([AaPp])(?:\.[mM]\.|[mM](?![\w]))")
_POINT_DECIMAL: Final = re.compile(
    r"(?<![\w.,:/-])\d{1,3}(?:,\d{3})+\.\d{1,4}(?![\w.,]?\d|\w)|(?<![\w.,:/-])\d{1,3}(?:,\d{3}){2,}(?![\w,]|\.\d)"
)
_COMMA_DECIMAL: Final = re.compile(r"(?<![\w.,:/-])\d{1,3}(?:\.\d{3})+,\d{1,4}(?![\w.,]?\d|\w)")
_PHONE: Final = re.compile(r"(?<![\d\w])\([2-9]\d\d\) ?\d{3}-\d{4}(?!\d)|, [A-Z]{2} \d{5}(?!\d)")
_LETTERS: Final = {
    "Arabic": "ء-ي",
    "Greek": "α-ωά-ώ",
    "Hiragana": "ぁ-んァ-ヶ一-龯",
}  # of scripts with marks of their own
_SPANISH: Final = re.compile(r"[A-Za-zÁ-ú] ?([?!])(?=\s|$)")
_QUOTED: Final = {mark: re.compile(rf"{mark}[^\W\d][^\n\"“”]{{1,200}}[\"”]") for mark in '"“'}
_ADDRESS: Final[dict[str, tuple[re.Pattern[str], re.Pattern[str]]]] = {
    "de": (
        re.compile(r"\b(?:[Dd]u|[Dd]ich|[Dd]ir|[Dd]eine?[mnrs]?)\b"),
        re.compile(r"(?<=[a-zäöüß,] )(?:Sie|Ihnen|Ihre?[mnrs]?)\b"),
    ),
    "fr": (re.compile(r"\b(?:tu|toi|tes|ton)\b"), re.compile(r"\b(?:vous|votre|vos)\b")),
    "ru": (re.compile(r"\b(?:ты|тебя|тебе|твой|твоя|твои)\b"), re.compile(r"\b(?:вы|вас|вам|ваш|ваша|ваши)\b")),
    "es": (re.compile(r"\b(?:tú|contigo|tus)\b"), re.compile(r"\b(?:usted)\b")),
    "tr": (re.compile(r"\b(?:sen|seni|sana|senin)\b"), re.compile(r"\b(?:siz|sizi|size|sizin)\b")),
    "cs": (re.compile(r"\b(?:ty|tebe|tobě|tvůj|tvoje)\b"), re.compile(r"\b(?:vy|vás|vám|váš|vaše)\b")),
}
_EXCUSED: Final = frozenset({"currency", "imperial_unit", "us_reference"})
_OFTEN: Final = 2  # times that a form of address stands in a text which uses it
_SPEECH: Final = frozenset('"“”„«»–—')


def findings(text: Text, locale: Locale, names: Gazetteer | None = None) -> list[Finding]:
    """What of a pair does not follow the conventions of `locale`; `names` are those of the built-in gazetteer unless given."""
    names = names or gazetteer.load()
    abroad = locale.region != "US"
    found: list[Finding] = []
    for section in ("instruction", "input", "response"):
        content = getattr(text, section)
        if not content:
            continue
        plain = structure.blanked(content)
        if "$" in plain:
            plain = _MATH.sub(lambda match: " " * len(match[0]), plain)
        if _DIGIT.search(plain):
            found += _currencies(section, plain, locale) if abroad else ()
            found += _forms(section, plain, locale)
        if abroad:
            found += _references(section, plain, locale, names)
        found += _marks(section, plain, locale)
        found += _address(section, plain, locale)
        if locale.units == "metric":  # numbers may stand in words
            found += _units(section, plain, locale)
    return _unasked(found, text, locale) if any(one.kind in _EXCUSED for one in found) else found


def _unasked(found: list[Finding], text: Text, locale: Locale) -> list[Finding]:
    """The findings without those that the task itself asks for."""
    excused: set[str] = set()
    if _US.search(text.instruction) or _US.search(text.input):
        excused |= {"currency", "us_reference"}
    if _converts(text, locale):
        excused |= {"currency", "imperial_unit"}
    return [one for one in found if one.kind not in excused]


def _converts(text: Text, locale: Locale) -> bool:
    """Whether a task is about units, or money, themselves."""
    asked = f"{text.instruction}\n{text.input}"
    return _CONVERT.search(asked) is not None and (
        convention.names_a_unit(asked, locale) or _DOLLARS.search(asked) is not None
    )


def _currencies(section: str, plain: str, locale: Locale) -> Iterator[Finding]:
    if locale.currency == "USD":
        return
    symbol = str(numbers.get_currency_symbol(locale.currency, locale=_cldr(locale.tag)))
    for match in itertools.islice(_DOLLARS.finditer(plain), MOST):
        if symbol != "$":
            yield Finding("currency", section, *match.span(), cut(match[0]), f"{locale.currency} ({symbol})")


def _units(section: str, plain: str, locale: Locale) -> Iterator[Finding]:
    for one in itertools.islice(convention.imperial(plain, locale), MOST):
        yield Finding("imperial_unit", section, one.start, one.end, cut(plain[one.start : one.end]), one.metric)


def _forms(section: str, plain: str, locale: Locale) -> Iterator[Finding]:
    language = _cldr(locale.tag)
    foreign = {",": _POINT_DECIMAL, ".": _COMMA_DECIMAL}.get(locale.decimal)
    if foreign is not None and _other(locale) in plain:
        for match in foreign.finditer(plain):
            local = match[0].translate(str.maketrans(locale.decimal + _other(locale), locale.grouping + locale.decimal))
            yield Finding("number_form", section, *match.span(), cut(match[0]), local)
    if locale.region != "US":
        for match in _US_DATE.finditer(plain) if "/" in plain else ():
            yield from _date(section, match, int(match[1]), int(match[2]), "short", language)
        if locale.language != "en" and any(map(plain.__contains__, _MONTHS)):
            for match in _ENGLISH_DATE.finditer(plain):
                yield from _date(section, match, _MONTHS.index(match[1]) + 1, int(match[2]), "long", language)
    if _HALF_DAY.search(plain) is not None and locale.counts_24_hours:
        for match in _TIME.finditer(plain):
            hour = int(match[1]) % 12 + (12 if match[3] in "Pp" else 0)
            local = dates.format_time(datetime.time(hour, int(match[2] or 0)), "short", locale=language)
            yield Finding("time_form", section, *match.span(), cut(match[0]), str(local))


def _date(
    section: str, match: re.Match[str], month: int, day: int, form: str, language: babel.Locale
) -> Iterator[Finding]:
    try:
        local = dates.format_date(datetime.date(int(match[3]), month, day), form, locale=language)
    except ValueError:  # the 31st of a shorter month
        return
    yield Finding("date_form", section, *match.span(), cut(match[0]), str(local))


def _references(section: str, plain: str, locale: Locale, names: Gazetteer) -> Iterator[Finding]:
    for one in names.references(plain, locale.region):
        yield Finding("us_reference", section, one.start, one.end, cut(plain[one.start : one.end]), one.local)
    for match in _PHONE.finditer(plain):
        yield Finding("us_reference", section, *match.span(), cut(match[0]))


def _marks(section: str, plain: str, locale: Locale) -> Iterator[Finding]:
    """At most one finding for marks and one for quotation marks."""
    pattern = _foreign_marks(locale)
    if pattern is not None and (match := pattern.search(plain)):
        yield Finding("punctuation", section, *match.span(), match[0], dict(locale.marks)[match[0]])
    if locale.language == "es" and ("?" in plain or "!" in plain):
        for match in _SPANISH.finditer(plain):
            opening = {"?": "¿", "!": "¡"}[match[1]]
            if opening not in plain:
                yield Finding("punctuation", section, *match.span(1), match[1], f"{opening}…{match[1]}")
                break
    opening, closing = locale.quotes
    if opening not in "“" and opening not in plain:
        for mark in '"“':
            place = plain.find(mark)
            if place >= 0 and (match := _QUOTED[mark].search(plain, place)):
                yield Finding(
                    "quotation_marks", section, *match.span(), cut(match[0]), f"{opening}{cut(match[0][1:-1])}{closing}"
                )
                break


def _address(section: str, plain: str, locale: Locale) -> Iterator[Finding]:
    forms = _ADDRESS.get(locale.language)
    if forms is None or section == "input" or not _SPEECH.isdisjoint(plain):
        return
    familiar, formal = (pattern.findall(plain) for pattern in forms)
    if len(familiar) >= _OFTEN and len(formal) >= _OFTEN:
        first = forms[0].search(plain)
        if first is not None:
            yield Finding("mixed_address", section, *first.span(), first[0])


def _other(locale: Locale) -> str:
    return "." if locale.decimal == "," else ","


@lru_cache(maxsize=256)
def _cldr(tag: str) -> babel.Locale:
    return babel.Locale.parse(tag, sep="-")


@lru_cache(maxsize=256)
def _foreign_marks(locale: Locale) -> re.Pattern[str] | None:
    """What finds a Western mark behind a letter of a script that has another; None where the locale has none of its own."""
    letters = "".join(_LETTERS.get(script, "") for script in locale.scripts)
    if not locale.marks or not letters:
        return None
    marks = "".join(re.escape(mark) for mark, _ in locale.marks)
    follows = rf"|[{letters}]" if "Hiragana" in locale.scripts else ""  # no blank stands behind a mark
    return re.compile(rf"[{marks}](?<=[{letters}].)(?=\s|${follows})")
