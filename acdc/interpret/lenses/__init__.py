"""Lenses: what the residual stream says before the last block, read by the model's own unembedding.

A lens is no intervention: it shows what can be read at a place, not what the model uses of it.
"""

from acdc.interpret.lenses.lens import LOGIT_LENS, Lens
from acdc.interpret.lenses.reading import LensReading, read_lens
from acdc.interpret.lenses.training import LensTraining, train_tuned_lens
from acdc.interpret.lenses.tuned import TunedLens
from acdc.interpret.lenses.tuned_file import load_tuned_lens, save_tuned_lens

__all__ = [
    "LOGIT_LENS",
    "Lens",
    "LensReading",
    "LensTraining",
    "TunedLens",
    "load_tuned_lens",
    "read_lens",
    "save_tuned_lens",
    "train_tuned_lens",
]
