"""Storage that refuses for a while: a disk that fills up and is emptied, a bucket that answers 503."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

logger = logging.getLogger("midb_ray")

T = TypeVar("T")
_LASTING = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)  # another try finds the same
_FIRST, _LONGEST = 0.5, 10.0  # seconds between tries; each wait is twice the one before


def persist(action: Callable[[], T], seconds: float, what: str) -> T:
    """The result of `action`, which is tried again for so many seconds while it raises OSError; then that is raised.

    What no time mends (a file that is not there, a folder in a file's place) is raised at once.

    `action` must leave nothing half done behind. `what` says in the log what is tried.
    """
    began, wait = time.monotonic(), _FIRST
    told = False
    while True:
        try:
            result = action()
        except _LASTING:
            raise
        except OSError as error:
            left = began + seconds - time.monotonic()
            if left <= 0:
                raise
            if not told:
                logger.warning("%s: %s; trying again for %.0f s.", what, error, left)
                told = True
            time.sleep(min(wait, left))
            wait = min(2 * wait, _LONGEST)
        else:
            if told:
                logger.warning("%s: done after %.0f s.", what, time.monotonic() - began)
            return result
