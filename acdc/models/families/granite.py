"""Granite."""

from dataclasses import replace
from typing import Any

from torch import nn

from acdc.models.components import ModelComponents
from acdc.models.family import Family
from acdc.models.views import Scaled, llama

__all__ = ["FAMILIES"]


def granite(hf: Any) -> ModelComponents:
    """Granite: Llama with factors of the embeddings, the scores, what each component adds, and the logits."""
    config, body = hf.config, hf.model
    factor = float(config.residual_multiplier)
    return replace(
        llama(hf, lambda attn: {"gain": factor}, lambda module: nn.Sequential(module, Scaled(factor))),
        embed=lambda ids, positions: body.embed_tokens(ids) * config.embedding_multiplier,
        logit_divisor=float(config.logits_scaling),
    )


FAMILIES = {"granite": Family("Granite", granite, "Granite 3 dense", "GQA, all multipliers, biases")}
