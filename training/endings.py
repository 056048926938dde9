"""How an attempt at a run ends, other than by being done."""


class Stopped(Exception):
    """SIGTERM or SIGINT came; what was done is saved."""


class Diverged(Exception):
    """The loss says that the run goes wrong; the message names the documents of the batch. All ranks raise it."""


class FirstRankFailed(Exception):
    """What rank 0 did for all has failed, and rank 0 raises why."""
