"""What the commands that train have in common: who speaks, and what becomes of errors."""

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from training.endings import Diverged, FirstRankFailed, Stopped

log = logging.getLogger("training")

_PATIENCE = 20.0
"""Seconds that another rank waits for rank 0 to tell what all have found."""


def run_command(work: Callable[[], int]) -> int:
    """Do the work of a command in one of its processes. Returns the exit code.

    Every process runs it. All of them parse and check alike before any process group exists; rank 0 alone speaks,
    writes records and metrics, and decides what the others are told: which run this is, and whether to stop. Others
    speak of what goes wrong with them alone.
    """
    from curation.progress import setup_logging

    setup_logging()
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        log.setLevel(logging.ERROR)
    try:
        return work()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (Stopped, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except FirstRankFailed:
        return EXIT_USAGE
    except Diverged as error:
        message, everywhere = str(error), True
    except UserError as error:
        message, everywhere = str(error), not _joined()
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        advice = "; make room, then the same command goes on" if error.errno == errno.ENOSPC else ""
        message, everywhere = f"{error.strerror or error}{where}{advice}", not _joined()
    if rank == 0:
        log.error("%s", message)
    elif everywhere:
        time.sleep(_PATIENCE)  # torchrun ends all ranks with the first that fails: rank 0, which may be slower, speaks
    else:
        log.error("rank %d: %s", rank, message)
    return EXIT_USAGE


def leave(code: int) -> NoReturn:
    """End this process, all of whose work is done, without taking Python down first.

    Threads of gloo may be on their way back into Python when it goes: then they abort the process ("terminate called
    without an active exception"), and torchrun calls a run failed that is done.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(code)


def _joined() -> bool:
    """Whether this process has joined the others."""
    if "torch.distributed" not in sys.modules:
        return False
    from torch import distributed

    return distributed.is_initialized()
