"""Two texts are as near as their embeddings by the library's own words, whatever shares the batch and however long they are."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from midb_ray.engines import encoder
from midb_ray.engines.base import Comparison, EngineError
from midb_ray.errors import UserError

TEXTS = (
    "the cat sat",
    "a dog eats bread",
    "Paris sings",
    "in the big red house",
    "x",
    "small dogs , cats ?",
    "a " * 13,
)
LONGEST = 16
_WORDS = "the cat dog sat on mat in house big small red blue sings eats fish bread query paris ##s ##ing"


def _tokenizer() -> PreTrainedTokenizerFast:
    letters = "abcdefghijklmnopqrstuvwxyz.,?:"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *_WORDS.split()]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LONGEST,
    )


def _sizes(**changes: Any) -> dict[str, Any]:
    sizes = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {**sizes, "intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.4, **changes}


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without the files of sentence-transformers, with random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(7)
    BertModel(BertConfig(**_sizes())).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy with pooling by the first token, and a matrix with tanh."""
    folder = Path(shutil.copytree(plain, tmp_path / "model"))
    _modules(folder, "models.Transformer", "models.Pooling", "models.Dense")
    _write(folder / "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    _write(folder / "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    torch.manual_seed(8)
    weights = {"linear.weight": torch.randn(8, 32) / 4, "linear.bias": torch.randn(8)}
    save_file(weights, folder / "2_Dense/model.safetensors")
    return folder


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def _modules(folder: Path, *kinds: str) -> None:
    listed = []
    for i, kind in enumerate(kinds):
        path = "" if i == 0 else f"{i}_{kind.rpartition('.')[2]}"
        listed.append({"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"})
    _write(folder / "modules.json", listed)


def _pool(folder: Path, **config: Any) -> None:
    _modules(folder, "base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling")
    _write(folder / "1_Pooling/config.json", config)


def _pairs(texts: Sequence[str]) -> list[Comparison]:
    return [Comparison(one, other) for one in texts for other in texts]


def _compare(folder: Path, rows: Sequence[Comparison]) -> list[float]:
    found = encoder.load(str(folder), None, "cpu").similarities(rows)
    assert [similarity.error for similarity in found] == [None] * len(rows)
    return [similarity.cosine for similarity in found]


@torch.inference_mode()
def _states(folder: Path, text: str) -> torch.Tensor:
    """What the library's model says of each token of a text by itself."""
    given = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    states: torch.Tensor = AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state[0]
    return states


def _cosines(vectors: Sequence[torch.Tensor]) -> list[float]:
    return [float(torch.cosine_similarity(one, other, dim=0)) for one in vectors for other in vectors]


def _close(numbers: Any) -> Any:
    return pytest.approx(numbers, abs=1e-5)


def test_without_a_recipe_the_embedding_is_the_mean_over_the_tokens(plain: Path) -> None:
    expected = _cosines([_states(plain, text).mean(dim=0) for text in TEXTS])
    assert min(expected) < 0.8  # else anything would do
    assert _compare(plain, _pairs(TEXTS)) == _close(expected)


def test_the_first_token_goes_through_a_matrix_and_tanh(folder: Path) -> None:
    weights = load_file(folder / "2_Dense/model.safetensors")
    first = [_states(folder, text)[0] for text in TEXTS]
    expected = _cosines([torch.tanh(weights["linear.weight"] @ one + weights["linear.bias"]) for one in first])
    assert expected != _close(_cosines(first))
    assert _compare(folder, _pairs(TEXTS)) == _close(expected)


@pytest.mark.parametrize("mode", [{"pooling_mode": "lasttoken"}, {"pooling_mode_lasttoken": True}])
def test_the_last_token_is_that_of_each_text(folder: Path, mode: dict[str, Any]) -> None:
    _pool(folder, **mode)
    assert _compare(folder, _pairs(TEXTS)) == _close(_cosines([_states(folder, text)[-1] for text in TEXTS]))


def test_prompt_lower_case_and_dimensions_are_as_the_files_say(folder: Path) -> None:
    _pool(folder, pooling_mode="mean")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    _write(folder / "tokenizer.json", tokenizer)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": LONGEST, "do_lower_case": True})
    settings = {"prompts": {"q": "query: ", "p": "fish"}, "default_prompt_name": "q", "truncate_dim": 5}
    _write(folder / "config_sentence_transformers.json", settings)
    texts = TEXTS[:5]
    expected = _cosines([_states(folder, f"query: {text.lower()}").mean(dim=0)[:5] for text in texts])
    assert _compare(folder, _pairs([text.upper() for text in texts])) == _close(expected)


def test_what_shares_the_batch_changes_nothing(plain: Path) -> None:
    rows = [Comparison(*TEXTS[:2]), Comparison("the big house " * 9, TEXTS[2]), Comparison(*TEXTS[4:6])]
    alone = [cosine for row in rows for cosine in _compare(plain, [row])]
    assert _compare(plain, rows) == _close(alone)
    assert _compare(plain, rows[::-1]) == _close(alone[::-1])


def test_a_long_text_is_the_mean_of_its_pieces_by_their_tokens(plain: Path) -> None:
    words = ("the cat sat on the red mat in a big house " * 3).split()
    size = LONGEST - 2  # [CLS] and [SEP] stand in each piece
    parts = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
    assert len(parts[0].split()) != len(parts[-1].split())  # else weights would not matter
    mean = sum(_states(plain, part).mean(dim=0) * len(part.split()) for part in parts)
    assert isinstance(mean, torch.Tensor)
    expected = _cosines([mean, _states(plain, TEXTS[0]).mean(dim=0)])[1]
    assert _compare(plain, [Comparison(" ".join(words), TEXTS[0])]) == _close([expected])


def test_a_gigantic_text_goes_through_in_batches(
    plain: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[torch.Size]
) -> None:
    monkeypatch.setattr("midb_ray.engines.encoder_pieces._BLOCK", 1000)
    found = _compare(plain, [Comparison("the cat sat on the mat " * 3000, "the cat sat on the mat " * 6000)])
    assert found == pytest.approx([1], abs=1e-3)
    assert max(size.numel() for size in sizes) <= 8192
    assert sum(size.numel() for size in sizes) >= 6 * 9000


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Rows and width of each pass through a BERT."""
    seen: list[torch.Size] = []
    forward = BertModel.forward

    def watched(self: BertModel, input_ids: torch.Tensor, **options: Any) -> Any:
        seen.append(input_ids.shape)
        return forward(self, input_ids, **options)

    monkeypatch.setattr(BertModel, "forward", watched)
    return seen


def test_equal_texts_are_embedded_once(plain: Path, sizes: list[torch.Size]) -> None:
    loaded = encoder.load(str(plain), None, "cpu")
    sizes.clear()
    found = loaded.similarities([Comparison(TEXTS[0], TEXTS[1]), Comparison(TEXTS[1], TEXTS[0])] * 50)
    assert sum(size[0] for size in sizes) == 2
    assert len({round(similarity.cosine, 6) for similarity in found}) == 1
    assert loaded.similarities([]) == []


@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("empty", ["", " \n\t", "\u200b"])
def test_without_text_there_is_no_similarity(folder: Path, prompt: str, empty: str) -> None:
    _write(folder / "config_sentence_transformers.json", {"prompts": {"q": prompt}, "default_prompt_name": "q"})
    loaded = encoder.load(str(folder), None, "cpu")
    found = loaded.similarities([Comparison(empty, "a cat"), Comparison("a cat", "a cat"), Comparison("a cat", empty)])
    for similarity in (found[0], found[2], *loaded.similarities([Comparison(empty, empty)])):
        assert math.isnan(similarity.cosine)
        assert similarity.error == "there is no text to compare"
    assert found[1] == (pytest.approx(1), None)


def test_lone_surrogates_and_special_tokens_are_text(plain: Path) -> None:
    rows = [Comparison("a cat \ud800", "a cat ?"), Comparison("cat [SEP]", "the dog")]
    surrogate, special = _compare(plain, rows)
    assert surrogate == pytest.approx(1)
    ids = _tokenizer().convert_tokens_to_ids(["[CLS]", "cat", "[UNK]", "s", "##e", "##p", "[UNK]", "[SEP]"])
    with torch.inference_mode():
        states = AutoModel.from_pretrained(plain).eval()(torch.tensor([ids])).last_hidden_state[0]
    expected = _cosines([states.mean(dim=0), _states(plain, "the dog").mean(dim=0)])[1]
    assert special == _close(expected)


def test_an_embedding_that_is_not_finite_costs_its_row_alone(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    unknown = _tokenizer().convert_tokens_to_ids("fish")
    weights["embeddings.word_embeddings.weight"][unknown] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    rows = [Comparison("the cat", "a dog"), Comparison("a fish", "a dog")]
    good, bad = encoder.load(str(folder), None, "cpu").similarities(rows)
    assert good.error is None
    assert math.isfinite(good.cosine)
    assert math.isnan(bad.cosine)
    assert bad.error == "the encoder gives no finite embedding"


def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception, rows: int) -> list[int]:
    """Has BERT raise for more than so many rows; the rows of each pass."""
    seen: list[int] = []
    forward = BertModel.forward

    def failing(self: BertModel, input_ids: torch.Tensor, **options: Any) -> Any:
        seen.append(len(input_ids))
        if len(input_ids) > rows:
            raise error
        return forward(self, input_ids, **options)

    monkeypatch.setattr(BertModel, "forward", failing)
    monkeypatch.setattr("midb_ray.engines.devices.release_memory", lambda: None)  # long among a test run's objects
    return seen


def test_out_of_memory_halves_the_batches_from_then_on(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Comparison(f"the cat {letter}", f"a dog {letter}") for letter in "abcdefgh"]
    expected = _compare(plain, rows)
    loaded = encoder.load(str(plain), None, "cpu")
    seen = _failing(monkeypatch, torch.OutOfMemoryError("out of memory"), 3)
    assert [similarity.cosine for similarity in loaded.similarities(rows)] == _close(expected)
    assert seen[:3] == [16, 8, 4]
    seen.clear()
    assert [similarity.cosine for similarity in loaded.similarities(rows)] == _close(expected)
    assert max(seen) <= 3


def test_out_of_memory_on_one_text_alone_is_raised(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoder.load(str(plain), None, "cpu")
    seen = _failing(monkeypatch, torch.OutOfMemoryError("out of memory"), 0)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.similarities(_pairs(TEXTS[:2]))
    assert seen == [2, 1]


def test_a_dead_device_is_the_end_of_the_engine(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoder.load(str(plain), None, "cpu")
    seen = _failing(monkeypatch, RuntimeError("CUDA error: an illegal memory access\n was met"), 0)
    with pytest.raises(EngineError, match="illegal memory access was met"):
        loaded.similarities(_pairs(TEXTS[:2]))
    assert seen == [2]


def test_positions_behind_a_padding_index_are_not_overrun(tmp_path: Path) -> None:
    """XLM-R of 514 positions takes 512 tokens; here 18 and 16, and nothing else names a limit."""
    torch.manual_seed(7)
    XLMRobertaModel(XLMRobertaConfig(**_sizes(max_position_embeddings=18), pad_token_id=1)).save_pretrained(tmp_path)
    tokenizer = _tokenizer()
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(tmp_path)
    long = "the cat sat on the mat in the big red house " * 4
    assert _compare(tmp_path, [Comparison(long, long), Comparison(long, "dog")])[0] == pytest.approx(1)


def test_of_an_encoder_and_decoder_the_encoder_is_asked(tmp_path: Path) -> None:
    torch.manual_seed(7)
    config = T5Config(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, initializer_factor=3.0)
    whole = T5ForConditionalGeneration(config).eval()
    whole.save_pretrained(tmp_path)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(tmp_path)
    with torch.inference_mode():
        vectors = [whole.encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS[:3]]
    expected = _cosines([vector.mean(dim=0) for vector in vectors])
    assert _compare(tmp_path, _pairs(TEXTS[:3])) == _close(expected)


def test_the_facts_of_a_whole_encoder(folder: Path) -> None:
    weights = [folder / "model.safetensors", folder / "2_Dense/model.safetensors"]
    assert encoder.check(str(folder)) == (sum(path.stat().st_size for path in weights), None)
    with pytest.raises(UserError, match="is a directory; only hub ids have revisions"):
        encoder.check(str(folder), "main")


def _changed(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: _write(folder / name, value)


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _pickled(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).rename((folder / name).parent / "pytorch_model.bin")


def _cut_off(folder: Path) -> None:
    weights = folder / "2_Dense/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _more_than_a_matrix(folder: Path) -> None:
    save_file({"linear.weight": torch.zeros(8, 32), "gate": torch.zeros(8)}, folder / "2_Dense/model.safetensors")


def _kinds(*kinds: str) -> Callable[[Path], object]:
    return lambda folder: _modules(folder, *kinds)


def _elsewhere(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    _write(folder / "modules.json", [*modules[:2], {**modules[2], "path": "../2_Dense"}])


def _few_embeddings(folder: Path) -> None:
    BertModel(BertConfig(**_sizes(vocab_size=40))).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_changed("adapter_config.json", {"r": 8}), "holds an adapter .* beside its model"),
        (_changed("config.json", {"model_type": "my_own", "auto_map": {"AutoConfig": "code.C"}}), "Cannot use config"),
        (_changed("config.json", []), "expected a JSON object, found list"),
        (_without("config.json"), "has no config.json"),
        (_without("tokenizer.json"), "Cannot load a tokenizer"),
        (_without("model.safetensors"), "has no weights: expected model.safetensors"),
        (_without("1_Pooling/config.json"), "Cannot read .*1_Pooling/config.json"),
        (_without("2_Dense/model.safetensors"), "2_Dense has no weights: expected model.safetensors"),
        (_pickled("model.safetensors"), "only as pytorch_model.bin, a format that can run code"),
        (_pickled("2_Dense/model.safetensors"), "2_Dense has its weights only as pytorch_model.bin, a format that can"),
        (_cut_off, "2_Dense/model.safetensors .* was cut off, copy the model again"),
        (_more_than_a_matrix, "2_Dense/model.safetensors holds gate, linear.weight; expected linear.weight"),
        (_changed("2_Dense/config.json", {"activation_function": "os.system"}), "has the activation 'system'"),
        (_changed("2_Dense/config.json", {"use_residual": True}), "is more than a matrix"),
        (_changed("modules.json", {}), "is no list of modules with a type and a path"),
        (_changed("modules.json", [{"path": ""}]), "is no list of modules with a type and a path"),
        (_kinds("models.Transformer", "models.Pooling", "models.LSTM"), "has a module 'LSTM'"),
        (_kinds("models.CLIPModel"), "has a module 'CLIPModel'"),
        (
            _kinds("models.Transformer", "models.Dense", "models.Pooling"),
            "expected one Transformer and then one Pooling",
        ),
        (_elsewhere, "has a module in '../2_Dense'"),
        (_changed("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}), "pools by mean, max; expected one of"),
        (_changed("1_Pooling/config.json", {"pooling_mode_max_tokens": True}), "pools by max; expected one of"),
        (_changed("config_sentence_transformers.json", {"default_prompt_name": "q"}), "no prompt of that name"),
        (_changed("sentence_bert_config.json", {"max_seq_length": "long"}), "'long' as its max_seq_length"),
        (_changed("sentence_bert_config.json", {"transformer_task": "fill-mask"}), "has a module 'fill-mask'"),
        (_few_embeddings, "has ids up to .* but the model knows only 40 tokens"),
    ],
)
def test_a_damaged_or_unknown_encoder_is_refused_in_one_sentence(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        encoder.check(str(folder))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_refused_when_loaded(folder: Path) -> None:
    save_file({"linear.weight": torch.zeros(8, 31)}, folder / "2_Dense/model.safetensors")
    with pytest.raises(UserError, match="gives no embeddings of texts on cpu"):
        encoder.load(str(folder), None, "cpu")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, encoder.layer.1.output.dense.weight"):
        encoder.load(str(folder), None, "cpu")


def test_a_limit_below_one_token_of_text_is_refused(folder: Path) -> None:
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 2})
    with pytest.raises(UserError, match="takes at most 2 tokens, too few for any text"):
        encoder.load(str(folder), None, "cpu")


def _another_matrix(folder: Path) -> None:
    weights = load_file(folder / "2_Dense/model.safetensors")
    save_file({**weights, "linear.bias": weights["linear.bias"] + 1}, folder / "2_Dense/model.safetensors")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_another_matrix, "2_Dense/model.safetensors"),
        (_changed("1_Pooling/config.json", {"pooling_mode": "mean"}), "1_Pooling/config.json"),
        (_changed("2_Dense/config.json", {"activation_function": "Identity"}), "2_Dense/config.json"),
        (_changed("sentence_bert_config.json", {"max_seq_length": 9}), "sentence_bert_config.json"),
        (_changed("config_sentence_transformers.json", {"truncate_dim": 4}), "config_sentence_transformers.json"),
        (_changed("README.md", "note"), None),
    ],
)
def test_what_changes_an_embedding_makes_another_encoder(
    folder: Path, change: Callable[[Path], object], name: str | None
) -> None:
    before = encoder.identity(str(folder))["files"]
    assert {"modules.json", "model.safetensors", "tokenizer.json"} <= set(before)
    change(folder)
    after = encoder.identity(str(folder))["files"]
    assert [file for file in after if after[file] != before.get(file)] == ([] if name is None else [name])


def test_a_hub_id_is_the_same_encoder_also_from_the_cache_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of a hub as its library lays it out, and no network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--encoder"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    row = Comparison("the cat", "a dog")
    assert encoder.check("someone/encoder") == (0, commit)
    assert encoder.identity("someone/encoder") == {"hub": "someone/encoder", "commit": commit}
    (found,) = encoder.load("someone/encoder", commit, "cpu").similarities([row])
    assert [found.cosine] == _close(_compare(folder, [row]))
    (repository / "snapshots" / commit / "2_Dense/model.safetensors").unlink()
    with pytest.raises(UserError, match="2_Dense has no weights"):
        encoder.check("someone/encoder")
    with pytest.raises(UserError, match="someone/else is no directory here and cannot be had from the hub"):
        encoder.check("someone/else")
