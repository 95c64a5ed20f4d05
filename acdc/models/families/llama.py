"""Llama and what is built alike: Mistral, Qwen2, Gemma, and mixtures of experts."""

from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.refusals import bidirectional
from acdc.models.views import PerToken, llama

__all__ = ["FAMILIES"]


def mixture(hf: Any) -> ModelComponents:
    """Mixtral and Qwen2-MoE: Llama with a mixture of experts as its MLP."""
    return llama(hf, mlp=PerToken)


FAMILIES = {
    "llama": Family("Llama", llama, "Llama 2 and 3, TinyLlama, SmolLM", "MHA, GQA, MQA, biases, any d_head"),
    "mistral": Family("Mistral", llama, "Mistral 7B", "GQA, sliding window"),
    "mixtral": Family("Mixtral", mixture, "Mixtral 8x7B, 8x22B", "GQA, sliding window, experts"),
    "qwen2": Family("Qwen2", llama, "Qwen2, Qwen2.5", "GQA, sliding window by layer, biases"),
    "qwen2_moe": Family("Qwen2-MoE", mixture, "Qwen1.5-MoE, Qwen2-57B-A14B", "experts, shared expert"),
    "gemma": Family("Gemma", llama, "Gemma, CodeGemma", "MHA, MQA, scaled embeddings", bidirectional),
}
