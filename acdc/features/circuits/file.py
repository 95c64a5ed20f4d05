"""Reading a feature circuit's file: JSON, checked before anything is made of it."""

import os

from acdc.circuits.supernodes import check_supernodes
from acdc.errors import ACDCError, FileError, shown
from acdc.features.circuits.circuit import FORMAT, VERSION, FeatureCircuit
from acdc.features.circuits.edges import LOGITS
from acdc.files import as_dataclass, read_json

__all__ = ["load_feature_circuit"]


def load_feature_circuit(path: str | os.PathLike[str]) -> FeatureCircuit:
    """The circuit that `FeatureCircuit.save` wrote.

    Raises:
        FileError: The file can't be read, holds something else, is of another version, or is damaged.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} holds no feature circuit: its 'format' must be {FORMAT!r}")
    if data.get("version") != VERSION:
        came = shown(data.get("version"), 20)
        raise FileError(f"{path} has version {came} of feature circuits; this program reads {VERSION}")
    own = {key: value for key, value in data.items() if key not in ("format", "version")}
    found = as_dataclass(FeatureCircuit, own, what=f"{path} is damaged")
    try:
        names = {str(name) for name in found.names}
        check_supernodes(found.supernodes, names)
        check_supernodes(found.alike, names)
    except ACDCError as error:
        raise FileError(f"{path} is damaged: {error}") from None
    if len(names) < len(found.nodes):
        raise FileError(f"{path} is damaged: it has a node twice")
    for edge in found.edges:
        if lost := [end for end in (edge.src, edge.dst) if end not in names and end != LOGITS]:
            raise FileError(f"{path} is damaged: an edge joins {shown(lost[0])}, which is not a node of it")
    return found
