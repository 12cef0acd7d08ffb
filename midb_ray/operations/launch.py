"""Start a cluster from one of the files in `cluster/`: `midb-ray up FILE [ARGUMENTS OF ray up]`.

What must be right before the first machine is paid for is looked at here: nothing is left to fill in, Ray knows every field,
the tools of the launcher are installed, and there is a token, which the file hands to every node.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from midb_ray import yaml_file
from midb_ray.errors import ExitCode, UserError, one_line
from midb_ray.operations import auth_token

# As a tag (`!FILL_IN_REGION`) it makes every reader of YAML refuse the file, `ray up` and `ray down` among them.
_MARK = "FILL_IN_"
_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_TOOLS = ("ssh", "rsync")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")


@dataclasses.dataclass(frozen=True)
class Blank:
    """What has to be filled in: its name and the line where it stands, from 1."""

    name: str
    line: int


def blanks(text: str) -> list[Blank]:
    """Everything that is still to be filled in; raises `yaml.YAMLError` for what is no YAML."""
    found: list[Blank] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if not isinstance(event, yaml.ScalarEvent):
            continue
        for words in (event.tag or "", event.value):
            if _MARK in words:
                name = _MARK + words.split(_MARK, 1)[1].split("/")[0].split()[0]
                found.append(Blank(name, event.start_mark.line + 1 if event.start_mark else 0))
                break
    return found


def check(path: str) -> dict[str, Any]:
    """The cluster that the file describes, with Ray's defaults. Raises `UserError` for one that cannot be started as it stands."""
    try:
        left = blanks(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        left = []  # the reader below says what is wrong
    if left:
        names = ", ".join(f"{blank.name} (line {blank.line})" for blank in left)
        raise UserError(f"{path} is not filled in: put a value in the place of each of {names}, as its comments say.")
    content = yaml_file.read(path, "cluster file")
    if not isinstance(content, dict) or not isinstance(content.get("provider"), dict):
        raise UserError(
            f"{path} is no file for Ray's cluster launcher: expected a mapping with `cluster_name` and `provider`."
        )
    import click
    import jsonschema  # type: ignore[import-untyped]
    from ray.autoscaler._private import util

    try:
        cluster: dict[str, Any] = util.prepare_config(content)
        util.validate_config(cluster)
    except jsonschema.ValidationError as error:
        raise UserError(f"{path}: {error.json_path[2:] or 'the file'}: {error.message}.") from None
    except (ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{path}: {error}") from None
    except click.ClickException as error:
        raise UserError(f"{path}: {one_line(error)}") from None
    for image in _images(cluster):
        if not _IMAGE.match(image):
            raise UserError(
                f"{path}: {image!r} is no name of an image; expected one such as registry.example/midb-ray-boost:0.1.0."
            )
    return cluster


def _images(cluster: dict[str, Any]) -> list[str]:
    """Every image that a node would be started from."""
    sections = [
        cluster.get("docker"),
        *(node.get("docker") for node in cluster.get("available_node_types", {}).values()),
    ]
    return [
        str(section[name])
        for section in sections
        for name in ("image", "head_image", "worker_image")
        if section and section.get(name)
    ]


def ensure_token() -> Path:
    """The file with the cluster's token, made if it is missing, readable by its owner alone.

    Raises `UserError` for one that is none, or that others on this machine may read or replace.
    """
    path = Path.home() / ".ray" / "auth_token"
    if not path.is_file():
        # These would let Ray find a token elsewhere, and nothing would be written to the file that the nodes get.
        elsewhere = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
        environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
        made = subprocess.run(
            [*_RAY, "get-auth-token", "--generate"],
            env=environment,
            umask=0o077,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if made.returncode or not path.is_file():
            last = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"Cannot make the cluster's token {path}: {last}.")
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise UserError(
            f"Others on this machine may read or replace the cluster's token {path} (mode {mode:o}): delete it and start again "
            "for a new one, which running clusters do not know, or `chmod 600` it if nobody else has been there."
        )
    auth_token.read(path)
    return path


def launch(path: str, arguments: Sequence[str]) -> int:
    """Check the file, see to the token, and run `ray up`; returns its exit code."""
    check(path)
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise UserError(
            f"Ray's cluster launcher needs {' and '.join(missing)} on this machine; install it and start again."
        )
    ensure_token()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.setdefault("RAY_UP_enable_autoscaler_v2", "1")
    return subprocess.run([*_RAY, "up", path, *arguments], env=environment, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """`launch` of what a command line says; returns the exit code. Raises `UserError`."""
    if not arguments or arguments[0].startswith("-"):
        if set(arguments) & {"--help", "-h"}:
            sys.stdout.write(__doc__ or "")
            return ExitCode.OK
        raise UserError("Expected a cluster file first, such as cluster/aws.yaml, and behind it what `ray up` takes.")
    return launch(arguments[0], arguments[1:])
