"""The settings of the train job."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from midb_ray import prompts
from midb_ray.config import Settings
from midb_ray.runs import labels
from midb_ray.training.selection_settings import SelectionSettings

Overlong = Literal["drop", "cut", "refuse"]
Schedule = Literal["cosine", "linear", "constant"]


class ScratchSettings(Settings):
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
    def _heads_divide(self) -> ScratchSettings:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of twice the {self.heads} heads")
        return self


class LoraSettings(Settings):
    """Low-rank adaptation (Hu et al. 2021), for method lora."""

    rank: int = pydantic.Field(64, ge=1)
    """Rank of the adapters."""
    alpha: float = pydantic.Field(32, gt=0)
    """Scale of the adapters: their product counts alpha / rank."""
    dropout: float = pydantic.Field(0.0, ge=0, lt=1)
    """Dropout before the adapters."""
    targets: tuple[str, ...] = pydantic.Field(("all-linear",), min_length=1)
    """Names of the modules that get adapters (q_proj, v_proj, …), or all-linear: every linear layer but the output's."""


class ZeroSettings(Settings):
    """DeepSpeed ZeRO (Rajbhandari et al. 2020): what is split between the workers."""

    stage: Literal[0, 1, 2, 3] = 3
    """0 nothing, 1 optimizer state, 2 also gradients, 3 also weights."""
    offload_optimizer: bool = False
    """Keep optimizer state in CPU memory and compute its step there (stages 1 to 3)."""
    offload_parameters: bool = False
    """Keep weights in CPU memory too (stage 3)."""
    config: str | None = None
    """JSON file with DeepSpeed settings that win over those made from these; the way out for all that is not here."""

    @pydantic.field_validator("stage", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @pydantic.model_validator(mode="after")
    def _offload_has_a_stage(self) -> ZeroSettings:
        if self.offload_optimizer and self.stage == 0:
            raise ValueError("offload_optimizer needs a stage from 1 to 3, and stage is 0")
        if self.offload_parameters and self.stage != 3:
            raise ValueError(f"offload_parameters needs stage 3, and stage is {self.stage}")
        return self


class CheckpointSettings(Settings):
    """Checkpoints, each with a look at the validation loss."""

    steps: int = pydantic.Field(100, ge=1)
    """Steps between checkpoints; the last step always makes one."""
    keep: int = pydantic.Field(2, ge=1)
    """Checkpoints to keep: the best by validation loss, and always the latest."""


class TrainSettings(Settings):
    """Fine-tune a booster on expert revisions, with DeepSpeed on Ray Train."""

    revisions: tuple[str, ...] = pydantic.Field(min_length=1)
    """Files, folders or patterns with revisions: rows with a raw and a revised side; or the output of `midb-ray revisions`."""
    output: str = pydantic.Field(min_length=1)
    """The run folder: a path that every node sees, s3:// or gs://; the booster will be in booster/ below it."""
    model: str | None = None
    """Directory or hub id of the model to start from; none: a small one with random weights, see scratch."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    scratch: ScratchSettings = ScratchSettings()
    template: prompts.Template = "locale"
    """Prompt template; boosting must use the same."""
    locales: str | None = None
    """YAML file that adds languages."""
    selection: SelectionSettings = SelectionSettings()
    max_tokens: int = pydantic.Field(4096, ge=16)
    """Longest example in tokens, prompt and answer together."""
    overlong: Overlong = "drop"
    """What becomes of longer examples: drop leaves them out, cut cuts their answers off, refuse stops; always counted."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or adapters (see lora) that are merged at the end."""
    lora: LoraSettings = LoraSettings()
    epochs: float = pydantic.Field(3, gt=0)
    """Passes over the training set."""
    batch_size: int = pydantic.Field(16, ge=1)
    """Examples of a step, over all workers."""
    batch_tokens: int | None = pydantic.Field(None, ge=16)
    """Tokens of a step over all workers, instead of batch_size: as many examples as reach it."""
    micro_tokens: int = pydantic.Field(8192, ge=16)
    """Tokens that go through the model at once on one worker; a step takes as many such micro-batches as it needs."""
    packing: bool = True
    """Put several examples into a micro-batch, without padding and blind to each other; false takes them one by one."""
    learning_rate: float = pydantic.Field(2e-4, gt=0)
    """Highest learning rate."""
    schedule: Schedule = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = pydantic.Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    final_learning_rate: float = pydantic.Field(0.0, ge=0, le=1)
    """Where cosine and linear end, as a share of the highest."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay of the means of gradients and of their squares."""
    weight_decay: float = pydantic.Field(0.0, ge=0)
    """AdamW's weight decay, of matrices only: vectors (norms, biases) have none."""
    clip: float = pydantic.Field(1.0, gt=0)
    """Largest norm of the gradient."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Type in which the model computes; optimizer state is always float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third more time."""
    zero: ZeroSettings = ZeroSettings()
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Of the split, the order of examples, random weights and dropout."""
    workers: tuple[int, ...] = pydantic.Field((1,), min_length=1, max_length=2)
    """Training processes; two numbers are the fewest and the most, and the cluster's state decides."""
    cpus_per_worker: float = pydantic.Field(1, gt=0)
    """CPUs that Ray reserves for each."""
    gpus_per_worker: int = pydantic.Field(1, ge=0, le=1)
    """GPUs of each: 1, or 0 to train on CPUs."""
    label_selector: labels.Selector = None
    """Labels of the nodes for the run's work, as Ray's label selectors. none: all but nodes that are labelled midb-ray/work=boost,
    and for workers with GPUs cpu. {}: any node."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    max_failures: int = pydantic.Field(10, ge=0)
    """Lost workers after which the job gives up; losing nodes that were announced to leave does not count."""
    log_steps: int = pydantic.Field(10, ge=1)
    """Steps between log lines and lines of metrics.jsonl."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into tensorboard/ of the run folder."""
    card_rows: int = pydantic.Field(16, ge=0)
    """Validation rows of each language that the finished booster is tried on for its card; 0 makes no card."""
    accept: tuple[str, ...] = ()
    """Settings whose change is accepted when an earlier run goes on."""
    fresh: bool = False
    """Delete the earlier run in the output folder and start over."""
    dry_run: bool = False
    """Check everything, print settings, sizes and steps, and stop."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""

    @pydantic.field_validator("workers")
    @classmethod
    def _workers_in_order(cls, workers: tuple[int, ...]) -> tuple[int, ...]:
        if workers[0] < 1 or workers[0] > workers[-1]:
            raise ValueError(f"expected a number from 1, or the fewest and the most, found {list(workers)}")
        return workers

    @pydantic.field_validator("betas")
    @classmethod
    def _betas_are_shares(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"expected two numbers from 0 to below 1, found {list(betas)}")
        return betas

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> TrainSettings:
        if self.packing and self.micro_tokens < self.max_tokens:
            raise ValueError(f"micro_tokens {self.micro_tokens} cannot hold an example of max_tokens {self.max_tokens}")
        if self.zero.stage == 0 and self.dtype == "bfloat16":
            raise ValueError(
                "zero.stage 0 cannot add up gradients in float32 with dtype bfloat16; use stage 1, which costs no more time"
            )
        if self.model is None and self.revision is not None:
            raise ValueError("revision belongs to a model, and no model is given")
        if self.model is None and self.method == "lora":
            raise ValueError("method lora adapts a trained model, and no model is given")
        return self

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where the workers compute."""
        return "cuda" if self.gpus_per_worker else "cpu"

    @property
    def nodes(self) -> dict[str, str]:
        """The label selector of the workers."""
        if self.label_selector is not None:
            return self.label_selector
        return labels.but("boost", "cpu") if self.gpus_per_worker else labels.but("boost")

    @property
    def preparing_nodes(self) -> dict[str, str]:
        """That of the tasks that make the training set and the examples: training's machines too, as there may be no others."""
        return labels.but("boost") if self.label_selector is None else self.label_selector
