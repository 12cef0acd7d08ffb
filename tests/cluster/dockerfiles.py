"""The Dockerfiles of cluster/images as instructions, and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster" / "images"
NAMES = ("boost", "cpu", "train")

_EXACT = re.compile(r"[^:\s]+(:[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})")
_SECRET = re.compile(r"(?i)(token|secret|password|passwd|api_?key|access_?key|credential)")


def text(name: str) -> str:
    return (FOLDER / f"{name}.Dockerfile").read_text(encoding="utf-8")


def pins(path: Path) -> dict[str, str]:
    """Package to version of a constraints file. Raises `ValueError` for a line that is no exact pin."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([\w.!]+)", line)
        if match is None:
            raise ValueError(f"{path.name}: no exact pin: {line}")
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Keyword and arguments of each instruction, with comments gone and lines that go on joined."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def bases(dockerfile: str) -> list[str]:
    """The images that the stages begin with, other than earlier stages."""
    stages = [rest.split() for word, rest in instructions(dockerfile) if word == "FROM"]
    named = {stage[2] for stage in stages if len(stage) == 3}
    return [stage[0] for stage in stages if stage[0] not in named]


def last_stage(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of which the image is made."""
    found = instructions(dockerfile)
    return found[max(index for index, (word, _) in enumerate(found) if word == "FROM") :]


def copied(dockerfile: str) -> list[str]:
    """What is copied from the working tree."""
    return [
        source
        for word, rest in instructions(dockerfile)
        if word == "COPY" and "--from=" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]


def faults(dockerfile: str) -> list[str]:
    """What hadolint does not know of: one word for each rule that is broken."""
    found, last = instructions(dockerfile), last_stage(dockerfile)
    users = [rest for word, rest in last if word == "USER"]
    given = " ".join(rest for word, rest in last if word == "ENV")
    starts = " ".join(rest for word, rest in last if word in ("CMD", "ENTRYPOINT"))
    rules = {
        "base": any(_EXACT.fullmatch(base) is None for base in bases(dockerfile)),
        "latest": any("latest" in rest for word, rest in found if word in ("FROM", "COPY", "RUN")),
        "root": not users or re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]) is None,
        "user-not-last": any(word in ("RUN", "COPY", "ADD") for word, _ in last[_place(last, "USER") :]),
        "add": any(word == "ADD" for word, _ in found),
        "fetched": any(
            re.search(r"\b(curl|wget|git clone)\s+(-\S+\s+)*\S*://", rest) for word, rest in found if word == "RUN"
        ),
        "secret": any(_SECRET.search(rest) for word, rest in found if word in ("ARG", "ENV", "LABEL")),
        "cached": any(
            re.search(r"pip (install|wheel) (?!.*--no-cache-dir)", rest) for word, rest in found if word == "RUN"
        ),
        "unpinned": any(re.search(r"pip install (?!.*--no-deps)", rest) for word, rest in found if word == "RUN"),
        "usage-stats": "RAY_USAGE_STATS_ENABLED=0" not in given,
        "home": "HOME=/home/ray" not in given,
        "start": 'CMD ["bash"]' not in [f"{word} {rest}" for word, rest in last] or "ENTRYPOINT" in dict(last),
        "installs-at-start": bool(re.search(r"pip|apt|install", starts)),
        "not-copied": not set(_copied_to(last)) >= {"/opt/midb-ray", "/etc/profile.d/midb-ray.sh"},
    }
    return [rule for rule, broken in rules.items() if broken]


def _place(stage: list[tuple[str, str]], word: str) -> int:
    return max((index for index, (found, _) in enumerate(stage) if found == word), default=len(stage))


def _copied_to(stage: list[tuple[str, str]]) -> list[str]:
    return [rest.split()[-1] for word, rest in stage if word == "COPY"]
