"""One GPU: generated tokens/s of the transformers engine, batched continuously and statically, beside the limit of its memory.

    python benchmarks/engine_gpu.py [--parameters 0.7] [--rows 384]

The model has random weights and ends no answer by itself, so every side generates the same numbers of tokens, as skewed as
those of expert revisions. The limit is what reading alone would take: in every step all weights, and for every row what it
has said so far, at the speed that a copy reaches on this device.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from typing import Any, NamedTuple

import torch

from midb_ray.engines import paged
from midb_ray.engines.base import Completion, Request, Scorer
from midb_ray.engines.continuous import ContinuousEngine
from midb_ray.engines.settings import EngineSettings
from midb_ray.engines.transformers import TransformersEngine

LAYERS, HEAD, GROUP = 24, 128, 4  # of the model; query heads that share keys and values
VOCABULARY, CONTEXT = 32_000, 4096
PROMPT, ANSWER, SPREAD = (
    260,
    290,
    0.65,
)  # medians in tokens, and deviation of the logarithm: expert revisions and their prompts
LONGEST = 1000
STATIC = (131_072, 524_288)  # tokens of a static batch
CHECKED, FAR = 32, 40  # rows and tokens of which are compared


class Numbers:
    """In place of a tokenizer: an answer's text is its ids."""

    end = VOCABULARY - 1

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


class Reading(NamedTuple):
    """Bytes of the weights, bytes of one token's keys and values, and bytes that the device moves in a second."""

    weights: int
    token: int
    speed: float

    def seconds(self, rows: list[Request], together: int) -> float:
        """The least that reading takes when so many rows are generated at the same time."""
        answers = sum(row.limit for row in rows)
        steps = max(max(row.limit for row in rows), math.ceil(answers / together))
        said = sum(row.limit * (len(row.ids or ()) + row.limit / 2) for row in rows)
        return (steps * self.weights + said * self.token) / self.speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, default=0.7, help="billions of the model")
    parser.add_argument("--rows", type=int, default=384)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This measures a GPU, and torch sees none here.")
    device = torch.device("cuda")
    run(model(arguments.parameters, device), arguments.rows, bandwidth(device), STATIC)


def run(network: Any, count: int, speed: float, static: tuple[int, ...]) -> None:
    """Check that both ways of batching answer alike, and print each one's speed."""
    config = network.config
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    each = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * network.dtype.itemsize
    reading = Reading(weights, each, speed)
    rows = requests(count)
    print(
        f"{torch.cuda.get_device_name() if network.device.type == 'cuda' else 'CPU'}, copies {speed / 1e12:.2f} TB/s; a model of "
        f"{weights / network.dtype.itemsize / 1e9:.2f} billion parameters, {each / 1024:.0f} KiB of keys and values a token; "
        f"{count} rows, {sum(len(row.ids or ()) for row in rows) / count:.0f} tokens of prompt and "
        f"{sum(row.limit for row in rows) / count:.0f} of answer on average (longest {max(row.limit for row in rows)})",
        flush=True,
    )
    ways = {"continuous": settings("continuous", static[-1])}
    ways |= {f"static, {tokens:,} tokens": settings("static", tokens) for tokens in static}
    before = network.config._attn_implementation
    answers = None
    for name, wanted in ways.items():
        network.config._attn_implementation = before
        engine = engine_of(network, wanted)
        asyncio.run(engine.generate([row._replace(limit=min(row.limit, 8)) for row in rows[:64]]))  # to warm up
        began = time.perf_counter()
        found = asyncio.run(engine.generate(rows))
        seconds = time.perf_counter() - began
        engine.close()
        answers = found if name == "continuous" else answers
        assert all(one.tokens == row.limit for one, row in zip(found, rows, strict=True)), "rows ended early"
        tokens = sum(one.tokens for one in found)
        print(f"{name:26} {tokens / seconds:9,.0f} tokens/s, {seconds:6.1f} s", flush=True)
    for together in (128, count):
        least = reading.seconds(rows, together)
        tokens = sum(row.limit for row in rows)
        print(f"limit, {together:4} rows together  {tokens / least:9,.0f} tokens/s, {least:6.2f} s", flush=True)
    network.config._attn_implementation = before
    if answers is not None:
        agreement(network, rows, answers)


def engine_of(network: Any, wanted: EngineSettings) -> Scorer:
    encoder: Any = Numbers()
    if wanted.batching == "static":
        return TransformersEngine(network, encoder, wanted)
    return ContinuousEngine(network, encoder, frozenset([Numbers.end]), wanted)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def agreement(network: Any, rows: list[Request], answers: list[Completion]) -> None:
    """Whether what continuous batching chose are the likeliest tokens by the library's own attention."""
    likeliest, gap, checked = 0, 0.0, 0
    for row, answer in list(zip(rows, answers, strict=True))[:CHECKED]:
        new = [int(one) for one in answer.text.split()][:FAR]
        ids = torch.tensor([[*(row.ids or ()), *new]], device=network.device)
        logits = network(ids, use_cache=False, logits_to_keep=len(new) + 1).logits[0, :-1].float()
        chosen = logits.gather(1, ids[0, -len(new) :, None])[:, 0]
        apart = (logits.amax(1) - chosen) / logits.std(1)
        likeliest, checked = likeliest + int((apart == 0).sum()), checked + len(new)
        gap = max(gap, float(apart.max()))
    print(
        f"of {checked} tokens, {likeliest / checked:.1%} are the likeliest by {network.config._attn_implementation}; the "
        f"others are at most {gap:.3f} deviations of the logits below it",
        flush=True,
    )


def settings(batching: str, tokens: int) -> EngineSettings:
    return EngineSettings.model_validate({"model": "random", "batching": batching, "batch_tokens": tokens})


def requests(count: int) -> list[Request]:
    """Rows with lengths as skewed as those of real ones."""
    chance = random.Random(1)

    def length(median: int) -> int:
        return min(max(round(chance.lognormvariate(math.log(median), SPREAD)), 8), LONGEST)

    return [
        Request(None, [chance.randrange(VOCABULARY - 1) for _ in range(length(PROMPT))], length(ANSWER))
        for _ in range(count)
    ]


def bandwidth(device: torch.device) -> float:
    """Bytes read and written in a second by a large copy."""
    source = torch.empty(1 << 30, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(8):
        torch.cuda.synchronize()
        began = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2.0 * int(source.nbytes) / min(times)


def model(billions: float, device: torch.device) -> Any:
    """A Llama with random weights, whose logits are as far apart as a trained model's, so that few tokens are near ties."""
    from transformers import LlamaConfig, LlamaForCausalLM

    width = max(round(math.sqrt(billions * 1e9 / (11 * LAYERS)) / (HEAD * GROUP)), 1) * HEAD * GROUP
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 8 // 3 // HEAD * HEAD,
        num_hidden_layers=LAYERS,
        num_attention_heads=width // HEAD,
        num_key_value_heads=width // HEAD // GROUP,
        head_dim=HEAD,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.05,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    with device:
        made = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    with torch.no_grad():
        made.get_output_embeddings().weight[Numbers.end] = 0  # it is never the likeliest
    assert paged.is_supported(made)
    return made


if __name__ == "__main__":
    main()
