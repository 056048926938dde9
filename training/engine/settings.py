"""Our configuration as nanotron's."""

import math
from pathlib import Path

import torch
from nanotron.config import (
    CheckpointsArgs,
    Config,
    DataArgs,
    GeneralArgs,
    LlamaConfig,
    LoggingArgs,
    LRSchedulerArgs,
    ModelArgs,
    OptimizerArgs,
    ParallelismArgs,
    RandomInit,
    TokenizerArgs,
    TokensArgs,
)

from training.config import PretrainConfig
from training.engine.topology import micro_batches
from training.sizes import model_sizes


def nanotron_config(config: PretrainConfig, vocab_size: int, eos_id: int | None) -> Config:
    """nanotron's configuration of a run. Of the learning rate it says what it can; ``schedule`` has the exact one."""
    half = config.precision == "bfloat16"
    logging = LoggingArgs()
    logging.log_level = logging.log_level_replica = None  # else it takes over the root logger, towards stdout
    return Config(
        general=GeneralArgs(project="open-curation", run="pretrain", seed=config.seed),
        parallelism=ParallelismArgs(
            dp=config.parallelism.data,
            pp=config.parallelism.pipeline,
            tp=config.parallelism.tensor,
            pp_engine=config.parallelism.engine,
            tp_mode=config.parallelism.tensor_mode,
            tp_linear_async_communication=False,  # with reduce_scatter it diverges, with all_reduce it raises
        ),
        model=ModelArgs(
            model_config=_llama(config, vocab_size, eos_id),
            init_method=RandomInit(std=config.model.init_std),
            dtype=torch.bfloat16 if half else torch.float32,
        ),
        tokenizer=TokenizerArgs(),
        # Where and when checkpoints are written is not nanotron's affair, but it insists on an answer.
        checkpoints=CheckpointsArgs(checkpoints_path=Path(), checkpoint_interval=max(1, config.batch.steps)),
        logging=logging,
        tokens=TokensArgs(
            sequence_length=config.batch.sequence_length,
            train_steps=max(1, config.batch.steps),
            micro_batch_size=config.batch.micro_batch_size,
            batch_accumulation_per_replica=micro_batches(config),
        ),
        optimizer=OptimizerArgs(
            zero_stage=config.parallelism.zero_stage,
            weight_decay=config.optimizer.weight_decay,
            # Clipping to infinity changes nothing, and yields the norm.
            clip_grad=math.inf if config.optimizer.clip_grad is None else config.optimizer.clip_grad,
            accumulate_grad_in_fp32=half,  # nanotron refuses it in float32, where it is so anyway
            adam_eps=config.optimizer.eps,
            adam_beta1=config.optimizer.beta1,
            adam_beta2=config.optimizer.beta2,
            torch_adam_is_fused=True,
            learning_rate_scheduler=_schedule(config),
        ),
        data=DataArgs(dataset=None, seed=config.seed),
    )


def _llama(config: PretrainConfig, vocab_size: int, eos_id: int | None) -> LlamaConfig:
    sizes = model_sizes(config.model)
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    end = 0 if eos_id is None else eos_id  # nanotron wants numbers; our manifest says what is known
    return LlamaConfig(
        **{name: sizes[name] for name in names},
        vocab_size=vocab_size,
        max_position_embeddings=config.batch.sequence_length,
        rms_norm_eps=sizes["rms_norm_eps"],
        tie_word_embeddings=sizes["tie_word_embeddings"],
        initializer_range=sizes["init_std"],
        bos_token_id=end,
        eos_token_id=end,
    )


def _schedule(config: PretrainConfig) -> LRSchedulerArgs:
    steps, warmup = config.batch.steps, min(config.batch.steps, config.optimizer.warmup_steps)
    cosine = config.optimizer.schedule == "cosine"
    wanted = config.optimizer.decay_steps
    decay = steps - warmup if cosine else steps // 5 if wanted is None else wanted
    return LRSchedulerArgs(
        learning_rate=config.optimizer.learning_rate,
        lr_warmup_steps=warmup,
        lr_warmup_style="linear",
        lr_decay_style="cosine" if cosine else "linear",
        lr_decay_steps=decay,
        lr_decay_starting_step=steps - decay,
        min_decay_lr=config.optimizer.min_learning_rate,
    )
