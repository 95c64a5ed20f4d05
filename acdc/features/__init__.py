"""Features: sparse autoencoders and transcoders as nodes of a circuit."""

from acdc.features.dictionary import Dictionary
from acdc.features.formats import FORMATS, load, load_set, save
from acdc.features.sites import Site

__all__ = ["FORMATS", "Dictionary", "Site", "load", "load_set", "save"]
