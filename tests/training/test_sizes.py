"""Parameter counts that are known, and the estimate of memory beside what DeepSpeed and autograd really keep."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from midb_ray.errors import UserError
from midb_ray.training import sizes
from midb_ray.training.settings import TrainSettings
from tests.training.making import llama_8b

if TYPE_CHECKING:
    from tests.training.early import Running

TINY = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 704,
    "vocab_size": 512,
    "tie_word_embeddings": False,
}
CELLS = [(1, "bfloat16", False), (2, "bfloat16", False), (3, "bfloat16", False), (2, "bfloat16", True)] + [
    (stage, "float32", False) for stage in (0, 1, 2, 3)
]
GIB = 2**30


def tiny() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**TINY)


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"revisions": ["a"], "output": "b", "model": "c", **changes})


def test_llama_3_1_8b_has_the_parameters_that_its_card_states() -> None:
    counted = sizes.parameters(llama_8b(), settings())
    assert counted.total == counted.trainable == 8_030_261_248
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024
    assert counted.kinds == {
        "embeddings": 128256 * 4096,
        "attention": 32 * layer,
        "mlp": 32 * 3 * 4096 * 14336,
        "norms": 65 * 4096,
        "output": 128256 * 4096,
    }
    assert (counted.largest, counted.largest_trained) == (128256 * 4096, 128256 * 4096)
    assert counted.small == 65 * 4096


def test_tied_embeddings_count_once() -> None:
    counted = sizes.parameters(llama_8b(tie_word_embeddings=True), settings())
    assert counted.total == 8_030_261_248 - 128256 * 4096
    assert "output" not in counted.kinds


def test_adapters_of_rank_64_on_all_linear_layers_are_counted_as_by_hand() -> None:
    counted = sizes.parameters(llama_8b(), settings(method="lora"))
    ends = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)  # q and o, k and v, gate and up and down
    assert counted.trainable == counted.kinds["adapters"] == 32 * 64 * ends == 167_772_160
    assert counted.total == 8_030_261_248 + 167_772_160
    assert counted.share == pytest.approx(0.02046, rel=1e-3)
    assert counted.largest_trained == 64 * 14336


def test_adapters_go_to_the_named_layers_only() -> None:
    counted = sizes.parameters(llama_8b(), settings(method="lora", lora={"rank": 8, "targets": ["q_proj", "v_proj"]}))
    assert counted.trainable == 32 * 8 * (4096 + 4096 + 4096 + 1024)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="c_attn"):
        sizes.parameters(tiny(), settings(method="lora", lora={"targets": ["c_attn"]}))


def test_a_model_that_writes_no_text_is_refused() -> None:
    from transformers import CLIPVisionConfig

    with pytest.raises(UserError, match="clip_vision_model"):
        sizes.parameters(CLIPVisionConfig(), settings())


@pytest.mark.parametrize(
    ("stage", "dtype", "workers", "each"),
    [
        (0, "float32", 8, 16),  # weights, gradients, two moments, 4 each, on every worker
        (1, "bfloat16", 8, 2 + 12 / 8 + 6),  # master and moments split; a float32 sum beside the bfloat16 gradients
        (2, "bfloat16", 8, 2 + 12 / 8 + 4 / 8),
        (3, "bfloat16", 8, 18 / 8),
        (3, "bfloat16", 1, 18),
        (3, "float32", 8, 20 / 8),
    ],
)
def test_full_training_keeps_so_many_bytes_of_each_parameter(stage: int, dtype: str, workers: int, each: float) -> None:
    given = settings(zero={"stage": stage}, dtype=dtype)
    counted = sizes.parameters(llama_8b(), given)
    assert sizes.memory(counted, llama_8b(), given, workers).static == pytest.approx(each * counted.total, rel=1e-6)


def test_frozen_weights_cost_nothing_but_themselves() -> None:
    given = settings(method="lora")
    counted = sizes.parameters(llama_8b(), given)
    needed = sizes.memory(counted, llama_8b(), given, 8)
    assert needed.weights == 2 * counted.total // 8
    assert needed.optimizer == 12 * counted.trainable // 8
    assert needed.gradients == 4 * counted.trainable // 8


def test_offload_moves_optimizer_and_weights_to_the_machine() -> None:
    plain = settings()
    moved = settings(zero={"stage": 3, "offload_optimizer": True, "offload_parameters": True})
    counted = sizes.parameters(llama_8b(), plain)
    before, after = (sizes.memory(counted, llama_8b(), given, 4) for given in (plain, moved))
    assert after.static == before.cpu == 0
    assert after.cpu == before.static
    assert after.activations == before.activations


def test_deepspeed_settings_of_the_users_own_are_followed(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"reduce_bucket_size": 1000}}')
    given = settings(zero={"stage": 2, "config": str(tmp_path / "ds.json")}, gpus_per_worker=0)
    counted = sizes.parameters(tiny(), given)
    needed = sizes.memory(counted, tiny(), given, 4)
    assert needed.weights == 2 * counted.total
    assert needed.gathered == 0
    assert needed.buffers == 2 * counted.largest + 2 * 1000


def test_logits_count_for_answers_only() -> None:
    given = settings()
    counted = sizes.parameters(llama_8b(), given)
    all_of_them, half = (sizes.memory(counted, llama_8b(), given, 8, share).logits for share in (1.0, 0.5))
    assert all_of_them - half == 128256 * 4 * 4096


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_activations_are_what_autograd_keeps(dtype: str, method: str) -> None:
    given = settings(method=method, lora={"rank": 16}, dtype=dtype, max_tokens=256, micro_tokens=256)
    kept = _kept(given)
    estimated = sizes.activations(sizes.shape(tiny()), given, 256)
    assert estimated == pytest.approx(kept, rel=0.05)


def test_gradient_checkpointing_keeps_the_inputs_of_layers_and_one_layer_at_a_time() -> None:
    given = settings(dtype="bfloat16", max_tokens=256, micro_tokens=256)
    saving = given.model_copy(update={"gradient_checkpointing": True})
    form = sizes.shape(tiny())
    one_layer = sizes.activations(form._replace(layers=2), given, 256) - sizes.activations(
        form._replace(layers=1), given, 256
    )
    assert sizes.activations(form, saving, 256) - one_layer == pytest.approx(_kept(saving), rel=0.02)


def _kept(given: TrainSettings) -> int:
    """Bytes of all that a forward pass of 256 tokens keeps for the backward pass, weights aside."""
    import torch
    from transformers import LlamaForCausalLM

    from midb_ray.training import lora

    model: Any = LlamaForCausalLM(tiny())
    if given.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if given.method == "lora":
        model = lora.apply(model, given.lora)
    model = model.to(getattr(torch, given.dtype)).train()
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=torch.randint(0, 512, (1, 256)), use_cache=False, logits_to_keep=1)
    assert output.logits.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)


def test_the_static_part_is_what_two_deepspeed_workers_keep(static_parts_running: Running) -> None:
    static_parts_running.end()
    folder = static_parts_running.folder
    found = json.loads((folder / "found.json").read_text())
    for cell, kept in zip(CELLS, found, strict=True):
        given = _cell(folder, *cell)
        counted = sizes.parameters(tiny(), given)
        whole = counted.small * (2 if given.dtype == "bfloat16" else 4) if given.zero.stage == 3 else 0
        expected = sizes.memory(counted, tiny(), given, 2).static + whole
        assert kept == pytest.approx(expected, rel=1e-3), cell


def _cell(folder: Path, stage: int, dtype: str, adapted: bool) -> TrainSettings:
    return settings(
        zero={"stage": stage, "config": str(folder / "ds.json")},
        dtype=dtype,
        method="lora" if adapted else "full",
        gpus_per_worker=0,
    )


def _work(rank: int, folder: Path) -> None:
    """One of the two workers: for each cell, the most bytes in tensors behind a micro-batch of the second step."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    import deepspeed
    from transformers import LlamaForCausalLM

    from midb_ray.training import lora, zero

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo")
    found = []
    for cell in CELLS:
        given = _cell(folder, *cell)
        before = _storages()  # of an engine that is not gone yet: held, so that none of their addresses is taken again
        model: Any = LlamaForCausalLM(tiny())
        if given.method == "lora":
            model = lora.apply(model, given.lora)
        stepper = zero.DeepSpeedStepper(model.to(getattr(torch, given.dtype)), given)
        ids = torch.randint(0, 512, (1, 16))
        most = 0
        for micro in range(4):
            stepper.backward(stepper.module(input_ids=ids, labels=ids).loss, micro % 2 == 1)
            if micro == 1:
                stepper.update(1e-4)  # makes the moments; the second step is the one to look at
            if micro > 1:
                most = max(most, sum(each.nbytes() for place, each in _storages().items() if place not in before))
        found.append(most)
        stepper.close()
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found))
    dist.barrier()


def _storages() -> dict[int, Any]:
    """What all tensors of this process lie in, by address."""
    import torch

    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor) and each.device.type == "cpu"]
    gradients = [
        each.grad for each in tensors if each.is_leaf and each.grad is not None
    ]  # unknown to Python until asked for
    return {each.untyped_storage().data_ptr(): each.untyped_storage() for each in (*tensors, *gradients)}


if __name__ == "__main__":
    _work(int(sys.argv[1]), Path(sys.argv[2]))
