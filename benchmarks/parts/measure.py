"""CPU time, wall time and peak memory of a command and of every process that it starts. Linux.

Usage: python -m benchmarks.parts.measure FIGURES.json COMMAND...

It makes itself the parent of orphans (our workers are children of a fork server that nobody waits for), so that
the kernel adds up the CPU time of all of them, and starts small, as a process hands its peak of memory down.
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Run the command, write ``wall_s``, ``cpu_s`` and ``peak_mb`` (largest resident set of one process); exit as it
    does."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER, <sys/prctl.h>
    if ctypes.CDLL(None).prctl(set_child_subreaper, 1):
        raise SystemExit("prctl(PR_SET_CHILD_SUBREAPER) failed: this benchmark needs Linux")
    began = time.monotonic()
    child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    cpu, peak_kb, code = 0.0, 0, 1
    while True:
        try:
            process, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += usage.ru_utime + usage.ru_stime
        peak_kb = max(peak_kb, usage.ru_maxrss)
        if process == child:
            code = os.waitstatus_to_exitcode(status)
    figures = {"wall_s": time.monotonic() - began, "cpu_s": cpu, "peak_mb": peak_kb / 1024}
    Path(sys.argv[1]).write_text(json.dumps(figures), "utf-8")
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
