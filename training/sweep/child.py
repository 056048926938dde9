"""``python -m training.sweep.child PARENT COMMAND...``: becomes a command that does not outlive who started it.

SIGKILL leaves a killed process no time to end its children. Here the kernel sends them SIGTERM, upon which training
saves and ends. Linux alone can do that; elsewhere the command just runs.
"""

import os
import signal
import sys

from curation.errors import EXIT_INTERRUPTED

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; stays in force when the process becomes another program


def main() -> int:
    """Does not return where all is well."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != int(parent):  # it was gone before
            return EXIT_INTERRUPTED
    os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose


if __name__ == "__main__":
    sys.exit(main())
