"""A small checkpoint in Detoxify's own format, trained on the spot on real annotated tweets (Davidson et al. 2017).

Tweets and labels are read from ``$SHARED/datasets`` and stay there.
"""

import csv
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("SHARED", Path(__file__).resolve().parents[4] / "shared"))
TWEETS = SHARED / "datasets" / "davidson_hatespeech" / "labeled_data.csv"
LABELS = ("toxic", "insult", "identity_hate")
"""As in Detoxify's original model, whose names the loader standardises."""


def tweets() -> list[tuple[str, tuple[float, ...]]]:
    """(text, targets of ``LABELS``) of the tweets, in an order of chance. Hate speech counts as all three, offensive
    language as toxic, and as an insult where two annotators thought so."""
    with TWEETS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: list[tuple[str, tuple[float, ...]]] = []
    for row in rows:
        hate, offensive = row["class"] == "0", row["class"] == "1"
        insult = hate or (offensive and int(row["offensive_language"]) >= 3)
        found.append((row["tweet"], (float(hate or offensive), float(insult), float(hate))))
    random.Random(0).shuffle(found)
    return found


def balanced(rows: Sequence[tuple[str, tuple[float, ...]]], each: int) -> list[tuple[str, tuple[float, ...]]]:
    """As many toxic ones as others."""
    toxic = [row for row in rows if row[1][0]]
    others = [row for row in rows if not row[1][0]]
    chosen = toxic[:each] + others[:each]
    random.Random(1).shuffle(chosen)
    return chosen


def clean_texts(count: int) -> list[str]:
    """Stretches of the documentation that Python installations hold: texts that are no tweets, and not toxic."""
    from pydoc_data.topics import topics

    paragraphs = [each for topic in sorted(topics) for each in topics[topic].split("\n\n") if len(each) > 80]
    random.Random(3).shuffle(paragraphs)
    return paragraphs[:count]


def train(
    folder: Path, examples: int = 4000, epochs: int = 3, hidden: int = 64, layers: int = 1, most_tokens: int = 512
) -> Path:
    """Train a BERT and save it as Detoxify does; returns the checkpoint; configuration and tokenizer are beside it."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    rows = balanced(tweets(), examples) + [(text, (0.0,) * len(LABELS)) for text in clean_texts(examples // 3)]
    words = BertWordPieceTokenizer(lowercase=True)
    texts: Any = [text for text, _ in rows]
    words.train_from_iterator(texts, vocab_size=4000, show_progress=False)
    words.save_model(str(folder))
    tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=most_tokens)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        intermediate_size=4 * hidden,
        max_position_embeddings=most_tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.num_labels = len(LABELS)
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3 if hidden < 128 else 5e-4, weight_decay=0.01)
    random_ = random.Random(2)
    for _ in range(epochs):
        random_.shuffle(rows)
        for low in range(0, len(rows), 32):
            batch = rows[low : low + 32]
            inputs = tokenizer(
                [text for text, _ in batch], return_tensors="pt", padding=True, truncation=True, max_length=48
            )
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(**inputs).logits, torch.tensor([targets for _, targets in batch])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    config.save_pretrained(folder)
    return save(folder, model.eval().state_dict())


def save(folder: Path, state: dict[str, Any], name: str = "model.ckpt", **changed: Any) -> Path:
    """Write a checkpoint in Detoxify's format; ``changed`` replaces parts of it."""
    import torch

    arguments = {
        "model_type": str(folder),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(LABELS),
    }
    config = {"arch": {"args": arguments}, "dataset": {"args": {"classes": list(LABELS)}}}
    path = folder / name
    torch.save({"config": config, "state_dict": state, **changed}, path)
    return path


def describe(folder: Path) -> dict[str, Any]:
    """The model's configuration."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return found
