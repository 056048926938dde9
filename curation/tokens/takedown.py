"""Take-downs in token shards: a document's tokens give way to the token that ends documents, as many as there were.

So every other token stays where it was, and which documents a training run has seen remains known. The shard is a new
file; the old one goes when the new one is on record.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation.catalog import open_catalog, rows
from curation.records import TokenShard, columns
from curation.shards import file_sha256
from curation.tokens import layout
from curation.tokens.encode import RUN_KIND, rules_digest
from curation.tokens.read import hidden_places
from curation.tokens.tokenizer import local_folder, read_folder
from curation.tokens.write import place_files
from curation.tombstones import Tombstones
from curation.workspace import Workspace


def forget_tokens(workspace: Workspace, also: set[str], tell: Callable[[str], None]) -> None:
    """Blank taken-down documents in all token shards, and remove what unfinished runs may hold of them.

    Args:
        also: ids of documents that are taken down, beside those on record as such.
        tell: called with a line for each file that was changed.

    Raises:
        OSError: a file cannot be read or written.
    """
    with open_catalog(workspace) as connection:
        hidden = also | {row["document_id"] for row in rows(connection, "SELECT document_id FROM tombstone_hit")}
        tombstones = Tombstones.of(rows(connection, "SELECT what, value FROM tombstone"))
        replaced = rows(
            connection,
            "SELECT path FROM c.token_shard WHERE token_shard_id NOT IN (SELECT token_shard_id FROM token_shard)",
        )
        shards = rows(connection, "SELECT * FROM token_shard ORDER BY path") if hidden else []
        unfinished = rows(
            connection,
            "SELECT run_id, config FROM run WHERE kind = ? AND status <> 'running' "
            "AND run_id NOT IN (SELECT dataset_id FROM dataset)",
            [RUN_KIND],
        )
    for row in replaced:  # left behind by a kill
        _remove(workspace, row["path"])
    for shard in shards:
        if count := _blank(workspace, shard, hidden):
            tell(f"{shard['path']}: {count} taken-down document(s) blanked")
    for run in unfinished:
        if json.loads(run["config"])["taken_down"] != rules_digest(tombstones):  # which no resume would go on with
            folder = layout.folder(run["run_id"])
            left = workspace.files(folder)
            for path in left:
                workspace.remove_shard(path)
            shutil.rmtree(workspace.root / folder, ignore_errors=True)
            for name in ("scratch", "encoded"):
                shutil.rmtree(workspace.run_folder(run["run_id"]) / name, ignore_errors=True)
            if left:
                tell(f"{folder}: removed, its run is not done and may hold taken-down documents")


def _blank(workspace: Workspace, shard: dict[str, Any], hidden: set[str]) -> int:
    """Write a token shard anew without hidden documents; returns how many it held."""
    import numpy as np

    old = layout.files_of(shard["path"])
    local = [workspace.local_file(each) for each in old]
    places = hidden_places(local[-1], hidden)
    tokenizer = read_folder("", local_folder(workspace, f"{layout.folder(shard['run_id'])}/{layout.TOKENIZER}"))
    dtype = layout.token_dtype(shard["token_bytes"])
    tokens = np.memmap(local[0], dtype=dtype, mode="r")
    places = tuple(place for place in places if (tokens[slice(*place)] != tokenizer.eos_id).any())
    if not places:
        return 0
    aside = workspace.run_folder(shard["run_id"]) / "scratch" / "blanked"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    made = layout.files_of(str(aside / "tokens.ds"))
    for source, target in zip(local, made, strict=True):
        shutil.copyfile(source, target)
    changed = np.memmap(made[0], dtype=dtype, mode="r+")
    for start, end in places:
        changed[start:end] = tokenizer.eos_id
    changed.flush()
    path = f"{shard['path'].removesuffix('.ds')}+.ds"
    facts = {name: shard[name] for name in columns("token_shard")}
    facts |= {"token_shard_id": f"{shard['token_shard_id']}+", "replaces": shard["token_shard_id"]}
    new = TokenShard(**{**facts, "path": path, "sha256": file_sha256(Path(made[0]))})
    place_files(workspace, made, path)
    workspace.write([new], name=new.token_shard_id.replace("/", "-"))
    shutil.rmtree(aside.parent)
    _remove(workspace, shard["path"])
    return len(places)


def _remove(workspace: Workspace, path: str) -> None:
    for each in layout.files_of(path):
        workspace.remove_shard(each)
