"""One declaration per model family: where its parts are in the Hugging Face model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from acdc.models.parts import Attention, Block, Parts

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """A supported architecture.

    Attributes:
        name: The name that users know.
        read: Makes the parts of a live model.
        models: Models of this family, for `acdc models`.
    """

    name: str
    read: Callable[[Any], Parts]
    models: str


def gpt2(hf: Any) -> Parts:
    """GPT-2: learned positions, q, k and v side by side in `c_attn` ([d_model, 3 d_model])."""
    body = hf.transformer
    n_heads, d_model = hf.config.n_head, hf.config.n_embd

    def block(layer: Any) -> Block:
        q, k, v = (part.view(d_model, n_heads, -1).transpose(0, 1) for part in layer.attn.c_attn.weight.chunk(3, 1))
        b_q, b_k, b_v = layer.attn.c_attn.bias.view(3, n_heads, -1)
        w_o = layer.attn.c_proj.weight.view(n_heads, -1, d_model)
        scale = layer.attn.scaling
        attention = Attention(q, k, v, w_o, b_q, b_k, b_v, layer.attn.c_proj.bias, scale)
        return Block(attention, layer.ln_1, layer.ln_2, layer.mlp)

    return Parts(
        embed=lambda ids, positions: body.wte(ids) + body.wpe(positions),
        blocks=tuple(block(layer) for layer in body.h),
        final_norm=body.ln_f,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
        rotary=None,
    )


def gpt_neox(hf: Any) -> Parts:
    """GPT-NeoX and Pythia: rotary on a part of each head; q, k and v of each head side by side in one projection."""
    body = hf.gpt_neox
    n_heads, d_model = hf.config.num_attention_heads, hf.config.hidden_size

    def block(layer: Any) -> Block:
        fused, dense = layer.attention.query_key_value, layer.attention.dense
        q, k, v = fused.weight.view(n_heads, 3, -1, d_model).transpose(2, 3).unbind(1)
        b_q, b_k, b_v = (None,) * 3 if fused.bias is None else fused.bias.view(n_heads, 3, -1).unbind(1)
        attention = Attention(q, k, v, _output(dense, n_heads), b_q, b_k, b_v, dense.bias, layer.attention.scaling)
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, layer.mlp)

    return Parts(
        embed=lambda ids, positions: body.embed_in(ids),
        blocks=tuple(block(layer) for layer in body.layers),
        final_norm=body.final_layer_norm,
        unembed=hf.get_output_embeddings().weight,
        unembed_bias=hf.get_output_embeddings().bias,
        rotary=body.rotary_emb,
        parallel=bool(hf.config.use_parallel_residual),
    )


def llama(hf: Any) -> Parts:
    """Llama, Mistral and Qwen2: rotary, RMSNorm, gated MLP, grouped-query attention, separate projections."""
    body = hf.model
    n_heads, n_kv = hf.config.num_attention_heads, hf.config.num_key_value_heads

    def block(layer: Any) -> Block:
        attn = layer.self_attn
        attention = Attention(
            W_Q=_input(attn.q_proj, n_heads),
            W_K=_input(attn.k_proj, n_kv),
            W_V=_input(attn.v_proj, n_kv),
            W_O=_output(attn.o_proj, n_heads),
            b_Q=_bias(attn.q_proj, n_heads),
            b_K=_bias(attn.k_proj, n_kv),
            b_V=_bias(attn.v_proj, n_kv),
            b_O=attn.o_proj.bias,
            scale=attn.scaling,
            window=_window(hf.config, attn),
        )
        return Block(attention, layer.input_layernorm, layer.post_attention_layernorm, layer.mlp)

    return Parts(
        embed=lambda ids, positions: body.embed_tokens(ids),
        blocks=tuple(block(layer) for layer in body.layers),
        final_norm=body.norm,
        unembed=hf.lm_head.weight,
        unembed_bias=hf.lm_head.bias,
        rotary=body.rotary_emb,
    )


def _input(linear: nn.Linear, n_heads: int) -> Tensor:
    """A projection from the residual stream, `[n_heads d_model d_head]`."""
    return linear.weight.view(n_heads, -1, linear.in_features).transpose(1, 2)


def _output(linear: nn.Linear, n_heads: int) -> Tensor:
    """A projection to the residual stream, `[n_heads d_head d_model]`."""
    return linear.weight.view(linear.out_features, n_heads, -1).permute(1, 2, 0)


def _bias(linear: nn.Linear, n_heads: int) -> Tensor | None:
    return None if linear.bias is None else linear.bias.view(n_heads, -1)


def _window(config: Any, attn: Any) -> int | None:
    """Mistral slides in every layer; Qwen2 in those that `layer_types` names."""
    types = getattr(config, "layer_types", None)
    if types is not None:
        return config.sliding_window if types[attn.layer_idx] == "sliding_attention" else None
    return getattr(config, "sliding_window", None)


FAMILIES: dict[str, Family] = {  # by the `model_type` of a model's config
    "gpt2": Family("GPT-2", gpt2, "GPT-2, DistilGPT-2"),
    "gpt_neox": Family("GPT-NeoX", gpt_neox, "Pythia, GPT-NeoX-20B"),
    "llama": Family("Llama", llama, "Llama 2 and 3, TinyLlama, SmolLM"),
    "mistral": Family("Mistral", llama, "Mistral 7B"),
    "qwen2": Family("Qwen2", llama, "Qwen2, Qwen2.5"),
}
