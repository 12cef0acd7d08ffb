"""What the engine benchmark compares with, each in a process of its own: `engine_peers.py NAME REQUESTS MODEL SIZE EVENTS`.

Writes when tokens were there: a JSON list of [seconds, tokens]. NAME is `offline` (vLLM's LLM.generate), `ray` (a processor
of ray.data.llm) or `loop` (transformers with fixed batches); SIZE is the peer's own size: rows at once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

Events = list[tuple[float, int]]
_ROWS = 64  # that the engine of ray.data.llm works on at once, as ours does


def main() -> None:
    name, path, model, size, target = sys.argv[1:]
    requests = json.loads(Path(path).read_text())
    events = {"offline": offline, "ray": over_ray, "loop": loop}[name](requests, model, int(size))
    Path(target).write_text(json.dumps(events))


def arguments(size: int) -> dict[str, Any]:
    """vLLM's arguments, as our engine gives them."""
    return {
        "skip_tokenizer_init": True,
        "load_format": "safetensors",
        "generation_config": "vllm",
        "dtype": "float32",
        "enforce_eager": True,
        "max_num_seqs": size,
        "enable_prefix_caching": True,
    }


def offline(requests: list[dict[str, Any]], model: str, size: int) -> Events:
    """All prompts at once; vLLM notes when each request had its last token."""
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    engine = LLM(model=model, disable_log_stats=False, **arguments(size))
    prompts = [TokensPrompt(prompt_token_ids=one["ids"]) for one in requests]
    sampling = [
        SamplingParams(max_tokens=one["limit"], temperature=0, detokenize=False, stop_token_ids=one["end"])
        for one in requests
    ]
    engine.generate(prompts[:8], SamplingParams(max_tokens=8, temperature=0, detokenize=False), use_tqdm=False)
    found = engine.generate(prompts, sampling, use_tqdm=False)
    return [(one.metrics.last_token_ts, len(one.outputs[0].token_ids)) for one in found]


def over_ray(requests: list[dict[str, Any]], model: str, size: int) -> Events:
    """One replica whose engine is set as the others' are; `size` is the rows of a batch, of which it works on eight at
    once. vLLM notes when each request had its last token here too."""
    import ray
    import ray.data
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    config = vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs=arguments(_ROWS),
        concurrency=1,
        batch_size=size,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        log_engine_metrics=False,
        placement_group_config={"bundles": [{"CPU": 1}]},
    )
    processor = build_processor(
        config,
        preprocess=lambda row: {
            "tokenized_prompt": row["ids"],
            "sampling_params": {
                "max_tokens": int(row["limit"]),
                "temperature": 0.0,
                "detokenize": False,
                "stop_token_ids": [int(one) for one in row["end"]],
            },
        },
        postprocess=lambda row: {
            "moment": row["metrics"]["last_token_ts"],
            "tokens": len(row["generated_tokens"]),
        },
    )
    blocks = max(len(requests) // size, 1)
    found = processor(ray.data.from_items(requests, override_num_blocks=blocks)).take_all()
    return [(row["moment"], row["tokens"]) for row in found]


def loop(requests: list[dict[str, Any]], model: str, size: int) -> Events:
    """What anybody would write first: batches of so many rows in the order in which they come."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    torch.set_num_threads(1)
    network: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    end = requests[0]["end"]
    events: Events = []
    for begin in range(0, len(requests), size):
        rows = requests[begin : begin + size]
        width = max(len(row["ids"]) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, width - len(row["ids"]) :] = torch.tensor(row["ids"])
            mask[number, width - len(row["ids"]) :] = 1
        config = GenerationConfig(
            max_new_tokens=max(row["limit"] for row in rows), do_sample=False, eos_token_id=end, pad_token_id=0
        )
        found = network.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
        tokens = sum(_until(end, new[: row["limit"]]) for new, row in zip(found, rows, strict=True))
        events.append((time.monotonic(), tokens))
    return events


def _until(end: list[int], new: list[int]) -> int:
    return next((place for place, one in enumerate(new) if one in end), len(new))


if __name__ == "__main__":
    main()
