"""Hugging Face causal language models, read as computational graphs."""

from acdc.models.families import FAMILIES, Family
from acdc.models.patchable import PatchableModel

__all__ = ["FAMILIES", "Family", "PatchableModel"]
