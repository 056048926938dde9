"""The command line of fine-tuning: every field of ``FinetuneConfig``, and what to do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import options
from curation.errors import UserError, unknown_name
from training.chat.config import TURNS, ChatConfig, FinetuneConfig
from training.checks import check
from training.config import BatchConfig, DataConfig, ModelConfig, PretrainConfig

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

EPILOG = """\
examples:
  python -m training.finetune --data.files '[chats.jsonl]' --workspace W
      SmolLM2-135M-Instruct learns the answers of chats
  python -m torch.distributed.run --nproc-per-node 2 -m training.finetune --base RUN-00000200 --parallelism.data 2 \\
      --data.files '[chats.jsonl]' --data.chat_template plain --workspace W
      a checkpoint whose tokenizer has no chat template, in two processes
  python -m training.finetune --base llama-folder --data.datasets '[{dataset: news-tokens}]' --workspace W
      pretraining goes on, on other data

The same command goes on with the run that it began, after a kill or on other processes; --resume never begins anew.
"""


@dataclass(frozen=True)
class FinetuneRequest:
    """What was asked for."""

    config: FinetuneConfig
    workspace: str
    resume: str
    dry_run: bool


def build_parser() -> "ArgumentParser":
    """The command line: the options of the command, then every field of ``FinetuneConfig``."""
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    parser = options.new_parser(
        prog="python -m training.finetune",
        usage="python -m training.finetune --data.files '[CHATS.jsonl]' --workspace W [--config C] [options]",
        description="Go on training a language model: on chats, or on tokenized datasets.",
        epilog=EPILOG,
    )
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    names = ", ".join(options.presets("training"))
    parser.add_argument("--config", action=ActionConfigFile, help=f"YAML file, or a preset: {names}; none: finetune")
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="R",
        help="auto: go on with the unfinished run of this configuration, if any; never; or a run or checkpoint",
    )
    parser.add_argument("--dry-run", action="store_true", help="read the chats, show the plan and configuration only")
    parser.add_class_arguments(FinetuneConfig, None)
    return parser


def parse(argv: Sequence[str]) -> FinetuneRequest:
    """The command line as a request, checked as far as the command line alone goes.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ArgumentError

    arguments, _ = options.with_preset(argv, "training", "finetune")
    parser = build_parser()
    try:
        parsed = parser.parse_args(arguments)
        config = options.instantiate(parser, parsed, FinetuneConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(options.message(error, FinetuneConfig)) from error
    check_request(config)
    if not parsed.resume:
        raise UserError("--resume: is empty; give auto, never, a run or a checkpoint")
    return FinetuneRequest(config, parsed.workspace, parsed.resume, parsed.dry_run)


def from_dict(plain: Mapping[str, Any]) -> FinetuneConfig:
    """The configuration out of plain JSON values, as a run's record has it.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    return options.from_dict(plain, FinetuneConfig)


def check_request(config: FinetuneConfig) -> None:
    """Refuse what cannot work whatever the base is.

    Raises:
        UserError: the field, its value, what to do.
    """
    data, batch = config.data, config.batch
    if not config.base:
        raise UserError("base: is empty; name a checkpoint, a Hugging Face folder, or smollm2")
    if bool(data.files) == bool(data.datasets):
        both = "both are given; leave one out" if data.files else "neither is given; name what is to be learned"
        raise UserError(f"data.files, data.datasets: {both}: --data.files '[chats.jsonl]'")
    if data.datasets:
        for name, value in vars(ChatConfig()).items():
            if name != "datasets" and getattr(data, name) != value:
                raise UserError(f"data.{name}: is for chats, and has no meaning with data.datasets; leave it out")
    for field in ("files", "validation_files"):
        names = getattr(data, field)
        for name in names:
            if names.count(name) > 1 or not name:
                raise UserError(f"data.{field}: {name!r} is empty or there twice; name each file once")
    if data.turns not in TURNS:
        raise unknown_name("data.turns", data.turns, TURNS)
    if not 0 <= data.pair_weight < float("inf"):
        raise UserError(f"data.pair_weight: {data.pair_weight} is no good; give a finite number, 0 or above")
    if batch.epochs is not None and batch.steps is not None:
        raise UserError("batch.epochs, batch.steps: both are given; leave one out")
    if batch.epochs is not None and batch.epochs < 1:
        raise UserError(f"batch.epochs: {batch.epochs} is below 1; give a larger one (batch.steps 0: no training)")
    # What a base must have to make sense of the rest is not known yet: a model that any number divides stands for it.
    split = config.parallelism
    wide = ModelConfig(
        hidden_size=2 * max(1, split.tensor),
        intermediate_size=max(1, split.tensor),
        num_attention_heads=max(1, split.tensor),
        num_hidden_layers=max(1, split.pipeline),
        vocab_multiple=1,
    )
    steps = 10**9 if batch.steps is None else batch.steps
    check(resolve(config, wide, steps), datasets=bool(data.datasets))


def resolve(config: FinetuneConfig, model: ModelConfig, steps: int) -> PretrainConfig:
    """The configuration as the engine takes it.

    Args:
        model: of the base.
        steps: of the run.
    """
    batch = config.batch
    return PretrainConfig(
        model=model,
        parallelism=config.parallelism,
        batch=BatchConfig(
            sequence_length=batch.sequence_length,
            global_batch_size=batch.global_batch_size,
            micro_batch_size=batch.micro_batch_size,
            steps=steps,
        ),
        optimizer=config.optimizer,
        data=DataConfig(config.data.datasets),
        validation=config.validation,
        checkpoints=config.checkpoints,
        guard=config.guard,
        precision=config.precision,
        seed=config.seed,
    )
