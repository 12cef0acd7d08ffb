"""Corpora to boost, and the books of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.engines.conftest import byte_level

CorpusMaker = Callable[..., Path]
Books = Callable[[Path], "RunBooks"]


class RunBooks:
    """What a run folder holds when a job is through."""

    def __init__(self, folder: Path) -> None:
        self.pairs: pa.Table = ds.dataset(folder / "pairs", format="parquet").to_table()
        self.dead_letters: pa.Table = ds.dataset(folder / "dead_letters", format="parquet").to_table()
        self.summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
        self.left_over = (
            [path.name for path in (folder / "attempts").glob("*")] if (folder / "attempts").exists() else []
        )

    @property
    def rows(self) -> list[str]:
        """The identity of every row that came out, sorted."""
        return sorted(self.pairs.column("row").to_pylist() + self.dead_letters.column("row").to_pylist())

    def by_id(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.pairs.to_pylist()}


@pytest.fixture
def make_corpus(tmp_path: Path) -> CorpusMaker:
    """Write an Alpaca JSON-lines file with `count` German pairs."""

    def make(count: int, name: str = "corpus.jsonl", first: int = 0) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8") as file:
            for number in range(first, first + count):
                row = {
                    "id": f"id-{number}",
                    "instruction": f"Erkläre in einem Satz, was Regel Nummer {number} bedeutet.",
                    "input": "",
                    "output": f"Die Regel {number} besagt,  dass man  im Haus leise sein und auf die Nachbarn achten soll",
                    "language": "de",
                    "topic": "Regeln",
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return path

    return make


@pytest.fixture
def books() -> Books:
    return RunBooks


@pytest.fixture
def booster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, which cannot answer in any form."""
    folder = tmp_path_factory.mktemp("booster")
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=400,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=1024,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a job; whatever it leaves behind is ended with the test."""
    jobs: list[subprocess.Popen[bytes]] = []

    def run(arguments: list[str], env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        jobs.append(subprocess.Popen(arguments, env=env or dict(os.environ), start_new_session=True, **more))
        return jobs[-1]

    yield run
    for job in jobs:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
