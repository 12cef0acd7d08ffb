"""The model card that stands in a booster's directory: what it was made from, how, and how it ended."""

from __future__ import annotations

from typing import Any

from midb_ray.training.settings import TrainSettings

_CARD = """---
library_name: transformers
tags: [midb, instruction-data]
---
# Booster

A model that rewrites instruction pairs, trained with midb_ray {version}.

- Start: {start}
- Data: {train_examples:,} training and {validation_examples:,} validation examples in {languages} languages, from
  {sources}; {dropped:,} more were longer than {max_tokens} tokens, {cut:,} were cut to them. The licences of the revisions and
  of the start model also bind this model.
- Selection: {selected} of each language with the largest edit distance, seed {selection_seed}
- Template: `{template}`; boost with the same
- Method: {how}
- Settings: {epochs:g} epochs, {steps:,} steps of {batch}, AdamW {betas}, learning rate {learning_rate:g}
  ({schedule}, warm-up {warmup:g}), weight decay {weight_decay:g}, gradient norm at most {clip:g}, {dtype}, ZeRO stage
  {stage}, {workers} worker(s) at the end, seed {seed}

## Loss per answer token

Training, over the last steps: {loss}

{table}
"""


def text(settings: TrainSettings, facts: dict[str, Any], loss: float | None, validation: dict[str, float]) -> str:
    """The card as Markdown. `facts` are those of `prepare.Prepared`; `validation` has the loss of each language."""
    selection, low = settings.selection, settings.lora
    adapters = (
        f"LoRA of rank {low.rank}, alpha {low.alpha:g}, dropout {low.dropout:g} on {', '.join(low.targets)}, merged"
    )
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in sorted(validation.items()))
    return _CARD.format(
        **{**settings.model_dump(), **facts},
        selected=f"the {selection.count}" if selection.count else f"the {100 * selection.share:g} %",
        how="all weights" if settings.method == "full" else adapters,
        batch=f"{settings.batch_size} examples"
        if settings.batch_tokens is None
        else f"{settings.batch_tokens:,} tokens",
        stage=settings.zero.stage,
        loss="not known" if loss is None else f"{loss:.4f}",
        table=f"| language | validation |\n|---|---:|\n{rows}" if rows else "There was no validation set.",
    )
