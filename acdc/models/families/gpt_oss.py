"""GPT-OSS."""

from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.views import PerToken, llama, whole_tables

__all__ = ["FAMILIES"]


def gpt_oss(hf: Any) -> ModelComponents:
    """GPT-OSS: a mixture of experts, attention sinks, a window in every other layer, biases, YaRN."""
    rotary = whole_tables(hf.model.rotary_emb)
    return llama(hf, lambda attn: {"sinks": attn.sinks, "rotary": rotary}, PerToken)


FAMILIES = {"gpt_oss": Family("GPT-OSS", gpt_oss, "gpt-oss-20b, 120b", "GQA, sinks, sliding window by layer, experts")}
