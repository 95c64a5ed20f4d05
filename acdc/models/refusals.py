"""Why some models are no computational graph of ours: of a supported family, and of others.

A residual stream is the sum of what its sources wrote. That is so where a block normalises what it reads (pre-norm),
or what it adds; not where it normalises the stream itself (post-norm, as in the first transformers).
"""

from typing import Any

__all__ = ["POST_NORM", "biased_post_norm", "bidirectional", "quantised", "reason_against"]

POST_NORM = (
    "it normalises the residual stream itself after each component (post-norm), so the stream is not the sum of what "
    "heads and MLPs write, and there are no edges to cut"
)
ENCODER_DECODER = (
    "it is an encoder and a decoder joined by cross-attention, and the graph has one causal stack of blocks: only "
    "decoder-only models can be read"
)
MASKED = "it reads in both directions and predicts masked tokens, not the next one"
RECURRENT = "it has layers without attention heads (recurrence or a state space)"
SCALED_STREAM = (
    "each of its layers scales the whole residual stream, so the stream is not the sum of what heads and MLPs write; "
    "and later layers attend with the keys and values of earlier ones"
)
LATENT = (
    "its keys and values come from a latent that all heads share (latent attention), not from the heads' own inputs"
)
LINEAR = "three of its four layers are linear attention, a recurrence, and the fourth gates its heads"
POST_NORM_TYPES = ("albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm", "xlm-roberta")
OTHERS = {
    "openai-gpt": POST_NORM,
    **dict.fromkeys(("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"), SCALED_STREAM),
    **dict.fromkeys(("gemma3n", "gemma3n_text"), "it keeps four residual streams that predict each other (AltUp)"),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4"), LATENT),
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), LINEAR),
    "llama4": "it reads images too; load its text model by itself (model_type 'llama4_text')",
    **dict.fromkeys(POST_NORM_TYPES, f"{POST_NORM}; and {MASKED}"),
    **dict.fromkeys(("deberta", "deberta-v2", "modernbert"), MASKED),
    **dict.fromkeys(("mamba", "mamba2", "rwkv", "jamba", "recurrent_gemma"), RECURRENT),
}


def reason_against(config: Any) -> str | None:
    """Why no model of this type can be read, where more is known than that nobody declared it."""
    if getattr(config, "is_encoder_decoder", False):
        return ENCODER_DECODER
    return OTHERS.get(config.model_type)


def quantised(config: Any) -> str | None:
    """Weights packed into few bits.

    MXFP4 packs experts alone, whose module is called as it is; GGUF is mostly unpacked by transformers.
    """
    settings = getattr(config, "quantization_config", None)
    method = settings.get("quant_method") if isinstance(settings, dict) else getattr(settings, "quant_method", None)
    if method is None or (name := str(getattr(method, "value", method))) in ("mxfp4", "gguf"):
        return None
    return f"its weights are quantised ({name}), so they can't be seen per head; load one in bfloat16"


def bidirectional(config: Any) -> str | None:
    """Gemma's embedding models."""
    if getattr(config, "use_bidirectional_attention", None):
        return "its attention is bidirectional (use_bidirectional_attention), and the graph is causal"
    return None


def biased_post_norm(config: Any) -> str | None:
    """A bias of attention's output would be no constant after the norm; no released model has one."""
    if config.attention_bias:
        return (
            "it has a norm after attention and a bias before that norm (attention_bias is true), so the bias is "
            "neither a head's nor a constant"
        )
    return bidirectional(config)
