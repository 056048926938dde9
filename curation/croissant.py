"""Croissant JSON-LD beside the shards of a run (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

The description names no time and no absolute path, so that equal shards are described by equal bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.config import CardConfig
from curation.shards import ShardFacts, document_schema
from curation.workspace import write_durably

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_DATA_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "double": "sc:Float", "bool": "sc:Boolean"}


def croissant(
    card: CardConfig, facts: Sequence[ShardFacts], scores: Mapping[str, Mapping[str, type]]
) -> dict[str, Any]:
    """The description of a run's shards as a JSON-LD object.

    Args:
        facts: all shards, kept and rejected; each becomes a file object with its sha256.
        scores: filter name -> score name -> type, as in the shards' schema.
    """
    kinds = sorted({each.shard_kind for each in facts})
    files: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": f"{each.name}.parquet",
            "name": f"{each.name}.parquet",
            "contentUrl": f"{each.name}.parquet",
            "contentSize": f"{each.bytes} B",
            "encodingFormat": "application/x-parquet",
            "sha256": each.sha256,
        }
        for each in sorted(facts, key=lambda f: f.name)
    ]
    sets: list[dict[str, Any]] = [
        {
            "@type": "cr:FileSet",
            "@id": f"{kind}-shards",
            "name": f"{kind}-shards",
            "description": f"Shards of {kind} documents, one series a language.",
            "containedIn": [{"@id": f"{f.name}.parquet"} for f in facts if f.shard_kind == kind],
            "encodingFormat": "application/x-parquet",
            "includes": f"{kind}/*.parquet",
        }
        for kind in kinds
    ]
    record_sets = [
        {
            "@type": "cr:RecordSet",
            "@id": kind,
            "name": kind,
            "description": f"One record a {kind} document.",
            "key": {"@id": f"{kind}/id"},
            "field": _fields(kind, scores),
        }
        for kind in kinds
    ]
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.name,
        "description": card.description,
        "license": card.license,
        "creator": {"@type": "sc:Organization", "name": card.creator},
        "url": card.url or "about:blank",
        "version": "1.0.0",
        "distribution": files + sets,
        "recordSet": record_sets,
    }
    return described


def _fields(kind: Any, scores: Mapping[str, Mapping[str, type]]) -> list[dict[str, Any]]:
    fields = []
    for column in document_schema(scores, kind):
        if str(column.type).startswith("struct"):
            continue  # a filter's scores: described by the filter, not as plain columns
        data_type = _DATA_TYPES.get(str(column.type), "sc:DateTime")
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{kind}/{column.name}",
                "name": f"{kind}/{column.name}",
                "dataType": data_type,
                "source": {"fileSet": {"@id": f"{kind}-shards"}, "extract": {"column": column.name}},
            }
        )
    return fields


def write_croissant(
    folder: Path, card: CardConfig, facts: Sequence[ShardFacts], scores: Mapping[str, Mapping[str, type]]
) -> Path:
    """Write ``croissant.json`` into a run's shard folder; returns its path."""
    path = folder / "croissant.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(path, (json.dumps(croissant(card, facts, scores), indent=1, sort_keys=True) + "\n").encode())
    return path
