"""Dictionaries in and out of the field's file formats."""

from acdc.features.formats.format import Format
from acdc.features.formats.loading import load, load_set, save
from acdc.features.formats.registry import FORMATS

__all__ = ["FORMATS", "Format", "load", "load_set", "save"]
