"""How large a model is and what its training takes: parameters, and the memory of one GPU, before any weight is loaded.

The fixed part follows what DeepSpeed 0.19 keeps for each parameter; activations are counted in the manner of Korthikanti et al.
2022 ("Reducing activation recomputation in large transformer models"): tensor by tensor, what the backward pass needs. Their term
for the attention matrix is left out, for fused attention never makes one.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any, NamedTuple

from midb_ray.errors import UserError, one_line
from midb_ray.training import zero
from midb_ray.training.settings import TrainSettings

_FLOAT = 4  # bytes of what AdamW works on, whatever the model computes in
_LOSS_ROWS = 512  # of the logits that are float32 at one time, see `losses`
_RESERVE = 3 << 29  # 1.5 GiB: the CUDA context, NCCL's buffers, libraries
_FRAGMENTS = 0.1  # of what comes and goes: the allocator's blocks are never full
_BUCKET, _LIVE, _PERSISTENT = 500_000_000, 1_000_000_000, 100_000  # DeepSpeed's defaults, in elements


class Parameters(NamedTuple):
    """Numbers of a model's parameters, adapters included. `kinds` are embeddings, attention, mlp, norms, output, adapters, other.

    `largest` is the size of the largest tensor, `largest_trained` of the largest that is trained; `small` are the parameters in
    tensors that ZeRO 3 keeps whole by default.
    """

    total: int
    trainable: int
    kinds: dict[str, int]
    largest: int
    largest_trained: int
    small: int

    @property
    def share(self) -> float:
        """Trained parameters among all."""
        return self.trainable / self.total


class Memory(NamedTuple):
    """Bytes on one worker's GPU; on its CPU where it trains on CPUs.

    `gathered` are weights of other workers that ZeRO 3 brings together for a while, `buffers` those in which gradients wait for the
    others', `update` the copy of the gradients that a step's end makes when activations are gone. `cpu` is what offload puts into
    the machine's memory, for this worker.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    gathered: int
    buffers: int
    update: int
    reserve: int
    cpu: int

    @property
    def static(self) -> int:
        """What is there all the time."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """The most at any one time."""
        return self.static + max(_passing(self), self.update) + self.reserve


class Shape(NamedTuple):
    """What activations depend on: widths of a layer for one token."""

    layers: int
    hidden: int
    inner: int
    queries: int
    keys_and_values: int
    vocabulary: int


def parameters(config: Any, settings: TrainSettings) -> Parameters:
    """The parameters of the model of a transformers `config`, with the adapters of `settings`; no weight is loaded or made.

    Raises `UserError` for a model that writes no text, and for LoRA targets that it does not have.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from midb_ray.training import lora

    with torch.device("meta"):
        try:
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        except (ValueError, ImportError) as error:
            name = getattr(config, "model_type", type(config).__name__)
            raise UserError(f"model: cannot build a {name!r}: {one_line(error)}") from None
        output = model.get_output_embeddings()
        head = None if output is None or config.get_text_config().tie_word_embeddings else output.weight
        if settings.method == "lora":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of transformers, about what peft calls
                model = lora.apply(model, settings.lora)
    embeddings = {id(each.weight) for each in model.modules() if isinstance(each, torch.nn.Embedding)}
    kinds: Counter[str] = Counter()
    trained, sizes = [], []
    for name, parameter in model.named_parameters():  # names what is tied once
        known = "output" if parameter is head else "embeddings" if id(parameter) in embeddings else _kind(name)
        kinds[known] += parameter.numel()
        sizes.append(parameter.numel())
        if parameter.requires_grad:
            trained.append(parameter.numel())
    small = sum(size for size in sizes if size < _PERSISTENT)
    return Parameters(sum(sizes), sum(trained), dict(kinds), max(sizes), max(trained, default=0), small)


def memory(counted: Parameters, config: Any, settings: TrainSettings, workers: int, labelled: float = 1.0) -> Memory:
    """An estimate of what one of `workers` needs. `labelled` is the share of tokens that belong to answers.

    Raises `UserError` for a `zero.config` that cannot be used.
    """
    deepspeed = zero.config(settings, counted.trainable)
    split = deepspeed["zero_optimization"]
    stage, wide = int(split["stage"]), _width(settings)
    tokens = settings.micro_tokens if settings.packing else settings.max_tokens
    form = shape(config)
    owners = workers if stage >= 1 else 1
    weights = wide * counted.total // (workers if stage == 3 else 1)
    master = 0 if stage == 0 and wide == _FLOAT else _FLOAT
    optimizer = (master + 2 * _FLOAT) * counted.trainable // owners
    gradients = _gradient_bytes(stage, wide) * counted.trainable // (workers if stage >= 2 else 1)
    copied = stage == 2 or (stage < 2 and (stage == 0) == (wide < _FLOAT))
    gathered = 0
    if stage == 3:
        live = int(split.get("stage3_max_live_parameters", _LIVE)) + counted.largest
        gathered = wide * min(counted.total, live + counted.small)
    cpu = 0
    if _device(split, "offload_optimizer"):
        cpu += optimizer + (gradients if stage >= 2 else 0)
        optimizer, gradients = 0, 0 if stage >= 2 else gradients
    if _device(split, "offload_param"):
        cpu, weights = cpu + weights, 0
    made = Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations(form, settings, tokens),
        logits=form.vocabulary * (2 * wide * round(labelled * tokens) + 2 * _FLOAT * min(_LOSS_ROWS, tokens)),
        gathered=gathered,
        buffers=_buffers(split, stage, wide, counted),
        update=_FLOAT * counted.trainable // owners if copied and optimizer else 0,
        reserve=_RESERVE,
        cpu=cpu,
    )
    return made._replace(reserve=_RESERVE + round(_FRAGMENTS * max(_passing(made), made.update)))


def activations(form: Shape, settings: TrainSettings, tokens: int) -> int:
    """Bytes that the forward pass of `tokens` keeps for the backward pass, the logits aside.

    Of a layer, as transformers computes a Llama's: each of the two norms keeps its input in float32, what it made of it (for the
    gradient of its own weights) and its output (for those of the matrices behind it); attention keeps queries, keys, values
    and its output; the gated block keeps both its halves, the activated one and their product. Adapters keep what lies
    between their two matrices. With gradient checkpointing only the layers' inputs are kept, and one layer at a time.
    """
    wide = _width(settings)
    adapted = settings.method == "lora"
    norms = 2 * form.hidden * (_FLOAT + wide * (1 if adapted else 2))
    attention = wide * (2 * form.queries + form.keys_and_values)
    block = 4 * wide * form.inner
    adapters = 7 * wide * settings.lora.rank if adapted else 0
    layer = norms + attention + block + adapters
    ends = form.hidden * (_FLOAT + 2 * wide)  # the last norm
    if settings.gradient_checkpointing:
        return tokens * (form.layers * wide * form.hidden + layer + ends)
    return tokens * (form.layers * layer + ends)


def shape(config: Any) -> Shape:
    """The widths of a transformers config; experts count as often as a token goes through some."""
    text = config.get_text_config()
    hidden, heads = int(text.hidden_size), int(text.num_attention_heads)
    width = int(getattr(text, "head_dim", None) or hidden // heads)
    experts = int(getattr(text, "num_experts_per_tok", None) or 1)
    inner = getattr(text, "moe_intermediate_size", None) if experts > 1 else None
    inner = inner or getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * hidden
    keys = int(getattr(text, "num_key_value_heads", None) or heads)
    layers, vocabulary = int(text.num_hidden_layers), int(text.vocab_size)
    return Shape(layers, hidden, experts * int(inner), heads * width, 2 * keys * width, vocabulary)


def _passing(needed: Memory) -> int:
    return needed.activations + needed.logits + needed.gathered + needed.buffers


def _width(settings: TrainSettings) -> int:
    return 2 if settings.dtype == "bfloat16" else _FLOAT


def _gradient_bytes(stage: int, wide: int) -> int:
    """Of one parameter: micro-batches add up in float32; stage 1 keeps that sum beside the model's own gradients."""
    if stage == 0:
        return wide
    return _FLOAT + wide if stage == 1 and wide < _FLOAT else _FLOAT


def _buffers(split: dict[str, Any], stage: int, wide: int, counted: Parameters) -> int:
    """DeepSpeed makes these in full, however few parameters there are; a gradient waits outside until it is complete."""
    waiting = wide * counted.largest_trained
    if stage == 0 or (stage == 1 and wide < _FLOAT and not _device(split, "offload_optimizer")):
        return waiting
    twice = 2 if split.get("overlap_comm", stage == 3) and stage < 3 else 1
    return waiting + twice * wide * int(split.get("reduce_bucket_size", _BUCKET))


def _device(split: dict[str, Any], part: str) -> bool:
    return bool((split.get(part) or {}).get("device", "none") != "none")


def _kind(name: str) -> str:
    if "lora_" in name:
        return "adapters"
    parts = name.lower().rpartition(".")[0]
    last = parts.rpartition(".")[2]
    if "norm" in last or last.startswith("ln_"):
        return "norms"
    if "attn" in parts or "attention" in parts:
        return "attention"
    return "mlp" if any(word in parts for word in ("mlp", "feed_forward", "experts", "ffn")) else "other"
