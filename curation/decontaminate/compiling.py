"""Items -> the index that documents are looked up in."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curation.decontaminate.index import VERSION, Index, pack, seen_bits
from curation.decontaminate.items import Item, ItemFile, read_items
from curation.decontaminate.units import SCALES, changes_allowed, item_units, scale_number, telling_bits
from curation.errors import UserError
from curation.progress import log
from curation.unspaced import letters_without_spaces
from curation.words import ngram_hashes
from curation.workspace import write_durably

Array = np.ndarray[Any, Any]

LONGEST_PIECE = 128
"""Units of a piece: longer items are looked for in pieces, each in the words around its n-grams."""
COMMON = 10
"""Items that may share a run before it says nothing about any of them: an instruction, or a template. GPT-3's authors
left out n-grams that more than 10 documents had (https://arxiv.org/abs/2005.14165, appendix C)."""


def index_path(cache: Path, sums: Iterable[str], min_words: int) -> Path:
    """Where the index is that ``prepare`` made of files with these sha256."""
    digest = hashlib.sha256(json.dumps([sorted(sums), min_words]).encode()).hexdigest()
    return cache / "items" / f"{digest}-v{VERSION}.items"


def prepare(files: Sequence[ItemFile], cache: Path, min_words: int) -> list[str]:
    """Compile items into ``cache`` unless they are there; returns the sha256 of each file.

    Items too short to be looked for are left out, with one warning that counts them. Safe to run in several processes
    at once.

    Raises:
        UserError: a file is missing or damaged, a line is no item, or no item is long enough.
    """
    sums = [each.digest() for each in files]
    path = index_path(cache, sums, min_words)
    if not path.exists():
        in_order = [file for _, file in sorted(zip(sums, files, strict=True), key=lambda pair: pair[0])]
        items, repeated = read_items(in_order)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, compile_items(items, min_words, repeated))
    facts = Index(path).facts
    short: dict[str, list[Any]] = facts["short"]
    where, count = files[0].field, sum(each[0] for each in short.values())
    if count == facts["items"]:
        raise UserError(
            f"{where}: all {count:,} items have fewer than {min_words} words, so that nothing can be looked for; "
            "give longer ones, or lower min_words"
        )
    if count:
        listed = ", ".join(
            f"{ascii(name)[1:-1]} {number:,} (such as {first!a})" for name, (number, first) in sorted(short.items())
        )
        log.warning(
            "%s: %s of %s items have fewer than %s words and are not looked for: %s",
            *(where, f"{count:,}", f"{facts['items']:,}", min_words, listed),
        )
    if facts["repeated"]:
        log.warning("%s: %s line(s) say again what another says, and count once", where, f"{facts['repeated']:,}")
    return sums


@dataclass(slots=True)
class _Sequences:
    """Different sequences of units, in the order of the first item of each."""

    number: dict[tuple[int, bytes], int] = field(default_factory=dict)
    units: list[Array] = field(default_factory=list)
    scales: list[int] = field(default_factory=list)
    items: list[list[int]] = field(default_factory=list)

    def add(self, item: int, scale: int, units: Array) -> None:
        """Add one way to split an item."""
        key = (scale, units.tobytes())
        number = self.number.setdefault(key, len(self.units))
        if number == len(self.units):
            self.units.append(units)
            self.scales.append(scale)
            self.items.append([])
        if not self.items[number] or self.items[number][-1] != item:
            self.items[number].append(item)


def compile_items(items: Sequence[Item], min_words: int, repeated: int = 0) -> bytes:
    """The bytes of an index.

    Args:
        min_words: shorter items are left out; letters of scripts without spaces in proportion.
        repeated: lines left out by ``read_items``, to be told later.
    """
    sequences = _Sequences()
    short: Counter[str] = Counter()
    first: dict[str, str] = {}
    for number, item in enumerate(items):
        ways = item_units(item.text)
        scale = scale_number(item.text, len(ways[0]) if ways else 0)
        least = max(SCALES[scale].short_seed, -(-min_words * SCALES[scale].least // SCALES[0].least))
        if not ways or len(ways[0]) < least:
            short[item.item_set] += 1
            first.setdefault(item.item_set, item.item_id)
            continue
        for units in ways:
            if len(units) >= SCALES[scale].short_seed:
                sequences.add(number, scale, units)
    facts = {
        "items": len(items),
        "repeated": repeated,
        "short": {name: [count, first[name]] for name, count in sorted(short.items())},
        "letters": any(sequences.scales) or any(any(letters_without_spaces(item.text)) for item in items),
        "sets": dict(sorted(Counter(item.item_set for item in items).items())),
    }
    names = [json.dumps([item.item_set, item.item_id]).encode() for item in items]
    arrays = _layout(sequences)
    grams = _grams(sequences, arrays)
    facts["lengths"] = grams.pop("lengths")
    arrays |= grams
    arrays["names"] = np.frombuffer(b"".join(names), dtype=np.uint8)
    arrays["names_I"] = _bounds(list(map(len, names)))
    return pack(facts, arrays)


def _bounds(sizes: Sequence[int]) -> Array:
    """Where parts of these sizes begin; one more: the end."""
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)


def _layout(sequences: _Sequences) -> dict[str, Array]:
    """The arrays of units, pieces and sequences."""
    sizes = np.array([len(each) for each in sequences.units], dtype=np.int64)
    pieces = np.maximum(1, -(-sizes // LONGEST_PIECE))
    sequence_P = np.repeat(np.arange(len(sizes)), pieces)
    within_P = np.arange(len(sequence_P)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    # Pieces of a sequence are of equal size, but for rounding.
    starts_S = _bounds(sizes.tolist())
    begins_P = starts_S[:-1][sequence_P] + within_P * sizes[sequence_P] // np.maximum(1, pieces[sequence_P])
    begins_P = np.append(begins_P, starts_S[-1])
    units_F = np.concatenate([np.empty(0, dtype=np.uint64), *sequences.units])
    return {
        "units_F": (units_F >> np.uint64(32)).astype(np.uint32),
        "bits_F": telling_bits(units_F),
        "piece_F": np.repeat(np.arange(len(sequence_P)), np.diff(begins_P)),
        "sequence_P": sequence_P,
        "begins_P": begins_P,
        "pieces_S": _bounds(pieces.tolist()),
        "scale_S": np.array(sequences.scales, dtype=np.uint8),
        "items_S": _bounds(list(map(len, sequences.items))),
        "item": np.array([item for each in sequences.items for item in each], dtype=np.int64),
    }


def _grams(sequences: _Sequences, arrays: dict[str, Array]) -> dict[str, Any]:
    """The n-grams: rare seeds of every piece, and all runs of sequences that are longer than one."""
    begins_P, sequence_P = arrays["begins_P"], arrays["sequence_P"]
    sizes_P = np.diff(begins_P)
    scale_P = arrays["scale_S"][sequence_P] if len(sequence_P) else np.empty(0, dtype=np.int64)
    units_F = np.concatenate([np.empty(0, dtype=np.uint64), *sequences.units])
    short = np.array([each.short for each in SCALES])[scale_P]
    seed = np.array([each.seed for each in SCALES])[scale_P]
    short_seed = np.array([each.short_seed for each in SCALES])[scale_P]
    seed_P = np.where(sizes_P < short, short_seed, seed)
    hashes, places = [], []
    lengths: dict[str, bool] = {}
    for n in sorted(set(seed_P.tolist())):
        found, place = _seeds(units_F, n, arrays, seed_P == n, changes_allowed(sizes_P, scale_P)[1])
        hashes.append(found)
        places.append(place)
        lengths[str(n)] = False
    common: list[Array] = []
    sizes_S = np.array(list(map(len, sequences.units)), dtype=np.int64)
    for number, scale in enumerate(SCALES):
        wanted = np.flatnonzero((arrays["scale_S"] == number) & (sizes_S > scale.run))
        if len(wanted):
            starts = begins_P[arrays["pieces_S"][wanted]]
            counts = sizes_S[wanted] - scale.run + 1
            which = np.repeat(wanted, counts)
            place = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            found = ngram_hashes(units_F, scale.run)[place]
            owner = np.array([each[0] for each in sequences.items])[which]  # ways to split an item are one item
            hashes.append(found)
            places.append(place)
            common.append(_shared(found, owner))
            lengths[str(scale.run)] = True
    hash_H = np.concatenate([np.empty(0, dtype=np.uint64), *hashes])
    place_H = np.concatenate([np.empty(0, dtype=np.int64), *places])
    order = np.lexsort((place_H, hash_H))
    grams_G, first = np.unique(hash_H[order], return_index=True)
    bits = seen_bits(len(grams_G))
    seen = np.zeros(2**bits, dtype=np.bool_)
    seen[(grams_G >> np.uint64(64 - bits)).astype(np.int64)] = True
    return {
        "lengths": lengths,
        "grams_G": grams_G,
        "common_G": np.isin(grams_G, np.concatenate([np.empty(0, dtype=np.uint64), *common])),
        "postings_G": np.append(first, len(order)),
        "places_H": place_H[order],
        "seen": np.packbits(seen, bitorder="little"),
    }


def _seeds(units_F: Array, n: int, arrays: dict[str, Array], chosen_P: Array, allowed_P: Array) -> tuple[Array, Array]:
    """(hash, place) of the seeds of some pieces.

    A change takes away n of a piece's n-grams, so that one of any n * changes + 1 is left, if there are as many: only
    the rarest of each piece are kept, which are seldom those of a template (Chaudhuri et al. 2006,
    https://doi.org/10.1109/ICDE.2006.9, call this prefix filtering).
    """
    piece_F = arrays["piece_F"]
    hashes = ngram_hashes(units_F, n)
    place = np.flatnonzero(chosen_P[piece_F[: len(hashes)]] & (piece_F[: len(hashes)] == piece_F[n - 1 :]))
    found, piece = hashes[place], piece_F[place]
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    order = np.lexsort((found, counts[inverse], piece))
    ordered = piece[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.int64)
    rank = np.arange(len(ordered)) - np.repeat(begins, np.diff(np.append(begins, len(ordered))))
    kept = order[rank < (n * allowed_P + 1)[ordered]]
    return found[kept], place[kept]


def _shared(grams: Array, owners: Array) -> Array:
    """The n-grams that more than ``COMMON`` owners have."""
    order = np.lexsort((owners, grams))
    grams, owners = grams[order], owners[order]
    new = np.ones(len(grams), dtype=np.bool_)
    new[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    unique, counts = np.unique(grams[new], return_counts=True)
    common: Array = unique[counts > COMMON]
    return common
