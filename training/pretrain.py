"""``torchrun ... -m training.pretrain``: tokenized datasets -> a language model, its checkpoints and its metrics."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError

if TYPE_CHECKING:
    from training.options import Request

log = logging.getLogger("training")
KIND = "pretrain"


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code.

    Every process runs it. All of them parse and check alike before any process group exists; rank 0 alone speaks,
    writes records and metrics, and decides what the others are told: which run this is, and whether to stop.
    """
    from curation.progress import setup_logging
    from training.options import parse
    from training.session import Diverged, Stopped, train

    setup_logging()
    first = int(os.environ.get("RANK", "0")) == 0
    if not first:
        log.setLevel(logging.ERROR)
    try:
        request = parse(sys.argv[1:] if argv is None else argv)
        if request.dry_run:
            show(request)
            return EXIT_DONE
        return train(KIND, request)
    except Stopped:
        return EXIT_INTERRUPTED
    except (UserError, Diverged) as error:
        message = str(error)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        message = f"{error.strerror or error}{where}"
    if first:  # the others found the same
        log.error("%s", message)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
