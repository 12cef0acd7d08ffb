"""What a submission uploads: the files of the working directory, measured by Ray's own rules before a byte of them is read."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from midb_ray.errors import UserError

Rule = Callable[[Path], bool]

_ENTRY, _END = 76, 22  # bytes of a zip file for each entry besides twice its name, and at its end
_SECRET = re.compile(
    r"(?:^|/)(?:(?:\.ssh|\.aws|\.azure|\.gnupg|\.kube|\.config/gcloud)/|(?:\.env(?:\.(?!example$|sample$|template$)[^/]*)?|\.envrc"
    r"|[._]netrc|\.pgpass|\.pypirc|\.git-credentials|credentials(?:\.json)?|application_default_credentials\.json|auth_token"
    r"|kubeconfig|huggingface/token|\.docker/config\.json|[^/]*\.(?:p12|pfx|kdbx))$)"
)
_MAYBE_KEY = re.compile(r"(?:^|/)(?:id_[^/.]*|[^/]*\.(?:pem|key))$")  # a certificate is public, a key is not
_STRAY = re.compile("[\udc80-\udcff]")  # what Python makes of bytes of a name that are no UTF-8
_NAMED = 3  # files, or things left out, that a sentence names
_SILENT = logging.getLogger("midb_ray.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Package(NamedTuple):
    """`files`: each file's size by its path in the working directory. `size`: of the zip file, which Ray does not compress."""

    root: Path
    files: dict[str, int]
    left_out: list[str]
    size: int

    def line(self) -> str:
        """What will be uploaded, for people."""
        left = ", ".join(self.left_out[: 2 * _NAMED])
        more = len(self.left_out) - 2 * _NAMED
        tail = f"; left out: {left}{f' and {more} more' if more > 0 else ''}" if left else ""
        return f"The job gets {len(self.files):,} file{'s' * (len(self.files) != 1)} of {self.root}, {_shown(self.size)}{tail}."


def measure(root: Path, exclude: Sequence[str] = ()) -> Package:
    """What Ray will package of a folder. Raises `UserError` for what it could not package."""
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    root = root.absolute()
    if not root.is_dir():
        raise UserError(f"The working directory {root} is not a folder; give one with --working-dir.")
    with_gitignore = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    given = [*ray_constants.get_runtime_env_default_excludes(), *exclude]
    files: dict[str, int] = {}
    left_out: list[str] = []
    size = _END

    def travel(path: Path, rules: list[Rule], above: frozenset[Path]) -> bool:
        """Whether anything of it is packaged; what is left out as a whole is named once."""
        nonlocal size
        is_folder = path.is_dir()
        name = "" if path == root else path.relative_to(root).as_posix() + "/" * is_folder
        if is_folder:
            rules = rules + packaging.get_excludes_from_ignore_files(path, with_gitignore, _SILENT)
        if any(rule(path) for rule in rules):
            left_out.append(name)
            return False
        if _STRAY.search(name):
            pattern = _STRAY.sub("?", name)
            raise UserError(
                f"The name of {root / pattern} is no UTF-8 where the question marks are, and Ray cannot package it; rename it, "
                f"or leave it out with --exclude '{pattern}'."
            )
        if not is_folder:
            if path.is_fifo():
                raise UserError(f"{path} is a pipe, which cannot be uploaded; leave it out with --exclude {name}.")
            if path.is_file():
                if not os.access(path, os.R_OK):
                    raise UserError(f"{path} cannot be read; leave it out with --exclude {name}.")
                files[name] = path.stat().st_size
                size += files[name] + _ENTRY + 2 * len(name.encode())
            return path.is_file()
        real = path.resolve()
        if real in above:
            raise UserError(f"{path} is a link to a folder that it lies in; leave it out with --exclude {name[:-1]}.")
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); leave it out with --exclude {name}.") from None
        if not inside:
            size += _ENTRY + 2 * len(name.encode())
            return True
        place = len(left_out)
        packaged = [travel(one, rules, above | {real}) for one in inside]
        if not any(packaged) and name:
            left_out[place:] = [name]
        return any(packaged)

    travel(root, [packaging._get_excludes(root, given)], frozenset())
    return Package(root, files, left_out, size)


def refuse_secrets(package: Package) -> None:
    """Raise `UserError` for files that are known to hold secrets: everybody whom the cluster lets in could read them."""
    found = {secret: None for name in package.files if (secret := _secret(package.root, name))}
    if found:
        raise UserError(
            f"The working directory {package.root} has what is known to hold secrets, and everybody whom the cluster lets in "
            f"could read them: leave out with --exclude {' '.join(found)}, or the same in lines of a file .rayignore, and "
            "name what the job needs of them with --secrets."
        )


def _secret(root: Path, name: str) -> str:
    """The file, or the folder around it, that holds secrets; "" where it holds none."""
    if match := _SECRET.search(name):
        return name[: match.end()]
    if _MAYBE_KEY.search(name):
        with (root / name).open("rb") as file:
            return name if b"PRIVATE KEY" in file.read(2**20) else ""
    return ""


def limit() -> int:
    """Bytes that Ray takes: the dashboard, through which a submission goes, takes less than the store behind it."""
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    return int(min(ray_constants.DASHBOARD_CLIENT_MAX_SIZE, packaging.GCS_STORAGE_MAX_SIZE - 1))


def refuse_large(package: Package) -> None:
    """Raise `UserError` for more than Ray takes; it would say so after having read, zipped and uploaded all of it."""
    most = limit()
    if package.size <= most:
        return
    heavy = heaviest(package)
    largest = sorted(package.files.items(), key=lambda item: -item[1])[:_NAMED]
    named = ", ".join(f"{name} ({_shown(size)})" for name, size in largest)
    within = sum(size for name, size in package.files.items() if name.startswith(heavy))
    where = f" of which {_shown(within)} lie in {heavy}," if heavy.endswith("/") else ""
    raise UserError(
        f"The working directory {package.root} has {_shown(package.size)} in {len(package.files):,} files,{where} and Ray "
        f"takes {_shown(most)} at most; the largest are {named}: leave them out with --exclude {heavy or largest[0][0]}, or "
        "the same line in a file .rayignore, and give the job its data as a URI."
    )


def heaviest(package: Package) -> str:
    """The deepest folder, or file, that has more than half of everything; "" where nothing has."""
    weights: Counter[str] = Counter()
    for name, size in package.files.items():
        weights[name] += size
        for place, letter in enumerate(name):
            if letter == "/":
                weights[name[: place + 1]] += size
    half = sum(package.files.values()) / 2
    return max((name for name, weight in weights.items() if weight > half), key=len, default="")


def _shown(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
