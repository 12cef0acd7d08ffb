"""One GPU: tokens/s and model FLOPs utilisation of the core's loop, in one process, without Ray and DeepSpeed."""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import train_rows

from midb_ray.training import attention, flops, loop, steppers
from midb_ray.training.batches import Schedule
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings

MICRO_TOKENS = (8192, 16384, 32768, 65536)
LAYERS, HEAD, MULTIPLE = 24, 128, 256  # of the model; its width follows from the number of parameters
WARM, STEPS = 2, 6


class Speed(NamedTuple):
    """Median tokens per second and operations per second of some steps, and the most memory that was used."""

    tokens: float
    operations: float
    memory: int


def measure(scratch: Path, revisions: list[str], billions: float, rounds: int) -> None:
    """Print speed and utilisation for each number of tokens at once that fits."""
    if not torch.cuda.is_available():
        raise SystemExit("--gpu measures a GPU, and torch sees none here.")
    device = torch.device("cuda")
    peak = flops.peak(device)
    print(f"{torch.cuda.get_device_name(device)}, peak {peak / 1e12:.0f} TFLOPS" if peak else "a GPU of unknown peak")
    run(scratch, revisions, billions, rounds, device, peak)


def run(
    scratch: Path, revisions: list[str], billions: float, rounds: int, device: torch.device, peak: float | None
) -> None:
    """The measurement on any device; steps are of twice the largest number of tokens at once."""
    settings = settings_of(revisions, str(scratch))
    rows = train_rows.make(scratch, settings, batches=2, workers=1)
    examples = Examples(f"{rows.folder}/examples/train.arrow")
    network = model(rows.start, billions, device)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(
        f"{count / 1e9:.2f} billion parameters, {settings.dtype}; examples of {rows.lengths.mean():.0f} tokens on average, "
        f"{rows.answers:.0%} in answers; steps of {settings.batch_tokens:,} tokens",
        flush=True,
    )
    stepper = steppers.PlainStepper(network, settings, str(device))
    stepper.module.train()
    work = flops.work(network)
    for size in MICRO_TOKENS:
        try:
            found = [speed(stepper, examples, settings, size, work) for _ in range(rounds)]
        except torch.cuda.OutOfMemoryError:
            stepper.module.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            print(f"{size:6,} tokens at once: do not fit")
            break
        tokens, operations = (statistics.median(getattr(one, name) for one in found) for name in Speed._fields[:2])
        used = "" if peak is None else f", {operations / peak:.1%} of peak"
        print(
            f"{size:6,} tokens at once: {tokens:,.0f} tokens/s, {operations / 1e12:.1f} TFLOPS{used}, "
            f"{found[-1].memory / 2**30:.1f} GiB",
            flush=True,
        )


def speed(
    stepper: steppers.PlainStepper, examples: Examples, settings: TrainSettings, size: int, work: flops.Work
) -> Speed:
    """Train `STEPS` steps after some to warm up, with `size` tokens at once."""
    settings = settings.model_copy(update={"micro_tokens": size})
    schedule = Schedule(examples.lengths, settings.epochs, settings.batch_size, settings.batch_tokens, settings.seed)
    on_gpu = stepper.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    tokens, operations = [], []
    for step in range(WARM + STEPS):
        began = time.perf_counter()
        done = loop.run_step(stepper, examples, schedule, step, settings)
        if on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        if step >= WARM:
            tokens.append(done.tokens / seconds)
            operations.append(work.operations(done.tokens, done.answer_tokens) / seconds)
    memory = torch.cuda.max_memory_allocated() if on_gpu else 0
    return Speed(statistics.median(tokens), statistics.median(operations), memory)


def settings_of(revisions: list[str], scratch: str) -> TrainSettings:
    return TrainSettings.model_validate(
        {
            "revisions": revisions,
            "output": scratch,
            "selection": {"validation": 0.01},
            "scratch": {"vocabulary": 16384},
            "max_tokens": 2048,
            "epochs": 1000,  # as many steps as are wanted, however few rows there are
            "batch_tokens": 2 * MICRO_TOKENS[-1],
            "learning_rate": 1e-4,
            "schedule": "constant",
            "warmup": 0,
            "dtype": "bfloat16",
        }
    )


def model(start: str, billions: float, device: torch.device) -> Any:
    """A Llama with random weights of about so many parameters: `LAYERS` layers of 12 width² each."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(start)
    width = max(round(math.sqrt(billions * 1e9 / (12 * LAYERS)) / MULTIPLE), 1) * MULTIPLE
    attention.register()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=math.ceil(width * 8 / 3 / MULTIPLE) * MULTIPLE,
        num_hidden_layers=LAYERS,
        num_attention_heads=width // HEAD,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        attn_implementation=attention.NAME,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with device:
        return LlamaForCausalLM(config)
