"""``training.pretrain``, but a machine that dies with its third checkpoint written and not yet renamed."""

import os
import signal
from pathlib import Path

from training.command import leave
from training.pretrain import main

if __name__ == "__main__":
    rename = Path.rename
    saved: list[Path] = []

    def dying(self: Path, target: Path) -> Path:
        if self.name.endswith(".saving"):
            saved.append(target)
            if len(saved) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.rename = dying  # type: ignore[method-assign,assignment]
    leave(main())
