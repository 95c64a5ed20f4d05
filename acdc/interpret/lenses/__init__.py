"""Lenses: what the residual stream says before the last block, read by the model's own unembedding.

A lens is no intervention: it shows what can be read at a place, not what the model uses of it.
"""

from acdc.interpret.lenses.lens import LOGIT_LENS, Lens
from acdc.interpret.lenses.reading import LensReading, read_lens

__all__ = ["LOGIT_LENS", "Lens", "LensReading", "read_lens"]
