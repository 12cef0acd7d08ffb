"""The settings of the train job."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from midb_ray import prompts
from midb_ray.config import Settings


class FreshModelSettings(Settings):
    """A Llama with random weights and a byte-level BPE tokenizer trained on the revisions, where no model is given."""

    vocabulary: int = pydantic.Field(4096, ge=300)
    """Tokens of the tokenizer at most."""
    hidden_size: int = pydantic.Field(128, ge=8)
    """Width of the model."""
    layers: int = pydantic.Field(2, ge=1)
    """Number of layers."""
    heads: int = pydantic.Field(4, ge=1)
    """Number of attention heads; divides hidden_size."""
    positions: int = pydantic.Field(2048, ge=128)
    """Longest prompt and answer together, in tokens."""

    @pydantic.model_validator(mode="after")
    def _heads_divide(self) -> FreshModelSettings:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of twice the {self.heads} heads")
        return self


class TrainSettings(Settings):
    """Fine-tune a booster on expert revisions, with DeepSpeed on Ray Train."""

    revisions: tuple[str, ...] = pydantic.Field(min_length=1)
    """Files, folders or patterns with revisions: rows with a raw and a revised side."""
    output: str = pydantic.Field(min_length=1)
    """Folder for the booster, a Hugging Face model directory; a path that every node sees."""
    model: str | None = None
    """Directory or hub id of the model to start from; none: a small one with random weights, see fresh."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    fresh: FreshModelSettings = FreshModelSettings()
    template: prompts.Template = "locale"
    """Prompt template; boosting must use the same."""
    locales: str | None = None
    """YAML file that adds languages."""
    epochs: float = pydantic.Field(3, gt=0)
    """Passes over the revisions."""
    batch_size: int = pydantic.Field(16, ge=1)
    """Examples of a step, over all workers."""
    max_tokens: int = pydantic.Field(4096, ge=16)
    """Longest example in tokens; longer ones are left out and counted."""
    learning_rate: float = pydantic.Field(2e-4, gt=0)
    """Highest learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = pydantic.Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = pydantic.Field(0.0, ge=0)
    """AdamW's weight decay."""
    clip: float = pydantic.Field(1.0, gt=0)
    """Largest norm of the gradient."""
    unchanged_share: float = pydantic.Field(0.0, ge=0, le=1)
    """Share of revised pairs that also stand as examples with nothing to change, so that good pairs are left alone."""
    seed: int = pydantic.Field(0, ge=0)
    """Of the order of examples and of random weights."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Type in which the model computes."""
    zero_stage: Literal[0, 1, 2, 3] = 3
    """DeepSpeed ZeRO stage: what is split between the workers (1 optimizer state, 2 also gradients, 3 also weights)."""
    workers: int = pydantic.Field(1, ge=1)
    """Training processes."""
    cpus_per_worker: float = pydantic.Field(1, gt=0)
    """CPUs that Ray reserves for each."""
    gpus_per_worker: float = pydantic.Field(1, ge=0)
    """GPUs of each; 0 trains on CPUs."""
    log_steps: int = pydantic.Field(50, ge=1)
    """Steps between log lines."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""

    @pydantic.field_validator("zero_stage", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @pydantic.model_validator(mode="after")
    def _batch_covers_workers(self) -> TrainSettings:
        if self.batch_size % self.workers:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of the {self.workers} workers")
        if self.model is None and self.revision is not None:
            raise ValueError("revision belongs to a model, and no model is given")
        return self
