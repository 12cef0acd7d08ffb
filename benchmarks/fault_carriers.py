"""Natural hosts for faults that the data hardly has room for: the same sentence, line or block put into both sides of a pair."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml
from fault_rows import Clean, Section
from fault_text import MARKER, Span, section_of

from midb_ray.pairs import Text

_KNOWN = (
    "https://en.wikipedia.org/wiki/Photosynthesis",
    "https://www.nasa.gov/solar-system",
    "https://www.who.int/health-topics/nutrition",
    "https://github.com/python/cpython",
    "https://docs.python.org/3/tutorial/index.html",
    "https://arxiv.org/abs/1706.03762",
    "https://www.bbc.com/news/science_and_environment",
    "https://stackoverflow.com/questions/231767",
    "www.gutenberg.org/ebooks/1342",
    "https://data.worldbank.org/indicator/SP.POP.TOTL?locations=BR",
    "https://youtu.be/dQw4w9WgXcQ",
    "https://archive.org",
    "https://www.imdb.com/title/tt0111161/",
    "http://www.fao.org",
    "www.nationalgeographic.com/animals",
)
_HOSTS = (
    "example.org",
    "gov-data.example.net",
    "guide.example.com",
    "www.openlibrary.example.org",
    "shop.example.co.uk",
)
_PATHS = (
    *(
        "",
        "/",
        "/guide",
        "/docs/start.html",
        "/articles/2021/07/climate",
        "/p/48213",
        "/search?q=water&page=2",
        "/help/faq",
    ),
    *("/a/b/c.php?id=7", "/blog/how-to-save-money", "/en/health/sleep#tips", "/data/report_2019.pdf", "/42-apple_pie"),
)


class Carried(NamedTuple):
    """A pair with a carrier in both sides and where it stands in the target's section."""

    clean: Clean
    section: Section
    span: Span


@cache
def carriers() -> dict[str, Any]:
    """The carriers by kind, from the YAML file beside this one."""
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("fault_carriers.yaml").read_text("utf-8"))
    return loaded


def address(chance: Random) -> str:
    """An address as texts have them, with and without scheme and path."""
    if chance.random() < 0.4:
        return chance.choice(_KNOWN)
    host = chance.choice(_HOSTS)
    scheme = (
        "" if host.startswith("www.") and chance.random() < 0.4 else "https://" if chance.random() < 0.9 else "http://"
    )
    return scheme + host + chance.choice(_PATHS)


def lead(clean: Clean, section: Section, chance: Random) -> tuple[str, str]:
    """What introduces a line or block in a section, in English and in the language."""
    chosen = chance.choice(carriers()["lead"]["response" if section == "response" else "instruction"])
    return chosen["en"], chosen[clean.language]


def carry(clean: Clean, section: Section, english: str, own: str, chance: Random, block: bool = False) -> Carried:
    """Put `english` into the source and `own` into the target, at the same place of the section.

    The place is the beginning, the end, or between two paragraphs where both sides have as many. A sentence may also
    stand in the last line; a `block` stands between line breaks.
    """
    theirs, ours = section_of(clean.source, section), section_of(clean.pair, section)
    places = ["end", "end", "begin"] if section != "response" else ["end", "begin", "middle", "middle"]
    paragraphs = ours.split("\n\n")
    if "\n\n" not in ours or len(paragraphs) != len(theirs.split("\n\n")) or "```" in ours:
        places = [place for place in places if place != "middle"]
    gaps = [
        at for at in range(1, len(paragraphs)) if not any(MARKER.match(part) for part in paragraphs[at - 1 : at + 1])
    ]
    if not gaps:  # a list is not broken up
        places = [place for place in places if place != "middle"]
    place = chance.choice(places)
    if not ours or not theirs:
        source, target, start = english, own, 0
    elif place == "begin":
        source, target, start = f"{english}\n\n{theirs}", f"{own}\n\n{ours}", 0
    elif place == "middle":
        at = chance.choice(gaps)
        others = theirs.split("\n\n")
        source = "\n\n".join([*others[:at], english, *others[at:]])
        head = "\n\n".join(paragraphs[:at]) + "\n\n"
        target, start = head + "\n\n".join([own, *paragraphs[at:]]), len(head)
    else:
        inline = not block and "\n" not in ours and ours[-1] in ".!?。！？" and chance.random() < 0.7
        joint = ("" if clean.language == "ja" else " ") if inline else "\n\n" if section == "response" else "\n"
        source, target = theirs + (" " if inline else joint) + english, ours + joint + own
        start = len(ours + joint)
    carried = clean._replace(
        source=_with(clean.source, section, source),
        pair=_with(clean.pair, section, target),
    )
    return Carried(carried, section, (start, start + len(own)))


def _with(text: Text, section: Section, new: str) -> Text:
    return text._replace(**{section: new})


def host_section(clean: Clean, wanted: list[Section], chance: Random) -> Section:
    """One of the sections, the input only where the pair has one."""
    usual = [section for section in wanted if section != "input" or (clean.pair.input and clean.source.input)]
    return chance.choice(usual or wanted)
