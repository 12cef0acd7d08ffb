"""What a submitted job with secrets begins with on the cluster: `python -m midb_ray.operations.entrypoint NAME … -- boost …`.

The names come from the submission, the values from the environment of the cluster's nodes. They are looked for before the job is,
which then takes this process's place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from midb_ray.errors import ExitCode

_JOBS = "midb_ray.cli"


def missing(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The secrets that the environment does not have, or has empty."""
    return [name for name in names if not environment.get(name)]


def command(job: Sequence[str], secrets: Sequence[str], python: str = "python") -> list[str]:
    """The job's command on the cluster."""
    if secrets:
        return [python, "-m", "midb_ray.operations.entrypoint", *secrets, "--", *job]
    return [python, "-m", _JOBS, *job]


def main(arguments: Sequence[str]) -> int:
    """Become the job, or say what is missing and return the exit code."""
    border = list(arguments).index("--")
    names, job = arguments[:border], arguments[border + 1 :]
    if lost := missing(names, os.environ):
        sys.stderr.write(
            f"Error: The cluster's environment lacks the secret{'s' * (len(lost) > 1)} {', '.join(lost)}: set "
            f"{'them' if len(lost) > 1 else 'it'} where Ray is started, on every node, before `ray start`; the job has not begun.\n"
        )
        return ExitCode.USER_ERROR
    return os.execv(sys.executable, command(job, (), sys.executable))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
