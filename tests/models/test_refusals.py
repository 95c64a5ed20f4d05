"""A model that can't be read is refused with the reason, before its weights are."""

import json
import subprocess
import sys

import pytest
import torch
import transformers

from acdc.errors import ModelError, TaskError
from acdc.models import FAMILIES, PatchableModel
from acdc.models.families import family_of
from tests.configs import CONFIGS
from tests.tiny import NumberTokenizer, tiny_batch, tiny_model

POST_NORM = "normalises the residual stream itself"
ENCODER_DECODER = "an encoder and a decoder joined by cross-attention"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (transformers.OPTConfig(do_layer_norm_before=False), POST_NORM),
        (transformers.OPTConfig(word_embed_proj_dim=8, hidden_size=16), r"another width \(8\)"),
        (transformers.BloomConfig(apply_residual_connection_post_layernorm=True), POST_NORM),
        (transformers.Gemma2Config(attention_bias=True), "neither a head's nor a constant"),
        (transformers.Gemma3TextConfig(use_bidirectional_attention=True), "is bidirectional"),
        (
            transformers.LlamaConfig(quantization_config={"quant_method": "fp8"}),
            r"quantised \(fp8\), so they can't be seen per head",
        ),
        (transformers.T5Config(), ENCODER_DECODER),
        (transformers.BartConfig(), ENCODER_DECODER),
        (transformers.BertConfig(), POST_NORM),
        (transformers.RobertaConfig(), POST_NORM),
        (transformers.OpenAIGPTConfig(), POST_NORM),
        (transformers.MambaConfig(), "without attention heads"),
        (transformers.DeepseekV3Config(), "latent attention"),
        (transformers.Qwen3NextConfig(), "linear attention"),
        (transformers.Gemma4TextConfig(), "scales the whole residual stream"),
        (transformers.OlmoeConfig(clip_qkv=1.0), "clipped after their norm"),
    ],
    ids=lambda value: value.model_type if hasattr(value, "model_type") else "",
)
def test_the_reason_is_named(config: transformers.PretrainedConfig, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        family_of(config)
    assert repr(config.model_type) in str(caught.value)


def test_an_unknown_type_is_told_what_is_supported() -> None:
    with pytest.raises(ModelError, match="'codegen'") as caught:
        family_of(transformers.CodeGenConfig())
    assert all(name in str(caught.value) for name in FAMILIES)


def test_prompts_beyond_the_original_context_of_longrope_are_refused() -> None:
    """Beyond it the tables of all prompts depend on the longest of the batch."""
    torch.manual_seed(0)
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 100.0, "original_max_position_embeddings": 8, **factors}
    config = CONFIGS["phi3"]().to_dict() | {"rope_parameters": rope, "original_max_position_embeddings": 8}
    hf = transformers.AutoModelForCausalLM.from_config(transformers.Phi3Config.from_dict(config)).eval()
    model = PatchableModel(hf, NumberTokenizer(), name="longrope")
    model.check_batch(tiny_batch(lengths=(8, 6)))
    with pytest.raises(TaskError, match=r"a prompt of 9 tokens, longer than the context of 'longrope' \(8 tokens\)"):
        model.check_batch(tiny_batch())


def test_llama_4_s_prompts_end_where_attention_comes_in_chunks() -> None:
    config = CONFIGS["llama4"]()
    config.max_position_embeddings = 10**6
    hf = transformers.AutoModelForCausalLM.from_config(config).eval()
    assert PatchableModel(hf, NumberTokenizer()).n_context == 8191, "one less than where scores begin to grow"
    assert tiny_model("llama4").n_context == 32


def test_a_rotation_that_stretches_before_llama_4_s_norm_is_refused() -> None:
    rope = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 8}
    config = CONFIGS["llama4"]().to_dict() | {"rope_parameters": rope}
    hf = transformers.AutoModelForCausalLM.from_config(transformers.Llama4TextConfig.from_dict(config)).eval()
    with pytest.raises(ModelError, match="its rotation changes lengths"):
        PatchableModel(hf, NumberTokenizer())


def test_alibi_has_no_longest_prompt() -> None:
    assert tiny_model("bloom").n_context is None
    assert tiny_model("gpt2").n_context == 32


def test_every_family_has_a_model_in_the_tests() -> None:
    assert {make().model_type for make in CONFIGS.values()} == set(FAMILIES)


def test_the_command_lists_families_and_what_was_checked() -> None:
    out = subprocess.run([sys.executable, "-m", "acdc", "models", "--json"], capture_output=True, check=True).stdout
    rows = {row["name"]: row for row in json.loads(out)}
    for name, family in FAMILIES.items():
        assert rows[name]["checked"] == family.tested
        assert rows[name]["what"] == family.models


def test_declarations_need_no_transformers_at_import() -> None:
    code = "import sys, acdc.models.families; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
