"""The failures that a person is told about, and how."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message is one sentence: what, where, what was expected, what to do.

    The doors print it without a traceback and exit with `ExitCode.USER_ERROR`.
    """


def one_line(error: BaseException) -> str:
    """A library's message, often many lines long, for a sentence of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"


class ExitCode:
    """Exit codes of every job, so that a scheduler can tell what happened."""

    OK = 0
    ROWS_LOST = 1  # the books do not balance, or more dead letters or errors of the engine than allowed
    USER_ERROR = 2  # bad configuration, unreadable input, another run's folder
    FAILED = 3  # the job broke off; running it again resumes
    CAPPED = 4  # a cap was reached and the job stopped cleanly; running it again with a higher cap resumes
