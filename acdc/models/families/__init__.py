"""The supported families, each by a declaration of where its parts are in the Hugging Face model.

`gpt.py` and `llama.py` hold the declarations, `views.py` what they share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acdc.models.components import ModelComponents
from acdc.models.families import gpt, llama
from acdc.models.families.unfit import biased_post_norm, bidirectional, bloom_post_norm, opt_post_norm

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """A supported architecture.

    Attributes:
        name: The name that users know.
        read: Makes the parts of a live model.
        models: Models of this family, for `acdc models`.
        tested: What of it is compared with Hugging Face in the tests.
        unfit: Why a model of this config can't be read, or None if it can.
    """

    name: str
    read: Callable[[Any], ModelComponents]
    models: str
    tested: str
    unfit: Callable[[Any], str | None] = lambda config: None


FAMILIES: dict[str, Family] = {  # by the `model_type` of a model's config
    "gpt2": Family("GPT-2", gpt.gpt2, "GPT-2, DistilGPT-2", "learned positions, scaling by layer, tied and untied"),
    "gpt_neo": Family("GPT-Neo", gpt.gpt_neo, "GPT-Neo, TinyStories", "global and local layers, unscaled scores"),
    "gptj": Family("GPT-J", gpt.gptj, "GPT-J-6B", "parallel blocks, one norm, interleaved partial rotary"),
    "gpt_neox": Family("GPT-NeoX", gpt.gpt_neox, "Pythia, GPT-NeoX-20B", "parallel and serial, partial rotary"),
    "opt": Family("OPT", gpt.opt, "OPT but 350m", "learned positions with offset, biases", opt_post_norm),
    "bloom": Family("BLOOM", gpt.bloom, "BLOOM, BLOOMZ", "ALiBi, odd numbers of heads", bloom_post_norm),
    "falcon": Family("Falcon", gpt.falcon, "Falcon, Falcon 2", "MHA, GQA, MQA, ALiBi, one norm and two, serial"),
    "llama": Family("Llama", llama.llama, "Llama 2 and 3, TinyLlama, SmolLM", "MHA, GQA, MQA, biases, any d_head"),
    "mistral": Family("Mistral", llama.llama, "Mistral 7B", "GQA, sliding window"),
    "mixtral": Family("Mixtral", llama.mixture, "Mixtral 8x7B, 8x22B", "GQA, sliding window, experts"),
    "qwen2": Family("Qwen2", llama.llama, "Qwen2, Qwen2.5", "GQA, sliding window by layer, biases"),
    "qwen2_moe": Family("Qwen2-MoE", llama.mixture, "Qwen1.5-MoE, Qwen2-57B-A14B", "experts, shared expert"),
    "qwen3": Family("Qwen3", llama.qwen3, "Qwen3", "GQA, q/k norm, sliding window by layer"),
    "qwen3_moe": Family("Qwen3-MoE", llama.qwen3_moe, "Qwen3-30B-A3B, 235B-A22B", "GQA, q/k norm, experts"),
    "gemma": Family("Gemma", llama.llama, "Gemma, CodeGemma", "MHA, MQA, scaled embeddings", bidirectional),
    "gemma2": Family(
        "Gemma 2", llama.gemma2, "Gemma 2", "GQA, soft caps, sliding window by layer, post-norms", biased_post_norm
    ),
    "gemma3_text": Family(
        "Gemma 3",
        llama.gemma3,
        "Gemma 3 270M and 1B, text models",
        "GQA, q/k norm, sliding window and rotary by layer, post-norms",
        biased_post_norm,
    ),
    "olmo": Family("OLMo", llama.olmo, "OLMo", "MHA, GQA, clipped q, k and v, norms without weights"),
    "olmo2": Family(
        "OLMo 2", llama.olmo2, "OLMo 2", "MHA, GQA, q/k norm over heads, post-norms alone", biased_post_norm
    ),
    "phi": Family("Phi", llama.phi, "Phi-1, 1.5 and 2", "MHA, GQA, q/k norm, parallel blocks, partial rotary, biases"),
    "phi3": Family("Phi-3", llama.phi3, "Phi-3, Phi-3.5-mini, Phi-4", "MHA, GQA, sliding window, partial rotary"),
    "stablelm": Family(
        "StableLM", llama.stablelm, "StableLM 3B, 2 1.6B and 12B", "GQA, parallel and serial, q/k norm of each head"
    ),
    "granite": Family("Granite", llama.granite, "Granite 3 dense", "GQA, all multipliers, biases"),
    "gpt_oss": Family("GPT-OSS", llama.gpt_oss, "gpt-oss-20b, 120b", "GQA, sinks, sliding window by layer, experts"),
}
