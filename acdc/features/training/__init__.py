"""Training dictionaries: SAEs and transcoders, on activations that are streamed from a model."""

from acdc.features.training.recipe import Recipe
from acdc.features.training.training import DictionaryTraining, train_dictionaries
from acdc.features.training.variants import VARIANTS

__all__ = ["VARIANTS", "DictionaryTraining", "Recipe", "train_dictionaries"]
