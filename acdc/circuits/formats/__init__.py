"""Circuits in and out of the field's file formats."""

from acdc.circuits.formats.auto_circuit import from_auto_circuit, to_auto_circuit
from acdc.circuits.formats.format import Format, ShapelessError
from acdc.circuits.formats.hooks import HookEdge, HookPoint
from acdc.circuits.formats.registry import FORMATS, detect_format, format_for, read_circuit, write_circuit

__all__ = [
    "FORMATS",
    "Format",
    "HookEdge",
    "HookPoint",
    "ShapelessError",
    "detect_format",
    "format_for",
    "from_auto_circuit",
    "read_circuit",
    "to_auto_circuit",
    "write_circuit",
]
