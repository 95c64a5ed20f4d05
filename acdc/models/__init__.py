"""Hugging Face causal language models, read as computational graphs."""

from acdc.models.families import FAMILIES
from acdc.models.family import Family
from acdc.models.patchable import PatchableModel

__all__ = ["FAMILIES", "Family", "PatchableModel"]
