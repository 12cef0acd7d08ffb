"""How a job ends: its exit code, and its last words on stderr."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from midb_ray import logs
from midb_ray.errors import ExitCode, UserError


def guarded(job: Callable[[], int], arguments: Sequence[str]) -> int:
    """A job's exit code; what the user can mend becomes one sentence on stderr."""
    again = f"The same command{' without --fresh' if '--fresh' in arguments else ''} goes on from here."
    if threading.current_thread() is threading.main_thread():
        # `ray job stop` and Kubernetes mean what Ctrl-C means.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        logging.basicConfig(level=logging.WARNING, handlers=[logs.handler()])
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return ExitCode.USER_ERROR
    logging.getLogger("midb_ray").setLevel(logging.INFO)
    try:
        return job()
    except UserError as error:
        print(logs.line(f"Error: {error}"), file=sys.stderr)
        return ExitCode.USER_ERROR
    except KeyboardInterrupt:
        print(logs.line(f"Stopped. {again}", "warning"), file=sys.stderr)
        return ExitCode.FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return ExitCode.FAILED
    except Exception as error:
        logging.getLogger("midb_ray").exception("The job broke off.")
        print(logs.line(f"Error: {type(error).__name__}: {' '.join(str(error).split())[:500]}"), file=sys.stderr)
        print(logs.line(again, "warning"), file=sys.stderr)
        return ExitCode.FAILED
