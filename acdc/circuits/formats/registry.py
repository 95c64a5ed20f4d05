"""The formats by name, and reading and writing circuits in any of them.

A format is one file in this folder: it declares `CIRCUIT_FORMATS`, a tuple of `Format`.
"""

import os
from pathlib import Path

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats.format import Format
from acdc.circuits.formats.kinds import kind_of
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, FileError, printable
from acdc.files import read_bytes
from acdc.registry import Registry, declared

__all__ = ["FORMATS", "detect_format", "format_for", "read_circuit", "write_circuit"]

_FOUND: list[Format] = [entry for entries in declared("acdc.circuits.formats", "CIRCUIT_FORMATS") for entry in entries]
FORMATS = Registry.of("format", sorted(_FOUND, key=lambda entry: entry.order))
LONGEST_REASON = 400  # letters


def format_for(path: str | os.PathLike[str]) -> Format:
    """The format that a file's name asks for, by the longest suffix that fits.

    Raises:
        CircuitError: None has such a suffix.
    """
    if (found := _by_suffix(Path(path))) is None:
        raise CircuitError(f"{Path(path).name!r} doesn't say its format; {_known()}, or name one (format=, --to)")
    return found


def detect_format(path: str | os.PathLike[str]) -> Format:
    """The format of a file that is there, by its content; by its suffix where the content doesn't tell or fits several.

    Raises:
        CircuitError: It can't be read, it is a file of another kind, which is named, or neither tells.
    """
    path = Path(path)
    return _detected(path, _content(path))


def read_circuit(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    graph: Graph | None = None,
    lossy: bool = False,
    flip_scores: bool = False,
) -> Circuit:
    """Read a circuit in any format.

    Args:
        path: The file.
        format: A name in `FORMATS`; told from the content if None.
        graph: The graph that the circuit must belong to; needed where a file doesn't say the model's shape.
        lossy: Drop what a circuit can't hold and the file can do without: scores of nodes, pairs that are not edges.
        flip_scores: Reverse the sign of every score: see `Circuit.flip_scores`.

    Raises:
        ShapelessError: The file doesn't say the model's shape, and no graph is given.
        CircuitError: There is no such file, it is damaged, of another kind or another model, or holds what a circuit
            can't.
        UnknownNameError: There is no such format.
    """
    path = Path(path)
    chosen = None if format is None else FORMATS.find(format)
    content = _content(path)
    chosen = chosen or _detected(path, content)
    try:
        circuit = chosen.read(content, graph, lossy)
        return circuit.flip_scores() if flip_scores else circuit
    except RecursionError:
        raise CircuitError(f"{path} (as {chosen.name}): is nested too deeply") from None
    except CircuitError as error:
        if format is None and (kind := kind_of(content)):
            raise CircuitError(f"{path} {kind}") from None
        raise type(error)(f"{path} (as {chosen.name}): {printable(str(error), LONGEST_REASON)}") from None


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileError as error:
        raise CircuitError(str(error)) from None


def _detected(path: Path, content: bytes) -> Format:
    named = _by_suffix(path)
    for entry in (*([named] if named else []), *FORMATS.values()):
        if entry.recognises(content):
            return entry
    if kind := kind_of(content):
        raise CircuitError(f"{path} {kind}")
    if named is None:
        raise CircuitError(f"{path} is in no format that is known; {_known()}, or name one (format=, --from)")
    return named


def write_circuit(
    circuit: Circuit, path: str | os.PathLike[str], *, format: str | None = None, lossy: bool = False
) -> Path:
    """Write a circuit in any format; an interrupted write leaves the old file whole.

    Args:
        circuit: What to write.
        path: The file; its folder must exist.
        format: A name in `FORMATS`; by the file's suffix if None.
        lossy: Write it even if the format can't carry all of it; edges that are split by spans are then merged.

    Raises:
        CircuitError: The format can't carry something of the circuit, which is named, or the file can't be written.
        UnknownNameError: There is no such format.
    """
    chosen = format_for(path) if format is None else FORMATS.find(format)
    carried = circuit if chosen.spans else circuit.merge_spans()
    if not lossy and (lost := _lost(chosen, circuit, carried)):
        raise CircuitError(f"{chosen.name} can't carry {lost}; leave them out with lossy=True (--lossy)")
    return chosen.write(carried, Path(path))


def _lost(chosen: Format, circuit: Circuit, carried: Circuit) -> str:
    spans = "" if carried is circuit else f"the spans of edges ({printable(', '.join(circuit.graph.spans), 60)})"
    return " and ".join(filter(None, (spans, chosen.lost(carried))))


def _by_suffix(path: Path) -> Format | None:
    name = path.name.lower()
    fitting = [entry for entry in FORMATS.values() if name.endswith(entry.suffix)]
    return max(fitting, key=lambda entry: len(entry.suffix), default=None)


def _known() -> str:
    return "known: " + ", ".join(f"{entry.name} ({entry.suffix})" for entry in FORMATS.values())
