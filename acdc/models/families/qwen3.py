"""Qwen3."""

from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.views import PerToken, head_norms, llama

__all__ = ["FAMILIES"]


def qwen3(hf: Any) -> ModelComponents:
    """Qwen3: Llama with a norm of each head's q and k."""
    return llama(hf, head_norms)


def qwen3_moe(hf: Any) -> ModelComponents:
    """Qwen3-MoE: Qwen3 with a mixture of experts as its MLP."""
    return llama(hf, head_norms, PerToken)


FAMILIES = {
    "qwen3": Family("Qwen3", qwen3, "Qwen3", "GQA, q/k norm, sliding window by layer"),
    "qwen3_moe": Family("Qwen3-MoE", qwen3_moe, "Qwen3-30B-A3B, 235B-A22B", "GQA, q/k norm, experts"),
}
