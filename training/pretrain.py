"""``torchrun ... -m training.pretrain``: tokenized datasets -> a language model, its checkpoints and its metrics."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.errors import EXIT_DONE
from training.command import leave, run_command

if TYPE_CHECKING:
    from training.options import Request

KIND = "pretrain"


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    return run_command(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    from training.options import parse
    from training.session import train

    request = parse(argv)
    if request.dry_run:
        show(request)
        return EXIT_DONE
    return train(KIND, request)


def show(request: "Request") -> None:
    """What would be trained: its size, its stages, and the resolved configuration.

    Raises:
        UserError: as training would.
    """
    import yaml

    from curation.options import to_dict
    from curation.storage import open_workspace
    from training.checks import check
    from training.data import open_data
    from training.engine.topology import stages
    from training.plan import plan, table

    config = request.config
    data = open_data(open_workspace(request.workspace), config)
    check(config, vocab_size=data.vocab_size)
    planned = plan(config, data.vocab_size)
    blocks = stages(config, planned.vocabulary_rows)
    rows = table(plan(config, data.vocab_size, blocks))
    rows.append(("blocks of each stage", ", ".join(map(str, blocks))))
    for dataset, sequences in zip(data.datasets, data.order.sequences, strict=True):
        rows.append((f"sequences of {dataset.name}@{dataset.version}", f"{sequences:,}"))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value:>16}" for name, value in rows))
    print()
    print(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True), end="")
    processes = planned.processes
    launcher = f"torch.distributed.run --nproc_per_node={processes} -m " if processes > 1 else ""
    print(f"next: python -m {launcher}training.pretrain, with the same options but --dry-run")


if __name__ == "__main__":
    leave(main())
