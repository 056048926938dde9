"""Deduplication with datasketch as its users write it: one loop, everything in memory, similarities estimated.

Usage: python -m benchmarks.parts.dedup_datasketch INPUT.jsonl OUTPUT_FOLDER

Prints ``{"removed": [id, ...]}``.
"""

import json
import re
import sys
from pathlib import Path

import xxhash
from datasketch import MinHash, MinHashLSH

from curation.dedup.config import NearConfig

_WORD = re.compile(r"\w+")


def main() -> None:
    """Run it."""
    near = NearConfig()
    hashes = near.bands * near.rows
    index = MinHashLSH(num_perm=hashes, params=(near.bands, near.rows))
    signatures: dict[int, MinHash] = {}
    removed = []
    with Path(sys.argv[1]).open(encoding="utf-8") as source, (Path(sys.argv[2]) / "kept.jsonl").open("w") as kept:
        for line in source:
            row = json.loads(line)
            words = _WORD.findall(row["text"].lower())
            grams = [
                " ".join(words[at : at + near.ngram]).encode() for at in range(max(1, len(words) - near.ngram + 1))
            ]
            signature = MinHash(num_perm=hashes, hashfunc=xxhash.xxh32_intdigest)
            signature.update_batch(grams)
            if any(signature.jaccard(signatures[other]) >= near.threshold for other in index.query(signature)):
                removed.append(row["id"])
                continue
            index.insert(row["id"], signature, check_duplication=False)
            signatures[row["id"]] = signature
            kept.write(line)
    print(json.dumps({"removed": removed}))


if __name__ == "__main__":
    main()
