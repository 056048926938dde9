"""What deduplication keeps of a document: ids, keys and shingles; never its text.

One file for each part of an extraction task, beside the part. Rows are the part's kept documents in canonical
order; the columns are

- ``ids`` uint64 [N, 2]: the document's id, so that numeric order is the order of ids
- ``source`` uint32 [N]: index into ``raw_file_ids`` of the file's meta
- ``sequence`` uint32, ``piece`` uint32, ``weight`` int64 [N]: where the part's row is, and its bytes
- ``url``, ``text`` uint64 [N]: keys that are equal for equal URLs and texts; 0 where there is none
- ``bands`` uint64 [bands, N], ``signature`` uint32 [N, bands * rows]
- ``offsets`` uint64 [N + 1], ``shingles`` uint32: the set of shingles of document i is
  ``shingles[offsets[i]:offsets[i + 1]]``, sorted
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xxhash
from datatrove.data import Document

from curation.dedup.columns import save_columns
from curation.dedup.config import NearConfig
from curation.dedup.similarity import band_keys, shingles, signatures
from curation.words import words_of

Array = np.ndarray[Any, Any]

_LOW = 2**64 - 1


class Sketches:
    """Gathers the sketches of a part's kept documents."""

    def __init__(self, near: NearConfig) -> None:
        self.near = near
        self._clear()

    def _clear(self) -> None:
        self._ids: list[str] = []
        self._sources: list[str] = []
        self._languages: list[str] = []
        self._numbers: list[tuple[int, int]] = []
        self._urls: list[int] = []
        self._texts: list[int] = []
        self._shingles: list[Array] = []

    def add(self, document: Document, sequence: int, weight: int) -> None:
        """Sketch a document that the filters have kept; ``sequence`` is its row in the part."""
        normal_W = words_of(document).normal_W
        meta = document.metadata
        self._ids.append(document.id)
        self._sources.append(meta["raw_file_id"])
        self._languages.append(meta["language"])
        self._numbers.append((sequence, weight))
        self._urls.append(url_key(meta["url"]))
        self._texts.append(text_key(document.text, normal_W, meta["language"]))
        self._shingles.append(shingles(normal_W, self.near.ngram))

    def save(self, path: Path, pieces: Mapping[str, int]) -> int:
        """Write and empty; ``pieces`` is language -> row group of the part. Returns the number of documents."""
        sources = sorted(set(self._sources))
        number = {source: index for index, source in enumerate(sources)}
        ids_N = id_array(self._ids)
        offsets = np.concatenate(([0], np.cumsum([len(each) for each in self._shingles], dtype=np.int64)))
        flat = np.concatenate([np.empty(0, dtype=np.uint32), *self._shingles])
        signature_NK = self._signatures(flat, offsets)
        numbers = np.array(self._numbers, dtype=np.int64).reshape(-1, 2)
        save_columns(
            path,
            {
                "ids": ids_N,
                "source": np.array([number[source] for source in self._sources], dtype=np.uint32),
                "sequence": numbers[:, 0].astype(np.uint32),
                "piece": np.array([pieces[language] for language in self._languages], dtype=np.uint32),
                "weight": numbers[:, 1],
                "url": np.array(self._urls, dtype=np.uint64),
                "text": np.array(self._texts, dtype=np.uint64),
                "bands": self._bands(signature_NK, offsets),
                "signature": signature_NK,
                "offsets": offsets.astype(np.uint64),
                "shingles": flat,
            },
            {"raw_file_ids": sources, **parameters(self.near)},
        )
        count = len(self._ids)
        self._clear()
        return count

    def _signatures(self, flat: Array, offsets: Array) -> Array:
        """Signatures of all; a document without a word has the signature 0, and its bands the key 0."""
        hashes = self.near.bands * self.near.rows
        filled = np.flatnonzero(np.diff(offsets))
        starts = np.append(offsets[:-1][filled], len(flat))
        signature_NK = np.zeros((len(offsets) - 1, hashes), dtype=np.uint32)
        signature_NK[filled] = signatures(flat, starts, hashes)
        return signature_NK

    def _bands(self, signature_NK: Array, offsets: Array) -> Array:
        keys = band_keys(signature_NK, self.near.bands, self.near.rows)
        keys[:, np.diff(offsets) == 0] = 0
        return keys


def parameters(near: NearConfig) -> dict[str, int]:
    """What must be equal for two sketches to be compared."""
    return {"ngram": near.ngram, "bands": near.bands, "rows": near.rows}


def id_array(ids: list[str]) -> Array:
    """uint64 [N, 2] of document ids (32 hexadecimal digits)."""
    numbers = [int(each, 16) for each in ids]
    return np.array([[number >> 64, number & _LOW] for number in numbers], dtype=np.uint64).reshape(-1, 2)


def id_text(id_2: Array) -> str:
    """The inverse of ``id_array``, for one id."""
    return f"{int(id_2[0]):016x}{int(id_2[1]):016x}"


def text_key(text: str, normal_W: Array, language: str) -> int:
    """64 bits of XXH3 over the normalised words; in source code, where punctuation counts, over the text with
    its white space made one. Among 10^8 documents two different ones share a key with probability 3e-4."""
    code = language != "und" and "_" not in language
    if not code and len(normal_W):
        return xxhash.xxh3_64_intdigest(normal_W.tobytes())
    return xxhash.xxh3_64_intdigest(" ".join(text.split()).encode("utf-8", "surrogatepass"))


def url_key(url: str | None) -> int:
    """64 bits of XXH3 of the URL without what does not tell pages apart; 0 without a URL.

    Left away: scheme, credentials, ``www.``, port, fragment, a slash at the end. The query counts.
    """
    if not url:
        return 0
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.").rstrip(".")
    except ValueError:
        return 0
    if not host:
        return 0
    normal = f"{host}{parts.path.rstrip('/')}?{parts.query}"
    return xxhash.xxh3_64_intdigest(normal.encode("utf-8", "surrogatepass"))
