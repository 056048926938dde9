"""The one base error, and the exit codes that every command keeps to."""

from collections.abc import Iterable

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_POLICY = 3
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """Something the user can put right: the message names it and says what to do.

    Commands print the message without a traceback and exit with ``EXIT_USAGE``.
    """


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a wrong name: it lists the valid ones."""
    return UserError(f"unknown {kind} {name!r}; valid: {', '.join(sorted(valid))}")
