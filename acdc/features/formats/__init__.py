"""Dictionaries in and out of the field's file formats."""

from acdc.features.formats.format import Format
from acdc.features.formats.loading import load, load_set, save
from acdc.features.formats.registry import FORMATS
from acdc.features.formats.source import check_named

__all__ = ["FORMATS", "Format", "check_named", "load", "load_set", "save"]
