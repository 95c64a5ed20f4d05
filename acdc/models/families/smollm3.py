"""SmolLM3."""

from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.views import llama

__all__ = ["FAMILIES"]


def smollm3(hf: Any) -> ModelComponents:
    """SmolLM3: Llama without a rotation in every fourth layer."""
    return llama(hf, lambda attn: {} if attn.use_rope else {"rotary": None})


FAMILIES = {"smollm3": Family("SmolLM3", smollm3, "SmolLM3-3B", "GQA, rotary by layer, sliding window")}
