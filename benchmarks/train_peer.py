"""The peer of the training benchmark: the Hugging Face Trainer on one worker, as its documentation says to use it."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from midb_ray.training import zero
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings

_IGNORED = -100


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised rows with labels in answers only."""

    def __init__(self, examples: Examples) -> None:
        self._rows = [_row(examples, index) for index in range(len(examples))]
        self.column_names = ["input_ids", "labels"]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


class Padding:
    """The collator: pads to the longest row of the batch, and counts what goes through the model."""

    def __init__(self, pad: int) -> None:
        self._pad = pad
        self.tokens = 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = [row["input_ids"] for row in rows]
        padded = pad_sequence(ids, batch_first=True, padding_value=self._pad)
        self.tokens += padded.numel()
        lengths = torch.tensor([len(each) for each in ids])
        return {
            "input_ids": padded,
            "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long(),
            "labels": pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=_IGNORED),
        }


class Watch(TrainerCallback):
    """Seconds of the epochs, from before the first batch is fetched to after the last update, and of the processor."""

    def __init__(self) -> None:
        self.seconds = self.processor = 0.0
        self.losses: list[float] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        dist.barrier()
        self._began, self._used = time.perf_counter(), time.process_time()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.seconds += time.perf_counter() - self._began
        self.processor += time.process_time() - self._used

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


def epoch(
    settings: TrainSettings,
    start: str,
    path: str,
    batch: int,
    strategy: str,
    epochs: int = 1,
    output: str = "",
    tell: bool = False,
) -> dict[str, Any]:
    """Train one epoch on the examples at `path`, `batch` at once on each worker and as many times as `settings.batch_size` needs.

    `strategy` is a `train_sampling_strategy`. Returns seconds, and this worker's tokens with padding; to `tell` also losses.
    """
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="sdpa")
    split = zero.config(settings) | {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }
    workers = dist.get_world_size()
    arguments = TrainingArguments(
        output_dir=output,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=settings.batch_size // (batch * workers),
        num_train_epochs=epochs,
        train_sampling_strategy=strategy,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        seed=settings.seed,
        deepspeed=split,
        use_cpu=True,
        bf16=False,
        logging_strategy="steps" if tell else "no",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    watch, padding = Watch(), Padding(int(model.config.pad_token_id))
    trainer = Trainer(model, arguments, data_collator=padding, train_dataset=Rows(Examples(path)), callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.deepspeed.destroy()
    times = {"seconds": watch.seconds, "processor": watch.processor}
    return {**times, "passed": padding.tokens, "losses": watch.losses}


def _row(examples: Examples, index: int) -> dict[str, Any]:
    ids = torch.from_numpy(examples.ids(index).astype("int64"))
    labels = ids.clone()
    labels[: int(examples.answers[index])] = _IGNORED
    return {"input_ids": ids, "labels": labels}
