"""The data of a run, open: its datasets, the order of its samples, and micro-batches of token ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from curation.errors import UserError
from curation.tokens.read import TokenDataset, TokenStream, open_token_dataset
from curation.workspace import Workspace
from training.config import PretrainConfig
from training.order import Order, Source

Array = np.ndarray[Any, Any]


class Rows(NamedTuple):
    """A micro-batch: sequences of S + 1 tokens, and what is known of each token."""

    ids_BT: Array
    """int64."""
    mask_BT: Array | None = None
    """bool: where a token is to be predicted; or float32: how much that counts. None: everywhere."""
    segments_BT: Array | None = None
    """int64: tokens of the same number see each other. None: all do."""
    sides_BT: Array | None = None
    """int64: the answers of pairs, as ``training.engine.model.TokenLoss`` numbers them. None: there is none."""


class Named(Protocol):
    """Something that a model is validated on."""

    @property
    def name(self) -> str:
        """As metrics call it."""


class RunData(Protocol):
    """What a training run reads: the same for a step whatever the topology."""

    @property
    def vocab_size(self) -> int:
        """Tokens of the tokenizer, or rows of the embedding."""

    @property
    def eos_id(self) -> int:
        """The token that ends a text."""

    @property
    def segmented(self) -> bool:
        """Whether its rows may have segments, which every pipeline stage needs."""

    @property
    def held_out(self) -> Sequence[Named]:
        """What the run is validated on."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What checkpoints are to say of it."""

    @property
    def own_tokenizer(self) -> bool:
        """Whether checkpoints keep a copy of the folder ``tokenizer`` of the run; else they name the dataset that has
        it."""

    def rows(self, step: int, replica: int) -> Iterator[Rows]:
        """The micro-batches of a replica in a step."""

    def held_out_rows(self, held: Any, replica: int) -> Iterator[Rows]:
        """The share of a replica of one of ``held_out``."""

    def step_documents(self, step: int) -> list[tuple[str, int]]:
        """(what it is called, tokens) of each document that a step reads."""

    def tokens_seen(self, step: int) -> int:
        """Tokens that were predicted up to the end of a step."""


class HeldOut(NamedTuple):
    """Sequences that a model is validated on."""

    name: str
    """``NAME@VERSION/LANGUAGE``."""
    stream: TokenStream
    sequences: int


@dataclass(frozen=True)
class TrainingData:
    """Datasets of one tokenizer, with their weights."""

    config: PretrainConfig
    datasets: tuple[TokenDataset, ...]
    """In the order of ``data.datasets``."""
    model_facts: Mapping[str, Any] = field(default_factory=dict)
    """What checkpoints are to say of the model beside its sizes."""

    own_tokenizer: bool = False

    segmented = False

    @property
    def vocab_size(self) -> int:
        """Tokens of the tokenizer."""
        return self.datasets[0].vocab_size

    @property
    def facts(self) -> Mapping[str, Any]:
        """The dataset whose tokenizer it is."""
        return {"tokenizer": self.datasets[0].dataset_id, **self.model_facts}

    @property
    def eos_id(self) -> int:
        """The token that ends a document."""
        return self.datasets[0].eos_id

    @cached_property
    def order(self) -> Order:
        """Which sequence is in which step.

        Raises:
            UserError: a dataset is too small for one sequence.
        """
        weights = [entry.weight for entry in self.config.data.datasets]
        sources = [
            Source(dataset.dataset_id, dataset.stream("train"), weight)
            for dataset, weight in zip(self.datasets, weights, strict=True)
        ]
        batch = self.config.batch
        return Order(sources, batch.sequence_length, batch.global_batch_size, self.config.seed)

    def micro_batches(self, step: int, replica: int) -> Iterator[Array]:
        """int64 [B, S + 1] for each micro-batch of a replica in a step."""
        split, batch = self.config.parallelism, self.config.batch
        for samples in self.order.rows(step, replica, split.data, batch.micro_batch_size):
            yield self.order.tokens(samples)

    def rows(self, step: int, replica: int) -> Iterator[Rows]:
        """The same as ``RunData`` has them."""
        return (Rows(ids_BT) for ids_BT in self.micro_batches(step, replica))

    def held_out_rows(self, held: HeldOut, replica: int) -> Iterator[Rows]:
        """``held_out_batches`` as ``RunData`` has them."""
        return (Rows(ids_BT, mask_BT) for ids_BT, mask_BT in self.held_out_batches(held, replica))

    def step_documents(self, step: int) -> list[tuple[str, int]]:
        """Ids of the documents of a step, and their tokens."""
        return [(part.document.document_id, part.tokens) for part in self.order.documents(step)]

    def tokens_seen(self, step: int) -> int:
        """All of every sequence."""
        return step * self.config.batch.global_batch_size * self.config.batch.sequence_length

    @cached_property
    def held_out(self) -> tuple[HeldOut, ...]:
        """What the run is validated on, per dataset and language; a stream of less than a sequence counts as one."""
        most, length = self.config.validation.sequences, self.config.batch.sequence_length
        found = []
        for dataset in self.datasets:
            for language in dataset.languages("validation"):
                stream = dataset.stream("validation", language)
                count = min(most, -(-(stream.tokens - 1) // length))
                if count > 0:
                    found.append(HeldOut(f"{dataset.name}@{dataset.version}/{language}", stream, count))
        return tuple(found)

    def held_out_batches(self, held: HeldOut, replica: int) -> Iterator[tuple[Array, Array]]:
        """The share of a replica: ids, int64 [B, S + 1], and where they are to be predicted, bool [B, S + 1].

        Every batch is full: what the stream does not fill is masked, and holds the token that ends documents.
        """
        split, micro = self.config.parallelism, self.config.batch.micro_batch_size
        length = self.config.batch.sequence_length
        mine = range(replica, held.sequences, split.data)
        for begin in range(0, len(mine), micro):
            ids_BT = np.full((micro, length + 1), self.eos_id, dtype=np.int64)
            mask_BT = np.zeros((micro, length + 1), dtype=bool)
            for row, sequence in enumerate(mine[begin : begin + micro]):
                start = sequence * length
                tokens = held.stream.read(start, min(start + length + 1, held.stream.tokens))
                ids_BT[row, : len(tokens)] = tokens
                mask_BT[row, : len(tokens)] = True
            yield ids_BT, mask_BT


def open_data(workspace: Workspace, config: PretrainConfig) -> TrainingData:
    """Open the datasets of a configuration.

    Raises:
        UserError: none is named, one is named twice, is missing or holds texts, or their tokenizers differ.
    """
    entries = config.data.datasets
    if not entries:
        raise UserError("data.datasets: names no dataset; give at least one, such as [{dataset: NAME, weight: 1}]")
    datasets = tuple(open_token_dataset(workspace, entry.dataset) for entry in entries)
    first = datasets[0]
    for number, dataset in enumerate(datasets):
        if dataset.tokenizer_sha256 != first.tokenizer_sha256:
            raise UserError(
                f"data.datasets: {entries[number].dataset} has another tokenizer than {entries[0].dataset}; encode "
                "both with one (python -m curation.tokens encode)"
            )
        if dataset.dataset_id in [each.dataset_id for each in datasets[:number]]:
            raise UserError(
                f"data.datasets: {entries[number].dataset} is named twice; give it one entry and one weight"
            )
    return TrainingData(config, datasets)
