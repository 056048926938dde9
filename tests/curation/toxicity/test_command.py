"""``python -m curation.toxicity``, as typed."""

import json
from pathlib import Path

from tests.curation.commands import command
from tests.curation.toxicity import small_model


def test_calibrate_bias_and_score(checkpoint: Path, tmp_path: Path) -> None:
    rows = [text for text, _ in small_model.tweets()[-300:]] + small_model.clean_texts(2000)[1333:]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    workspace = tmp_path / "w"
    done = command(
        "curation.toxicity", "calibrate", "--texts", tmp_path / "texts.jsonl", "--model", checkpoint,
        "--workspace", workspace,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "threshold of the cheap model: 0." in done.stdout
    assert f"next: python -m curation.run INPUT --workspace {workspace} --toxicity.model {checkpoint}" in done.stdout
    (kept,) = (workspace / "cache" / "toxicity").glob("calibration-*.json")
    assert str(kept) in done.stdout
    done = command("curation.toxicity", "score", "you stupid fucking bitch", "--model", checkpoint)
    assert set(json.loads(done.stdout)["max"]) == {"toxicity", "insult", "identity_attack"}
    done = command("curation.toxicity", "bias", "--model", checkpoint, "--json")
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["metric"] for row in measured} == {"subgroup_auc", "bpsn_auc", "bnsp_auc", "false_positive_rate"}


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    done = command("curation.toxicity", "score", "x", env={"TORCH_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert "python -m curation.toxicity fetch original" in done.stderr
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\nnull\n')
    done = command("curation.toxicity", "calibrate", "--texts", tmp_path / "bad.jsonl", "--workspace", tmp_path / "w")
    assert done.returncode == 2
    assert "bad.jsonl, line 2: is no object with a text" in done.stderr
    done = command("curation.toxicity", "score", "x", "--thresholds", '{"toxicity": 2}')
    assert done.returncode == 2


def test_the_bias_of_the_cheap_model() -> None:
    done = command("curation.toxicity", "bias", "--model", "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("alt-profanity-check ")
