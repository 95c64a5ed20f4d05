"""StarCoder2: Llama with layer norms, biases and a plain MLP, all where Llama has its own."""

from acdc.models.family import Family
from acdc.models.views import llama

__all__ = ["FAMILIES"]

FAMILIES = {"starcoder2": Family("StarCoder2", llama, "StarCoder2 3B, 7B, 15B", "GQA, biases, sliding window")}
