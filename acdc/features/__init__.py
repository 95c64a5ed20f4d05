"""Features: sparse autoencoders and transcoders as nodes of a circuit."""

from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site

__all__ = ["Dictionary", "Site"]
