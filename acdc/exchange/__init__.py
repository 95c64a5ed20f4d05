"""Circuits in and out of the field's file formats."""

from acdc.exchange.auto_circuit import from_auto_circuit, to_auto_circuit
from acdc.exchange.format import Format, ShapelessError
from acdc.exchange.hooks import HookEdge, HookPoint
from acdc.exchange.registry import FORMATS, detect_format, format_for, get_format, read_circuit, write_circuit

__all__ = [
    "FORMATS",
    "Format",
    "HookEdge",
    "HookPoint",
    "ShapelessError",
    "detect_format",
    "format_for",
    "from_auto_circuit",
    "get_format",
    "read_circuit",
    "to_auto_circuit",
    "write_circuit",
]
