"""`midb-ray submit`: run a job on a cluster, follow it, and end with its exit code; submit it again where it was lost."""

from __future__ import annotations

import argparse
import logging
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from midb_ray import config
from midb_ray.errors import ExitCode, UserError
from midb_ray.operations import entrypoint, package
from midb_ray.operations.access import Cluster, OutOfReachError
from midb_ray.operations.follow import Ending, follow
from midb_ray.operations.submit_settings import SubmitSettings
from midb_ray.runs import claim

logger = logging.getLogger("midb_ray")

LEFT = 130  # the exit code of Ctrl-C everywhere: the job goes on, so it is none of a job's
_PAUSE = 5.0  # seconds until Ray has ended what a lost driver had started
_ATTEMPTS_PAUSE = 5.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PASSWORD = re.compile(
    r"://[^/?#\s:@]*:(?!\d+\b)\S*@"
)  # s3://KEY:SECRET@bucket: a secret may hold / and ?; :8020 is a port


class Job(NamedTuple):
    """A job's command line, and what of it concerns the submission."""

    arguments: tuple[str, ...]
    output: str | None
    fresh: bool
    config: str = ""
    """What the uploaded --config says."""


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments of the submission and those of the job, which stand behind the first `--`."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    border = given.index("--")
    return given[:border], given[border + 1 :]


def read(arguments: Sequence[str], jobs: Sequence[str], working_dir: Path | None) -> Job:
    """The job behind `--`. Raises `UserError` for one that could not run on a cluster."""
    expected = (
        f"expected a job behind `--`, one of {', '.join(jobs)}: midb-ray submit -- {jobs[0]} --input … --output …"
    )
    if not arguments:
        raise UserError(f"There is nothing to submit; {expected}.")
    if arguments[0] not in jobs:
        raise UserError(f"Cannot submit {arguments[0]!r}; {expected}.")
    line = _read_line(arguments)
    values: dict[str, Any] = {}
    uploaded = ""
    if path := line.config:
        is_uploaded = working_dir is not None and not Path(path).is_absolute()
        if working_dir is not None and is_uploaded:
            path = str(working_dir / path)
            if not Path(path).is_file():
                raise UserError(f"The job's --config {path} does not exist; it is looked for in the working directory.")
        if Path(path).is_file():
            values = config.read_yaml(path)
            uploaded = Path(path).read_text(encoding="utf-8") if is_uploaded else ""
    output = line.output or values.get("output")
    if isinstance(output, str) and "://" not in output and not output.startswith(("/", "~")):
        raise UserError(
            f"The output {output} is a relative path, and the job runs in a temporary copy of its working folder that is "
            "deleted with it; give a URI, or an absolute place that every node sees."
        )
    fresh = line.fresh or str(values.get("fresh", False))
    return Job(
        tuple(arguments),
        output=output if isinstance(output, str) else None,
        fresh=fresh.casefold() not in ("false", "no", "0"),
        config=uploaded,
    )


def refuse_values(names: Sequence[str], job: Job) -> None:
    """Raise `UserError` where a secret's value, and not its name alone, would travel. No message repeats it."""
    for name in names:
        if not _NAME.match(name):
            shown = name.split("=")[0] if "=" in name else "something else"
            raise UserError(
                f"--secrets takes names of environment variables and found {shown} with a value or an odd character: everybody "
                "who sees the dashboard would see it; set the variable where Ray is started on the nodes, and give its name."
            )
    places = {"arguments": "\n".join(job.arguments), "--config": job.config}
    for place, text in places.items():
        for name in names:
            value = os.environ.get(name)
            if value and value in text:
                raise UserError(
                    f"The job's {place} contain{'s' * (place != 'arguments')} the value of {name}, which everybody whom the "
                    "cluster lets in would see; take it out, the job finds it in the cluster's environment."
                )
        if _PASSWORD.search(text):
            raise UserError(
                f"A URI in the job's {place} holds a password (KEY:SECRET@), which everybody whom the cluster lets in would "
                "see; take it out, and give the nodes the access, or a variable that --secrets names."
            )


def submit(settings: SubmitSettings, arguments: Sequence[str], jobs: Sequence[str]) -> int:
    """Submit the job with these arguments; returns its exit code, or `LEFT`. Raises `UserError`."""
    is_uri = settings.working_dir is not None and "://" in settings.working_dir
    folder = Path(settings.working_dir) if settings.working_dir is not None and not is_uri else None
    job = read(arguments, jobs, folder)
    refuse_values(settings.secrets, job)
    if is_uri and _PASSWORD.search(settings.working_dir or ""):
        raise UserError("The URI --working-dir holds a password, which everybody whom the cluster lets in would see.")
    environment: dict[str, Any] = {"working_dir": settings.working_dir} if is_uri else {}
    if folder is not None:
        found = package.measure(folder, settings.exclude)
        package.refuse_secrets(found)
        package.refuse_large(found)
        logger.info("%s", found.line())
        environment = {"working_dir": str(found.root), "excludes": list(settings.exclude)}
    _hush()
    cluster = Cluster(settings.address, settings.without_token)
    return _Submission(settings, job, cluster, environment).run()


class _Submission:
    """One job, submitted as often as it takes."""

    def __init__(self, settings: SubmitSettings, job: Job, cluster: Cluster, environment: dict[str, Any]) -> None:
        self._settings, self._job, self._cluster, self._environment = settings, job, cluster, environment
        # What is true if the user leaves now, and whether the cluster may have the job.
        self._left, self._may_run = "The job was not submitted.", False
        command = entrypoint.command(job.arguments, settings.secrets, settings.python)
        self._entrypoint = f"exec {shlex.join(command)}"  # so that the exit code is the job's own and not a shell's

    def run(self) -> int:
        name = ""
        try:
            for left in range(self._settings.retries, -1, -1):
                name = f"midb-{self._job.arguments[0]}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
                self._begin(name)
                if self._settings.detach:
                    self._say_how(name)
                    return ExitCode.OK
                end = follow(self._cluster, name, _write, self._settings.patience)
                if not (end.lost and left) or self._job.fresh:
                    return self._end(name, end)
                self._left = f"Job {name} was lost and is not submitted again; the same command goes on from there."
                self._may_run = False
                logger.warning("Job %s: %s. It is submitted again and goes on (%d more).", name, end.text, left - 1)
                # Another machine believes that the lost driver lives until it has been silent for so long.
                time.sleep(claim.STALE + _PAUSE if end.with_head else _PAUSE)
        except KeyboardInterrupt:
            logger.warning("%s", self._left)
            if self._may_run:
                self._say_how(name)
            return LEFT
        except OutOfReachError as error:
            logger.error("The cluster has not answered for %.0f s: %s.", self._settings.patience, error)
            self._say_how(name)
            self._say_where()
            return ExitCode.FAILED
        raise AssertionError  # the last attempt returns

    def _begin(self, name: str) -> None:
        until = time.monotonic() + self._settings.patience
        self._left, self._may_run = f"Job {name} goes on without this terminal, if the cluster took it at all.", True
        while True:
            try:
                self._cluster.submit(name, self._entrypoint, self._environment, {"output": self._job.output or ""})
                break
            except OutOfReachError as error:
                if time.monotonic() > until:
                    raise
                logger.warning("The cluster does not take the job (%s); trying again.", error)
                time.sleep(_ATTEMPTS_PAUSE)
        self._left = f"Job {name} goes on without this terminal."
        logger.info("Submitted %s to %s.", name, self._cluster.url)

    def _end(self, name: str, end: Ending) -> int:
        log = logger.info if end.code == ExitCode.OK else logger.error
        log("Job %s: %s.", name, end.text)
        self._say_where()
        if end.code in (ExitCode.FAILED, ExitCode.CAPPED):
            without = " without --fresh" if self._job.fresh else ""
            higher = " with a higher cap" if end.code == ExitCode.CAPPED else ""
            logger.info("The same command%s%s goes on from there.", without, higher)
        return end.code

    def _say_where(self) -> None:
        if self._job.output:
            logger.info("Run folder: %s", self._job.output)

    def _say_how(self, name: str) -> None:
        ray, where = f"{self._cluster.prefix}ray job", f"--address {self._cluster.url} {name}"
        logger.info("Follow it: %s logs --follow %s\nStop it:   %s stop %s", ray, where, ray, where)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _read_line(arguments: Sequence[str]) -> argparse.Namespace:
    """What a job's command line says of the settings that concern the submission; the job itself judges the rest."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for setting in ("config", "output", "fresh"):
        parser.add_argument(f"--{setting}", nargs="?", const="true")
    return parser.parse_known_args(arguments)[0]


def _hush() -> None:
    """Ray's client tells about packaging in lines of its own, after ours."""
    for name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env"):
        __import__(name)
        logging.getLogger(name).setLevel(logging.ERROR)
