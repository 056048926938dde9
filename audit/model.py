"""A language model as probes see it: log-likelihoods, generation, embeddings, attentions.

All is computed in float32, so that one item is scored the same in whatever batch, order or packing it comes (to some
1e-6 a token: sums are only rounded differently). Shapes: B rows of a batch, S tokens, N tokens that are scored, V
vocabulary, E model width, L layers, H heads.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from audit import packing
from audit.items import Encoder, Generated, Inside, Item, Score, Start, TextScore, TooLong, WordVectors, check_too_long
from audit.source import Source
from curation.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from curation.workspace import Workspace

Array = np.ndarray[Any, Any]

BATCH_TOKENS = {"cpu": 512, "cuda": 16384}
"""Tokens in a batch: on CPUs more gain nothing (135 M parameters, one thread), and padding costs."""
LOGITS_AT_ONCE = 2**24
"""Logits that are there at a time (64 MiB)."""


class _Text(NamedTuple):
    """Of ``Inside``, what is known before the model is asked."""

    token_ids: tuple[int, ...]
    start_token: int | None
    offsets: tuple[tuple[int, int], ...]


class _Scored(NamedTuple):
    """Of tokens that are scored."""

    values_N: Array
    """Log-likelihoods."""
    greedy_N: Array
    """Whether each was the likeliest token."""
    best_N: Array
    """Log-likelihood of the token that was."""


class Model:
    """A Llama and its tokenizer.

    Args:
        network: ``LlamaForCausalLM`` in float32.
        tokenizer: a fast tokenizer of transformers.
        batch_tokens: in a batch, with padding; None: as suits the device. No result depends on it.
    """

    def __init__(self, network: Any, tokenizer: Any, source: Source, batch_tokens: int | None = None) -> None:
        from transformers import GenerationConfig

        if batch_tokens is not None and batch_tokens < 1:
            raise UserError(f"batch_tokens {batch_tokens}: must be at least 1")
        self.network, self.tokenizer, self.source = network.eval(), tokenizer, source
        self.longest = int(network.config.max_position_embeddings)
        self.encoder = Encoder(tokenizer, self.longest)
        self.tokens = max(tokenizer.get_vocab().values()) + 1
        """Rows of the embedding up to the last that a token has."""
        self.device = network.device
        self.batch_tokens = batch_tokens or BATCH_TOKENS.get(self.device.type, BATCH_TOKENS["cpu"])
        self.ending = _ending(network, tokenizer)
        network.generation_config = GenerationConfig()  # what a folder suggests (penalties, say) is none of ours

    @property
    def layers(self) -> int:
        """Blocks of the model."""
        return int(self.network.config.num_hidden_layers)

    # ---- log-likelihoods -----------------------------------------------------------------------------

    def log_likelihood(self, items: Sequence[Item], too_long: TooLong = "refuse", packed: bool = True) -> list[Score]:
        """How likely each item's continuation is, token by token.

        Args:
            too_long: what to do with an item that is longer than the model's context.
            packed: compute shared beginnings once.

        Raises:
            UserError: an item cannot be scored; its number is named.
        """
        encoded = self.encoder.encode(items, too_long)
        asked = [(each.context_ids + each.token_ids, len(each.context_ids)) for each in encoded]
        return [
            Score(each, tuple(found.values_N.tolist()), tuple(found.greedy_N.tolist()))
            for each, found in zip(encoded, self._score(asked, packed), strict=True)
        ]

    def text_log_likelihood(
        self, texts: Sequence[str], start: Start, window: int | None = None, stride: int | None = None
    ) -> list[TextScore]:
        """How likely texts of any length are; each token is scored once, in windows as lm-evaluation-harness cuts them
        (``get_rolling_token_windows``, its ``context_len`` is ``window - stride + 1``).

        Args:
            window: most tokens that one is conditioned on; None: all that the model can see.
            stride: tokens that each further window scores, so that each sees ``window - stride`` at least; None:
                ``window``, the cheapest.

        Raises:
            UserError: a text has nothing to score, or an argument does not fit.
        """
        window = self.longest if window is None else window
        stride = window if stride is None else stride
        if not 1 <= window <= self.longest:
            raise UserError(f"window {window}: from 1 to {self.longest}, which is what the model can see")
        if not 1 <= stride <= window:
            raise UserError(f"stride {stride}: from 1 to the window of {window}")
        first = self.encoder.start_token(start)
        texts_ids = self.encoder.ids(texts)
        asked: list[tuple[packing.Ids, int]] = []
        owners: list[int] = []
        for number, ids in enumerate(texts_ids):
            whole = tuple(ids) if first is None else (first, *ids)
            if len(whole) < 2:
                raise UserError(f"text {number}: has no token to score; give text, or a start token")
            done, end = 1, min(len(whole), window + 1)
            while done < len(whole):
                begin = max(0, end - window - 1)
                asked.append((whole[begin:end], done - begin))
                owners.append(number)
                done, end = end, min(len(whole), end + stride)
        parts: list[list[_Scored]] = [[] for _ in texts]
        for owner, scored in zip(owners, self._score(asked, packed=False), strict=True):
            parts[owner].append(scored)
        found = []
        for text, ids, part in zip(texts, texts_ids, parts, strict=True):
            values, greedy, best = (tuple(np.concatenate(each).tolist()) for each in zip(*part, strict=True))
            found.append(TextScore(tuple(ids), values, greedy, best, first, window, stride, len(text.encode())))
        return found

    def _score(self, asked: Sequence[tuple[packing.Ids, int]], packed: bool) -> "list[_Scored]":
        """For each (tokens, first that is scored) what is known of the tokens."""
        firsts: dict[packing.Ids, int] = {}
        for ids, first in asked:
            firsts[ids] = min(first, firsts.get(ids, first))
        sequences = list(firsts)
        scores: dict[packing.Ids, _Scored] = {}
        for batch in packing.batches(packing.pack(sequences, packed), self.batch_tokens):
            members, places_N, targets_N = [], [], []
            for number, row in enumerate(batch):
                for member, column_S in zip(row.members, packing.places(row), strict=True):
                    ids, first = sequences[member], firsts[sequences[member]]
                    members.append(ids)
                    targets_N.append(np.array(ids[first:]))
                    places_N.append(np.stack((np.full(len(ids) - first, number), column_S[first - 1 :])))
            computed = self._computed(
                packing.laid_out(batch), np.concatenate(places_N, axis=1), np.concatenate(targets_N)
            )
            ends = np.cumsum([len(targets) for targets in targets_N])[:-1]
            split = zip(*(np.split(values_N, ends) for values_N in computed), strict=True)
            scores |= {ids: _Scored(*values) for ids, values in zip(members, split, strict=True)}
        return [_Scored(*(values[first - firsts[ids] :] for values in scores[ids])) for ids, first in asked]

    def _computed(self, batch: packing.Batch, places_2N: Array, targets_N: Array) -> "_Scored":
        """What is known of targets at places (row, column); logits are computed at these places alone, and once where
        several branches look at the same."""
        import torch

        def there(array: Array | None) -> Any:
            return None if array is None else torch.from_numpy(array).to(self.device)

        unique_2P, which_N = np.unique(places_2N, axis=1, return_inverse=True)
        which_N = which_N.reshape(-1)
        order_N = np.argsort(which_N, kind="stable")
        values_N = np.empty(len(targets_N), dtype=np.float32)
        greedy_N = np.empty(len(targets_N), dtype=bool)
        best_N = np.empty(len(targets_N), dtype=np.float32)
        with torch.inference_mode():
            mask = there(batch.mask_BSS)
            hidden_BSE = self.network.model(
                input_ids=there(batch.ids_BS),
                attention_mask=None if mask is None else mask[:, None],
                position_ids=there(batch.positions_BS),
                use_cache=False,
            ).last_hidden_state
            hidden_PE = hidden_BSE[there(unique_2P[0]), there(unique_2P[1])]
            step = max(1, LOGITS_AT_ONCE // self.network.config.vocab_size)
            for begin in range(0, hidden_PE.shape[0], step):
                logits_PV = self.network.lm_head(hidden_PE[begin : begin + step]).float()
                low, high = np.searchsorted(which_N[order_N], (begin, begin + step))
                here_N = order_N[low:high]
                row_N, target_N = there(which_N[here_N] - begin), there(targets_N[here_N])
                total_P = logits_PV.logsumexp(-1)
                largest_P, likeliest_P = logits_PV.max(-1)
                values_N[here_N] = (logits_PV[row_N, target_N] - total_P[row_N]).cpu().numpy()
                greedy_N[here_N] = (likeliest_P[row_N] == target_N).cpu().numpy()
                best_N[here_N] = (largest_P - total_P)[row_N].cpu().numpy()
        return _Scored(values_N, greedy_N, best_N)

    # ---- generation ----------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Sequence[str],
        start: Start,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        too_long: TooLong = "refuse",
    ) -> list[Generated]:
        """What the model goes on to write behind each prompt.

        Each prompt draws from numbers of its own, made of the seed, its tokens, and how often it came before, so that
        batches and order change nothing (but where two tokens are as good as equally likely).

        Args:
            max_tokens: at most so many each.
            temperature: logits are divided by it; 0 takes the likeliest token each time.
            stop: texts that end a continuation and are no part of it.
            too_long: what to do with a prompt that leaves no room for ``max_tokens``.

        Raises:
            UserError: a prompt has no token, or leaves no room; an argument does not fit.
        """
        from audit.generation import generate

        check_too_long(too_long)
        if not 1 <= max_tokens < self.longest:
            raise UserError(f"max_tokens {max_tokens}: from 1 to {self.longest - 1}; the model sees {self.longest}")
        if not temperature >= 0:
            raise UserError(f"temperature {temperature}: must be 0 or more")
        if "" in stop:
            raise UserError("stop: an empty text would end everything; leave it out")
        first = self.encoder.start_token(start)
        room = self.longest - max_tokens
        asked: list[tuple[tuple[int, ...], int]] = []
        for number, ids in enumerate(self.encoder.ids(prompts)):
            whole = tuple(ids) if first is None else (first, *ids)
            if not whole:
                raise UserError(f"prompt {number}: has no token; give text, or a start token")
            cut = max(0, len(whole) - room)
            if cut and too_long == "refuse":
                raise UserError(
                    f"prompt {number}: {len(whole)} tokens leave no room for {max_tokens}; lower it, or cut"
                )
            asked.append((whole[cut:], cut))
        drawn = generate(self, [ids for ids, _ in asked], max_tokens, temperature, seed, stop)
        return [
            Generated(ids, None if cut else first, cut, *each) for (ids, cut), each in zip(asked, drawn, strict=True)
        ]

    # ---- inside --------------------------------------------------------------------------------------

    def word_vectors(self, words: Sequence[str], leading_space: bool) -> WordVectors:
        """The mean of the rows of the input embedding that a word's tokens have.

        Args:
            leading_space: encode words as they are within a sentence; it changes what WEAT finds.

        Raises:
            UserError: a word has no token.
        """
        import torch

        found = self.encoder.ids([f" {word}" if leading_space else word for word in words])
        for word, ids in zip(words, found, strict=True):
            if not word.strip() or not ids:
                raise UserError(f"word {word!r}: has no token; leave it out")
        matrix_VE = self.network.get_input_embeddings().weight
        vectors_WE = np.zeros((len(words), matrix_VE.shape[1]), dtype=np.float32)
        with torch.inference_mode():
            for number, ids in enumerate(found):
                vectors_WE[number] = matrix_VE[ids].double().mean(0).float().cpu().numpy()
        return WordVectors(tuple(map(tuple, found)), vectors_WE)

    def embeddings(self, texts: Sequence[str], start: Start, layers: Sequence[int] | None = None) -> Iterator[Inside]:
        """Contextual embeddings of each text in turn.

        Args:
            layers: which; 0 is the input embedding, n what the nth block makes, and the last is behind the norm (as
                transformers counts ``hidden_states``); None: all.

        Raises:
            UserError: a text has no token or is longer than the model's context; there is no such layer.
        """
        chosen = self._layers(layers, 0, self.layers)
        for several, result in self._inside(texts, start, output_hidden_states=True):
            for row, each in enumerate(several):
                values = [_array(result.hidden_states[layer][row, : len(each.token_ids)]) for layer in chosen]
                yield Inside(each.token_ids, each.start_token, each.offsets, np.stack(values))

    def attentions(self, texts: Sequence[str], start: Start, layers: Sequence[int] | None = None) -> Iterator[Inside]:
        """Attention of each head over each text in turn; rows (the last axis) sum to 1.

        Args:
            layers: which, 1 the first block; None: all.

        Raises:
            UserError: as ``embeddings``.
        """
        chosen = self._layers(layers, 1, self.layers)
        before = self.network.config._attn_implementation
        for several, result in self._inside(texts, start, eager=before, output_attentions=True):
            for row, each in enumerate(several):
                seen = len(each.token_ids)
                values = [_array(result.attentions[layer - 1][row, :, :seen, :seen]) for layer in chosen]
                yield Inside(each.token_ids, each.start_token, each.offsets, np.stack(values))

    def _layers(self, layers: Sequence[int] | None, lowest: int, highest: int) -> list[int]:
        chosen = list(range(lowest, highest + 1)) if layers is None else list(layers)
        if wrong := [layer for layer in chosen if not lowest <= layer <= highest]:
            raise UserError(f"layer {wrong[0]}: from {lowest} to {highest}")
        if not chosen:
            raise UserError("layers: none is asked for; name one, or leave it out for all")
        return chosen

    def _inside(
        self, texts: Sequence[str], start: Start, eager: str | None = None, **wanted: bool
    ) -> Iterator[tuple[list[_Text], Any]]:
        """Texts in their order, some at a time, and what the model says of them.

        Args:
            eager: compute attention so that its weights are there, and go back to this way of doing it.
        """
        import torch

        first = self.encoder.start_token(start)
        ahead = [] if first is None else [first]
        every: list[_Text] = []
        for number, (ids, offsets) in enumerate(zip(self.encoder.ids(texts), self.encoder.offsets(texts), strict=True)):
            whole = tuple(ahead + ids)
            if not whole:
                raise UserError(f"text {number}: has no token; give text, or a start token")
            if len(whole) > self.longest:
                raise UserError(f"text {number}: {len(whole)} tokens, and the model sees {self.longest}; shorten it")
            every.append(_Text(whole, first, tuple([(0, 0)] * len(ahead) + offsets)))
        begin = 0
        while begin < len(every):
            end, width = begin, 0
            while end < len(every):
                width = max(width, len(every[end].token_ids))
                if end > begin and width * (end - begin + 1) > self.batch_tokens:
                    break
                end += 1
            rows = [packing.Row(each.token_ids, ((0,),), ()) for each in every[begin:end]]
            ids_BS = torch.from_numpy(packing.laid_out(rows).ids_BS).to(self.device)
            try:
                if eager:
                    self.network.set_attn_implementation("eager")
                with torch.inference_mode():
                    result = self.network.model(input_ids=ids_BS, use_cache=False, **wanted)
            finally:
                if eager:
                    self.network.set_attn_implementation(eager)
            yield every[begin:end], result
            begin = end


def _array(values: "Tensor") -> Array:
    return cast("Array", values.float().cpu().numpy())


def _ending(network: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text: the tokenizer's, and what the model's folder names."""
    named = [tokenizer.eos_token_id]
    for config in (network.config, network.generation_config):
        ids = getattr(config, "eos_token_id", None)
        named += ids if isinstance(ids, list) else [ids]
    return frozenset(int(token) for token in named if token is not None)


def load_model(
    workspace: "Workspace",
    reference: str,
    device: str = "auto",
    tokenizer: str | None = None,
    batch_tokens: int | None = None,
) -> Model:
    """The model that is named: see ``audit.load.load``, and ``Model`` for ``batch_tokens``."""
    from audit.load import load

    return Model(*load(workspace, reference, device, tokenizer), batch_tokens)
