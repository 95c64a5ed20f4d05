"""Tiny configs of every family, and which of them stand for the others."""

import transformers

VOCAB = 50
TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}


def _gpt2(**changes: object) -> transformers.PretrainedConfig:
    shape = {
        "n_layer": 3,
        "n_head": 2,
        "n_embd": 16,
        "n_positions": 32,
        "vocab_size": VOCAB,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return transformers.GPT2Config(**(shape | changes))


def _rotary(config: type, **changes: object) -> transformers.PretrainedConfig:
    shape = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 32,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
    }
    return config(**(shape | TOKENS | changes))


def _small(config: type, **changes: object) -> transformers.PretrainedConfig:
    return _rotary(config, **({"num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24} | changes))


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "decoder_sparse_step": 1}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 8,
    "truncate": False,
}
GQA_FALCON = {"num_attention_heads": 4, "num_kv_heads": 2}
CONFIGS = {
    "gpt2": lambda: _gpt2(),
    "gpt2-scaled": lambda: _gpt2(scale_attn_by_inverse_layer_idx=True),
    "gpt2-untied": lambda: _gpt2(tie_word_embeddings=False),
    "neox-parallel": lambda: _rotary(transformers.GPTNeoXConfig, rotary_pct=0.5),
    "neox-serial": lambda: _rotary(transformers.GPTNeoXConfig, use_parallel_residual=False, attention_bias=False),
    "llama": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=4),
    "llama-gqa": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "llama-mqa": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=1, head_dim=10),
    "mistral-window": lambda: _rotary(transformers.MistralConfig, num_key_value_heads=2, sliding_window=4),
    "qwen2": lambda: _rotary(transformers.Qwen2Config, num_key_value_heads=2),
    "qwen2-window": lambda: _rotary(
        transformers.Qwen2Config, num_key_value_heads=2, use_sliding_window=True, sliding_window=3, max_window_layers=1
    ),
    "gpt-neo": lambda: transformers.GPTNeoConfig(
        num_layers=2,
        num_heads=2,
        hidden_size=16,
        attention_types=[[["global", "local"], 1]],
        window_size=4,
        max_position_embeddings=32,
        **TOKENS,
    ),
    "gptj": lambda: transformers.GPTJConfig(n_layer=2, n_head=2, n_embd=16, rotary_dim=4, n_positions=32, **TOKENS),
    "opt": lambda: _small(transformers.OPTConfig, ffn_dim=24, word_embed_proj_dim=16),
    "bloom": lambda: transformers.BloomConfig(n_layer=2, n_head=2, hidden_size=16, **TOKENS),
    "bloom-3-heads": lambda: transformers.BloomConfig(n_layer=2, n_head=3, hidden_size=24, **TOKENS),
    "falcon-mqa": lambda: _small(transformers.FalconConfig),
    "falcon-mha": lambda: _small(transformers.FalconConfig, multi_query=False, parallel_attn=False, bias=True),
    "falcon-gqa": lambda: _small(transformers.FalconConfig, new_decoder_architecture=True, **GQA_FALCON),
    "falcon-one-norm": lambda: _small(
        transformers.FalconConfig, new_decoder_architecture=True, num_ln_in_parallel_attn=1, **GQA_FALCON
    ),
    "falcon-alibi": lambda: _small(transformers.FalconConfig, alibi=True, multi_query=False),
    "mixtral": lambda: _small(
        transformers.MixtralConfig, num_key_value_heads=1, sliding_window=4, num_local_experts=4, num_experts_per_tok=2
    ),
    "qwen2-moe": lambda: _small(
        transformers.Qwen2MoeConfig,
        num_key_value_heads=2,
        mlp_only_layers=[0],
        shared_expert_intermediate_size=12,
        **EXPERTS,
    ),
    "qwen3": lambda: _small(
        transformers.Qwen3Config,
        num_key_value_heads=1,
        head_dim=8,
        use_sliding_window=True,
        sliding_window=4,
        max_window_layers=1,
    ),
    "qwen3-moe": lambda: _small(transformers.Qwen3MoeConfig, num_key_value_heads=1, head_dim=8, **EXPERTS),
    "gemma": lambda: _small(transformers.GemmaConfig, num_key_value_heads=2, head_dim=8),
    "gemma-mqa": lambda: _small(transformers.GemmaConfig, num_key_value_heads=1, head_dim=10),
    "gemma2": lambda: _small(
        transformers.Gemma2Config,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        query_pre_attn_scalar=10,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    ),
    "gemma3": lambda: _small(
        transformers.Gemma3TextConfig,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        query_pre_attn_scalar=10,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "olmo": lambda: _small(transformers.OlmoConfig, clip_qkv=0.8),
    "olmo-gqa": lambda: _small(transformers.OlmoConfig, num_key_value_heads=1, attention_bias=True),
    "olmo2": lambda: _small(transformers.Olmo2Config, num_key_value_heads=2),
    "olmo2-gqa": lambda: _small(
        transformers.Olmo2Config, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1
    ),
    "phi": lambda: _small(transformers.PhiConfig, partial_rotary_factor=0.5),
    "phi-norms": lambda: _small(transformers.PhiConfig, num_key_value_heads=1, qk_layernorm=True),
    "phi3": lambda: _small(transformers.Phi3Config, num_key_value_heads=2),
    "phi3-gqa": lambda: _small(
        transformers.Phi3Config, num_key_value_heads=1, sliding_window=4, partial_rotary_factor=0.5
    ),
    "stablelm": lambda: _small(transformers.StableLmConfig, num_key_value_heads=1, use_qkv_bias=True),
    "stablelm-parallel": lambda: _small(
        transformers.StableLmConfig, num_key_value_heads=2, use_parallel_residual=True, qk_layernorm=True
    ),
    "granite": lambda: _small(
        transformers.GraniteConfig,
        num_key_value_heads=1,
        attention_bias=True,
        embedding_multiplier=3.0,
        attention_multiplier=0.3,
        residual_multiplier=0.4,
        logits_scaling=2.0,
    ),
    "smollm3": lambda: _small(
        transformers.SmolLM3Config,
        num_key_value_heads=1,
        no_rope_layers=[1, 0],
        use_sliding_window=True,
        sliding_window=4,
    ),
    "starcoder2": lambda: _small(transformers.Starcoder2Config, num_key_value_heads=1, sliding_window=4),
    "olmoe": lambda: _small(
        transformers.OlmoeConfig, num_key_value_heads=2, num_experts=4, num_experts_per_tok=4, intermediate_size=12
    ),
    "olmoe-two": lambda: _small(
        transformers.OlmoeConfig, num_key_value_heads=1, num_experts=4, num_experts_per_tok=2, intermediate_size=12
    ),
    "olmo3": lambda: _small(
        transformers.Olmo3Config,
        num_key_value_heads=1,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "cohere": lambda: _small(transformers.CohereConfig, num_key_value_heads=1, logit_scale=0.3),
    "cohere-norms": lambda: _small(
        transformers.CohereConfig, num_key_value_heads=1, use_qk_norm=True, attention_bias=True
    ),
    "cohere2": lambda: _small(
        transformers.Cohere2Config,
        num_key_value_heads=1,
        logit_scale=0.3,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "llama4": lambda: _small(
        transformers.Llama4TextConfig,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size_mlp=20,
        intermediate_size=12,
        num_local_experts=4,
        num_experts_per_tok=2,
        moe_layers=[1],
        no_rope_layers=[1, 0],
    ),
    "dots1": lambda: _small(
        transformers.Dots1Config,
        num_key_value_heads=1,
        head_dim=8,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=1,
        moe_intermediate_size=12,
    ),
    "gemma3-multimodal": lambda: transformers.Gemma3Config(
        text_config=CONFIGS["gemma3"]().to_dict(),
        vision_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "image_size": 8,
            "patch_size": 4,
        },
        mm_tokens_per_image=4,
    ),
    "gpt-oss": lambda: _small(
        transformers.GptOssConfig,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_parameters=YARN,
    ),
}
VARIANTS = (  # of a family that another name stands for, where to try all would take long
    "gpt2-scaled",
    "gpt2-untied",
    "neox-serial",
    "llama",
    "llama-mqa",
    "qwen2",
    "bloom-3-heads",
    "falcon-mha",
    "falcon-mqa",
    "falcon-one-norm",
    "cohere-norms",
    "gemma-mqa",
    "gemma3-multimodal",
    "olmo-gqa",
    "olmoe-two",  # rounding may choose other experts
    "olmo2-gqa",
    "phi-norms",
    "phi3",
    "stablelm",
)
ONE_EACH = [name for name in CONFIGS if name not in VARIANTS]
EXPERT_FAMILIES = ("mixtral", "qwen2-moe", "qwen3-moe", "gpt-oss", "olmoe", "olmoe-two", "dots1", "llama4")
