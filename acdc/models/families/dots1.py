"""dots.llm1: DeepSeek's mixture of experts with plain attention."""

from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.views import PerToken, head_norms, llama

__all__ = ["FAMILIES"]


def dots1(hf: Any) -> ModelComponents:
    """dots.llm1: a norm of each head's q and k, shared and routed experts but in the first layers."""
    return llama(hf, head_norms, PerToken)


FAMILIES = {
    "dots1": Family("dots.llm1", dots1, "dots.llm1", "GQA, q/k norm, experts in groups, sliding window by layer")
}
